/*
 * Compiling the arguments of a log search, and comparing an entry with them. What does not belong here: finding candidates (log_leaf.c),
 * the syntax of queries (core/log_query.c).
 *
 * Indexes only name candidates. Every entry is compared with the whole query here, so that there is one truth about what matches, whichever way
 * an entry was found.
 */
#include "postgres.h"

#include "ext/log_filter.h"

#include "core/log_level.h"
#include "ext/log_vector.h"
#include "ext/text_slice.h"
#include "tsearch/ts_utils.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Objects inside objects that a dotted key is looked for in. */
#define MAX_KEY_DEPTH 8

/* --- the part that the index answers -------------------------------------------------------------------------------- */

/* A tree of words, levels and applications joined by AND and OR; the rest of the query is left out. */
typedef struct Indexed {
	int8 oper; /* OP_AND, OP_OR, or 0: a lexeme */
	struct Indexed *left, *right;
	struct slice lexeme;
	bool prefix;
} Indexed;

static Indexed *
lexeme_node(struct slice lexeme, bool prefix)
{
	Indexed *node = palloc0(sizeof(Indexed));

	node->lexeme = lexeme;
	node->prefix = prefix;
	return node;
}

/* NULL stands for "can't tell": left out of AND, and all of OR. */
static Indexed *
join(int8 oper, Indexed *left, Indexed *right)
{
	Indexed *node;

	if (left == NULL || right == NULL)
		return oper == OP_OR ? NULL : left == NULL ? right : left;
	node = palloc0(sizeof(Indexed));
	node->oper = oper;
	node->left = left;
	node->right = right;
	return node;
}

static Indexed *
indexed_part(const struct log_query *query, int number)
{
	const struct log_node *node = &query->nodes[number];
	Indexed *all = NULL;

	switch (node->kind) {
	case QUERY_AND:
		return join(OP_AND, indexed_part(query, node->left), indexed_part(query, node->right));
	case QUERY_OR:
		return join(OP_OR, indexed_part(query, node->left), indexed_part(query, node->right));
	case QUERY_PHRASE:
		for (int i = node->left; i < node->left + node->right; i++)
			all = join(OP_AND, all, lexeme_node(query->words[i].text, query->words[i].prefix));
		return all;
	case QUERY_NOT:
	case QUERY_FIELD:
		break;
	}
	return NULL;
}

static Indexed *
marked_node(char mark, struct slice value)
{
	char *bytes = palloc(OBSERV_LOG_MARKED_MAX);
	size_t len = observ_log_marked(mark, value, bytes);

	return lexeme_node((struct slice){bytes, bytes + len}, false);
}

static struct slice
text_slice(const text *value)
{
	return (struct slice){VARDATA_ANY(value), (const char *) VARDATA_ANY(value) + VARSIZE_ANY_EXHDR(value)};
}

static void
measure(const Indexed *tree, int *items, size_t *bytes)
{
	(*items)++;
	if (tree->oper == 0) {
		*bytes += tree->lexeme.end - tree->lexeme.p + 1;
		return;
	}
	measure(tree->right, items, bytes);
	measure(tree->left, items, bytes);
}

/* Writes the tree in the order of a tsquery: operator, right side, left side. Returns how many items it took. */
static uint32
write_items(const Indexed *tree, QueryItem *item, char *operands, uint32 *used)
{
	uint32 right, left;

	memset(item, 0, sizeof(*item));
	if (tree->oper == 0) {
		size_t len = tree->lexeme.end - tree->lexeme.p;

		item->qoperand.type = QI_VAL;
		item->qoperand.prefix = tree->prefix;
		item->qoperand.length = len;
		item->qoperand.distance = *used;
		memcpy(operands + *used, tree->lexeme.p, len);
		operands[*used + len] = '\0';
		*used += len + 1;
		return 1;
	}
	right = write_items(tree->right, item + 1, operands, used);
	left = write_items(tree->left, item + 1 + right, operands, used);
	item->qoperator.type = QI_OPR;
	item->qoperator.oper = tree->oper;
	item->qoperator.left = 1 + right;
	return 1 + right + left;
}

/* For GIN alone, which does not look at the checksums of operands (they serve GiST). */
static TSQuery
pack(const Indexed *tree)
{
	int items = 0;
	size_t bytes = 0, size;
	uint32 used = 0;
	TSQuery query;

	if (tree == NULL)
		return NULL;
	measure(tree, &items, &bytes);
	size = COMPUTESIZE(items, bytes);
	query = palloc0(size);
	SET_VARSIZE(query, size);
	query->size = items;
	write_items(tree, GETQUERY(query), GETOPERAND(query), &used);
	return query;
}

/* --- arguments ------------------------------------------------------------------------------------------------------ */

