/*
 * Labels and annotations of messages: in order, in common, as Alertmanager names groups. What does not belong here: what alerts say otherwise (message.c).
 */
#include "postgres.h"

#include "ext/message_parts.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/label_matchers.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* A scalar as text; NULL for null, objects and arrays. */
static const char *
scalar_text(const JsonbValue *v)
{
	switch (v->type) {
	case jbvString:
		return pnstrdup(v->val.string.val, v->val.string.len);
	case jbvNumeric:
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
	case jbvBool:
		return v->val.boolean ? "true" : "false";
	default:
		return NULL;
	}
}

static int
compare_pairs(const void *a, const void *b)
{
	return strcmp(((const MessagePair *) a)->name, ((const MessagePair *) b)->name);
}

static MessagePair *
sorted_pairs(Jsonb *object, bool empty, int *n)
{
	MessagePair *pairs;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	const char *name = NULL;

	*n = 0;
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return NULL;
	pairs = palloc(sizeof(MessagePair) * (JB_ROOT_COUNT(object) + 1));
	it = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE) {
			const char *value = scalar_text(&v);

			if (value != NULL && (empty || value[0] != '\0'))
				pairs[(*n)++] = (MessagePair){name, value};
		}
	}
	qsort(pairs, (size_t) *n, sizeof *pairs, compare_pairs);
	return pairs;
}

MessagePair *
observ_sorted_pairs(Jsonb *object, int *n)
{
	return sorted_pairs(object, false, n);
}

MessagePair *
observ_sorted_texts(Jsonb *object, int *n)
{
	return sorted_pairs(object, true, n);
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *s)
{
	JsonbValue v = {.type = jbvString, .val.string = {.val = (char *) s, .len = (int) strlen(s)}};

	pushJsonbValue(state, token, &v);
}

/* Leaves of `pairs` those that are in the object with the same value; returns how many. */
static int
keep_common(MessagePair *pairs, int n, Jsonb *object)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		JsonbValue v;
		const char *value;

		if (object == NULL || !JB_ROOT_IS_OBJECT(object) ||
			getKeyJsonValueFromContainer(&object->root, pairs[i].name, (int) strlen(pairs[i].name), &v) ==
				NULL)
			continue;
		value = scalar_text(&v);
		if (value != NULL && strcmp(value, pairs[i].value) == 0)
			pairs[kept++] = pairs[i];
	}
	return kept;
}