static void
refuse(enum log_query_result result, text *query)
{
	if (result == QUERY_NO_WORDS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("there is no word to search for in the query of a log search"),
						errdetail("Query: %s", text_to_cstring(query)),
						errhint("Words are made of letters and digits; leave the query empty or NULL for all "
								"entries.")));
	if (result == QUERY_PHRASE_TOO_LONG)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("phrase of a log search has more than %d words", LOG_PHRASE_MAX_WORDS),
						errhint("A few words that follow each other are enough.")));
	if (result != QUERY_OK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("query of a log search is too large"),
				 errdetail("It may have %d bytes and %d words.", LOG_QUERY_MAX_BYTES, LOG_QUERY_MAX_WORDS)));
}

static bool
is_number(struct slice s)
{
	int digits = 0, dots = 0;

	if (s.p < s.end && *s.p == '-')
		s.p++;
	for (; s.p < s.end; s.p++) {
		digits += *s.p >= '0' && *s.p <= '9';
		dots += *s.p == '.';
		if (*s.p != '.' && (*s.p < '0' || *s.p > '9'))
			return false;
	}
	return digits > 0 && digits < 100 && dots <= 1;
}

static Numeric *
numbers_of(const struct log_query *query)
{
	Numeric *numbers = palloc0(sizeof(Numeric) * (query->n_fields + 1));

	for (int i = 0; i < query->n_fields; i++) {
		struct slice value = query->fields[i].value;

		if (is_number(value))
			numbers[i] = DatumGetNumeric(
				DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(value.p, value.end - value.p)),
									ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	return numbers;
}

/* "error": that level; "error+": it and all that are more urgent. */
static ObservLogLevels
levels_of(text *level)
{
	struct slice name = text_slice(level);
	ObservLogLevels levels = {0};
	int rank;

	levels.all = palloc(sizeof(char *) * 32);
	if (name.end - name.p < 2 || name.end[-1] != '+') {
		levels.all[levels.n++] = asc_tolower(name.p, name.end - name.p);
		return levels;
	}
	name.end--;
	rank = log_level_rank(name);
	if (rank < 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("it is not known which levels are above \"%s\"", pnstrdup(name.p, name.end - name.p)),
			 errhint("Known are trace, debug, info, notice, warning, error, critical, alert, emergency and "
					 "their usual other names.")));
	for (const struct log_level *known = log_levels; known->name != NULL; known++)
		if (known->rank >= rank)
			levels.all[levels.n++] = known->name;
	return levels;
}

void
observ_log_filter_init(ObservLogFilter *filter, FunctionCallInfo fcinfo)
{
	text *query = PG_ARGISNULL(0) ? cstring_to_text("") : PG_GETARG_TEXT_PP(0);
	Indexed *indexed = NULL, *level = NULL;

	*filter = (ObservLogFilter){
		.from = DT_NOBEGIN, .to = DT_NOEND, .arrived = DT_NOBEGIN, .before = {DT_NOEND, PG_INT64_MAX}};
	filter->query = palloc(sizeof(struct log_query));
	refuse(log_query_parse(text_slice(query), filter->query), query);
	filter->numbers = numbers_of(filter->query);
	filter->whole = filter->query->root < 0;
	if (!filter->whole)
		indexed = indexed_part(filter->query, filter->query->root);
	filter->vps = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	filter->app = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	if (filter->app != NULL)
		indexed = join(OP_AND, indexed, marked_node(OBSERV_LOG_APP_MARK, text_slice(filter->app)));
	if (!PG_ARGISNULL(3))
		filter->levels = levels_of(PG_GETARG_TEXT_PP(3));
	for (int i = 0; i < filter->levels.n; i++) {
		Indexed *one = marked_node(OBSERV_LOG_LEVEL_MARK, slice_of(filter->levels.all[i]));

		level = level == NULL ? one : join(OP_OR, level, one);
	}
	filter->indexed = pack(join(OP_AND, indexed, level));
}

/* --- comparing ------------------------------------------------------------------------------------------------------ */

static bool
scalar_matches(const JsonbValue *found, const struct log_query_field *field, Numeric number)
{
	size_t want = field->value.end - field->value.p, len;
	const char *bytes;

	switch (found->type) {
	case jbvString:
		bytes = found->val.string.val;
		len = found->val.string.len;
		break;
	case jbvNumeric:
		if (number != NULL && !field->prefix)
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(found->val.numeric),
													NumericGetDatum(number)));
		bytes = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(found->val.numeric)));
		len = strlen(bytes);
		break;
	case jbvBool:
		bytes = found->val.boolean ? "true" : "false";
		len = strlen(bytes);
		break;
	case jbvNull:
		bytes = "null";
		len = 4;
		break;
	default:
		return want == 0 && field->prefix;
	}
	return (len == want || (len > want && field->prefix)) && memcmp(bytes, field->value.p, want) == 0;
}