Jsonb *
observ_common_texts(const Message *message, bool annotations)
{
	JsonbParseState *state = NULL;
	MessagePair *pairs = NULL;
	int n = 0;

	for (int i = 0; i < message->n_alerts; i++) {
		const MessageAlert *alert = &message->alerts[i];
		Jsonb *object = annotations ? alert->annotations : alert->labels;

		if (i == 0)
			pairs = sorted_pairs(object, annotations, &n);
		else
			n = keep_common(pairs, n, object);
	}
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++) {
		push_string(&state, WJB_KEY, pairs[i].name);
		push_string(&state, WJB_VALUE, pairs[i].value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* --- the key of a group, as Alertmanager writes it (dispatch/route.go, pkg/labels, model.LabelSet.String()) */

/*
 * Characters that Go does not print (strconv.IsPrint), by ranges, where they are likely to be met: controls, blanks but U+0020, signs without width,
 * tags (in flags), what is for private use.
 */
static bool
is_printed(pg_wchar c)
{
	static const pg_wchar not_printed[][2] = {
		{0x0000, 0x001F},   {0x007F, 0x00A0},   {0x00AD, 0x00AD}, {0x0600, 0x0605}, {0x061C, 0x061C},
		{0x1680, 0x1680},   {0x180E, 0x180E},   {0x2000, 0x200F}, {0x2028, 0x202F}, {0x205F, 0x206F},
		{0x3000, 0x3000},   {0xE000, 0xF8FF},   {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF},
		{0xE0000, 0xE00FF}, {0xE01F0, 0x10FFFF}};

	for (size_t i = 0; i < lengthof(not_printed); i++)
		if (c >= not_printed[i][0] && c <= not_printed[i][1])
			return false;
	return true;
}

/* What Go's %q makes of such a character. */
static void
put_go_escape(StringInfo out, pg_wchar c)
{
	static const char letters[] = "abtnvfr"; /* U+0007 to U+000D */

	if (c >= 7 && c < 7 + strlen(letters))
		appendStringInfo(out, "\\%c", letters[c - 7]);
	else
		appendStringInfo(out,
						 c < ' ' || c == 0x7F ? "\\x%02x"
						 : c <= 0xFFFF        ? "\\u%04x"
											  : "\\U%08x",
						 (unsigned) c);
}

/* In quotes, as Go's %q has it. */
static void
put_go_quoted(StringInfo out, const char *text)
{
	appendStringInfoChar(out, '"');
	for (const char *p = text; *p != '\0'; p += pg_mblen(p)) {
		pg_wchar c = utf8_to_unicode((const unsigned char *) p);

		if (*p == '"' || *p == '\\')
			appendStringInfo(out, "\\%c", *p);
		else if (!is_printed(c))
			put_go_escape(out, c);
		else
			appendBinaryStringInfo(out, p, pg_mblen(p));
	}
	appendStringInfoChar(out, '"');
}

static int
compare_matchers(const void *a, const void *b)
{
	const struct matcher *x = a, *y = b;
	int order = slice_compare(x->name, y->name);

	if (order == 0)
		order = slice_compare(x->value, y->value);
	return order != 0 ? order : (int) x->op - (int) y->op;
}

/* One set in braces, its matchers sorted. */
static void
put_matchers(StringInfo out, struct matchers *matchers)
{
	qsort(matchers->item, (size_t) matchers->n, sizeof *matchers->item, compare_matchers);
	appendStringInfoChar(out, '{');
	for (int i = 0; i < matchers->n; i++) {
		const struct matcher *m = &matchers->item[i];

		appendStringInfo(out, "%s%.*s%s", i > 0 ? "," : "", (int) (m->name.end - m->name.p), m->name.p,
						 matcher_op_name(m->op));
		observ_put_quoted(out, m->value);
	}
	appendStringInfoChar(out, '}');
}

/* Matchers of a route; what can't be read stays as it is. Alertmanager has one set only: others are joined by "or", as here. */
static void
put_route(StringInfo out, const char *given)
{
	struct slice text = slice_of(given);
	struct matchers *set = palloc(sizeof *set);
	struct matchers_error error;
	char *memory = palloc(strlen(given) + 1);
	int start = out->len;

	do {
		if (!matchers_parse_next(&text, set, &memory, &error)) {
			out->len = start;
			appendStringInfoString(out, given);
			return;
		}
		if (out->len > start)
			appendStringInfoString(out, " or ");
		put_matchers(out, set);
	} while (text.p < text.end);
}

/* From the root to the route of that name; the bound is for tables that somebody has edited without our triggers. */
static const char route_sql[] =
	"WITH RECURSIVE up AS (SELECT parent_id, matchers, 1 AS depth FROM observ.routes WHERE name = $1 "
	"UNION ALL SELECT r.parent_id, r.matchers, up.depth + 1 FROM up JOIN observ.routes r "
	"ON r.route_id = up.parent_id WHERE up.depth < 100) SELECT matchers FROM up ORDER BY depth DESC";

/* Routes of the messages of a transaction: a claim makes hundreds of a few routes. */
typedef struct KnownRoute {
	char *name, *key;
} KnownRoute;
static List *known_routes = NIL;
static LocalTransactionId known_in = InvalidLocalTransactionId;

static const char *
route_key(const char *name)
{
	static SPIPlanPtr plan = NULL;
	const Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};
	StringInfoData key;
	KnownRoute *known;
	MemoryContext before;
	ListCell *cell;

	if (known_in != MyProc->lxid)
		known_routes = NIL; /* its memory went with the transaction */
	known_in = MyProc->lxid;
	foreach (cell, known_routes) {
		known = lfirst(cell);
		if (strcmp(known->name, name) == 0)
			return known->key;
	}
	initStringInfo(&key);
	observ_spi_read(&plan, route_sql, lengthof(types), types, values, NULL);
	for (uint64 row = 0; row < SPI_processed; row++) {
		bool isnull;
		Datum matchers = observ_spi_value(row, 1, &isnull);

		if (row > 0)
			appendStringInfoChar(&key, '/');
		put_route(&key, isnull ? "{}" : TextDatumGetCString(matchers));
	}
	SPI_freetuptable(SPI_tuptable);
	before = MemoryContextSwitchTo(TopTransactionContext);
	known = palloc(sizeof *known);
	*known = (KnownRoute){pstrdup(name), pstrdup(key.len > 0 ? key.data : "{}")};
	known_routes = lappend(known_routes, known);
	MemoryContextSwitchTo(before);
	return known->key;
}

const char *
observ_am_group_key(const char *route, Jsonb *group_labels)
{
	StringInfoData key;
	int n;
	MessagePair *pairs = observ_sorted_pairs(group_labels, &n);

	initStringInfo(&key);
	appendStringInfo(&key, "%s:{", route == NULL ? "{}" : route_key(route));
	for (int i = 0; i < n; i++) {
		appendStringInfo(&key, "%s%s=", i > 0 ? ", " : "", pairs[i].name);
		put_go_quoted(&key, pairs[i].value);
	}
	appendStringInfoChar(&key, '}');
	return key.data;
}