/* A list matches when one of its elements does. */
static bool
value_matches(JsonbValue *found, const struct log_query_field *field, Numeric number)
{
	JsonbIterator *it;
	JsonbValue element;
	JsonbIteratorToken token;

	if (found->type != jbvBinary || !JsonContainerIsArray(found->val.binary.data) ||
		(field->prefix && field->value.p == field->value.end))
		return scalar_matches(found, field, number);
	it = JsonbIteratorInit(found->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && scalar_matches(&element, field, number))
			return true;
	return false;
}

/* a.b.c: the key "a.b.c", else "b.c" in the object under "a", else "c" in the object under "a.b". */
static bool
object_matches(JsonbContainer *object, struct slice key, const struct log_query_field *field, Numeric number,
			   int depth)
{
	JsonbValue found;

	if (!JsonContainerIsObject(object))
		return false;
	if (getKeyJsonValueFromContainer(object, key.p, key.end - key.p, &found) != NULL &&
		value_matches(&found, field, number))
		return true;
	for (const char *dot = key.p; depth < MAX_KEY_DEPTH && dot < key.end; dot++)
		if (*dot == '.' && getKeyJsonValueFromContainer(object, key.p, dot - key.p, &found) != NULL &&
			found.type == jbvBinary &&
			object_matches(found.val.binary.data, (struct slice){dot + 1, key.end}, field, number, depth + 1))
			return true;
	return false;
}

/* The context of an entry, looked at only if a field asks. */
typedef struct Context {
	const ObservLogFilter *filter;
	TupleTableSlot *slot;
	AttrNumber column;
	Jsonb *value;
	bool loaded;
} Context;

static bool
field_matches(void *arg, int number)
{
	Context *context = arg;

	if (!context->loaded) {
		bool isnull;
		Datum value = slot_getattr(context->slot, context->column, &isnull);

		context->value = isnull ? NULL : DatumGetJsonbP(value);
		context->loaded = true;
	}
	return context->value != NULL &&
		   object_matches(&context->value->root, context->filter->query->fields[number].key,
						  &context->filter->query->fields[number], context->filter->numbers[number], 0);
}

static bool
same_text(TupleTableSlot *slot, AttrNumber column, const text *wanted)
{
	bool isnull;

	return observ_text_compare(DatumGetTextPP(slot_getattr(slot, column, &isnull)), wanted) == 0;
}

static bool
equal_fold(const char *bytes, const char *lower, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((char) pg_ascii_tolower((unsigned char) bytes[i]) != lower[i])
			return false;
	return true;
}

static bool
level_matches(const ObservLogLevels *levels, TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	text *value = DatumGetTextPP(slot_getattr(slot, column, &isnull));
	size_t len = VARSIZE_ANY_EXHDR(value);

	for (int i = 0; i < levels->n; i++)
		if (strlen(levels->all[i]) == len && equal_fold(VARDATA_ANY(value), levels->all[i], len))
			return true;
	return levels->n == 0;
}

ObservLogKey
observ_log_key(const ObservLogColumns *columns, TupleTableSlot *slot)
{
	bool isnull;
	ObservLogKey key = {DatumGetTimestampTz(slot_getattr(slot, columns->timestamp, &isnull))};

	key.id = DatumGetInt64(slot_getattr(slot, columns->id, &isnull));
	return key;
}

int
observ_log_key_compare(const ObservLogKey *a, const ObservLogKey *b)
{
	if (a->timestamp != b->timestamp)
		return a->timestamp > b->timestamp ? -1 : 1;
	return a->id > b->id ? -1 : a->id < b->id;
}

bool
observ_log_filter_match(const ObservLogFilter *filter, const ObservLogColumns *columns, TupleTableSlot *slot,
						const ObservLogKey *key)
{
	Context context = {filter, slot, columns->context};
	bool isnull;

	if (key->timestamp < filter->from || key->timestamp >= filter->to ||
		observ_log_key_compare(&filter->before, key) >= 0)
		return false;
	if (filter->arrived != DT_NOBEGIN &&
		DatumGetTimestampTz(slot_getattr(slot, columns->received_at, &isnull)) < filter->arrived)
		return false;
	if ((filter->vps != NULL && !same_text(slot, columns->vps_name, filter->vps)) ||
		(filter->app != NULL && !same_text(slot, columns->app_name, filter->app)) ||
		!level_matches(&filter->levels, slot, columns->level))
		return false;
	return filter->whole ||
		   log_query_match(filter->query, observ_log_text(slot_getattr(slot, columns->message, &isnull)),
						   field_matches, &context);
}
