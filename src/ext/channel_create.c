/*
 * Channels from JSON. What does not belong here: what channels may be (channels.c), the names of the environment (channel_env.c).
 */
#include "postgres.h"

#include "ext/channel_create.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "core/nearest.h"
#include "ext/channel_config_read.h"
#include "ext/channel_kind.h"
#include "ext/channel_list.h"
#include "ext/compat.h"
#include "ext/secrets.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "utils/builtins.h"
#include "utils/rel.h"

OBSERV_SQL_FUNCTION(observ_create_channel);

typedef struct Creation {
	TupleDesc desc; /* of the table */
	const ChannelKind *kind;
	const char *name;
	List *columns;            /* of char *: that have a value */
	JsonbParseState *row;     /* what the table gets, but for config */
	JsonbParseState *config;  /* of the fields */
	bool has_config, has_own; /* key config; fields beside it */
} Creation;

static const char example[] = "For instance {\"name\": \"ops-chat\", \"kind\": \"slack\", \"url\": "
							  "\"https://hooks.slack.com/services/…\"}.";

/* ---- reading */

/* The text of a key. NULL: it is not there, or is no text. */
static char *
text_of(Jsonb *json, const char *key)
{
	JsonbValue v;

	if (getKeyJsonValueFromContainer(&json->root, key, (int) strlen(key), &v) == NULL || v.type != jbvString)
		return NULL;
	return pnstrdup(v.val.string.val, v.val.string.len);
}

static bool
is_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return true;
	return false;
}

static pg_attribute_noreturn() void unknown_key(const Creation *c, const char *key)
{
	struct nearest nearest;

	nearest_begin(&nearest, key, 0);
	for (int i = 0; i < c->desc->natts; i++)
		if (!TupleDescAttr(c->desc, i)->attisdropped)
			nearest_consider(&nearest, NameStr(TupleDescAttr(c->desc, i)->attname));
	for (const ChannelField *f = c->kind->fields; f->name != NULL; f++)
		nearest_consider(&nearest, f->name);
	for (const ChannelField *f = observ_common_fields; f->name != NULL; f++)
		nearest_consider(&nearest, f->name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown key \"%s\" of a channel of kind \"%s\"", key, c->kind->name),
			 errdetail("Keys are the columns of observ.notification_channels and the fields of the kind."),
			 nearest.name != NULL
				 ? errhint("Perhaps \"%s\" is meant.", nearest.name)
				 : errhint("SELECT * FROM observ.channel_fields WHERE kind = %s shows the fields.",
						   quote_literal_cstr(c->kind->name))));
}

/* Name and kind, without which nothing else can be understood. */
static void
read_name_and_kind(Creation *c, Jsonb *json)
{
	char *kind;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a channel must be a JSON object"),
						errhint("%s", example)));
	c->name = text_of(json, "name");
	if (c->name == NULL || c->name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a channel must have a name"),
						errhint("%s", example)));
	kind = text_of(json, "kind");
	if (kind == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("channel \"%s\" has no kind", c->name),
				 errdetail("Kinds are: %s.", observ_kind_names()), errhint("%s", example)));
	c->kind = observ_require_kind(kind, c->name);
}

/* Keys go where they belong: to columns, to fields. null means that it is left out. */
static void
read_keys(Creation *c, Jsonb *json)
{
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue v, key = {.type = jbvNull};
	char *name = NULL;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY) {
			key = v;
			name = pnstrdup(v.val.string.val, v.val.string.len);
		}
		if (token != WJB_VALUE || v.type == jbvNull)
			continue;
		if (is_column(c->desc, name)) {
			c->columns = lappend(c->columns, name);
			c->has_config |= strcmp(name, "config") == 0;
			pushJsonbValue(&c->row, WJB_KEY, &key);
			pushJsonbValue(&c->row, WJB_VALUE, &v);
		} else if (observ_channel_field(c->kind, name) != NULL) {
			c->has_own = true;
			pushJsonbValue(&c->config, WJB_KEY, &key);
			pushJsonbValue(&c->config, WJB_VALUE, &v);
		} else
			unknown_key(c, name);
	}
}

/* Row and configuration as one object. */
static Jsonb *
row_of(Creation *c, Jsonb *json)
{
	JsonbValue key = {.type = jbvString, .val.string = {.val = "config", .len = strlen("config")}};
	JsonbValue *config;

	pushJsonbValue(&c->row, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&c->config, WJB_BEGIN_OBJECT, NULL);
	read_keys(c, json);
	config = pushJsonbValue(&c->config, WJB_END_OBJECT, NULL);
	if (c->has_config && c->has_own)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" has fields in \"config\" and beside it", c->name),
						errhint("Write all of them here or there.")));
	if (!c->has_config) {
		c->columns = lappend(c->columns, "config");
		pushJsonbValue(&c->row, WJB_KEY, &key);
		pushJsonbValue(&c->row, WJB_VALUE, config);
	}
	return JsonbValueToJsonb(pushJsonbValue(&c->row, WJB_END_OBJECT, NULL));
}

/* ---- writing: as the role that called, by what it may do with the table */

/* Names of the columns; with `config` their values in the row r, and that expression for config. */
static char *
column_list(List *columns, const char *config)
{
	StringInfoData list;
	ListCell *cell;

	initStringInfo(&list);
	foreach (cell, columns) {
		const char *name = lfirst(cell);

		appendStringInfoString(&list, list.len > 0 ? ", " : "");
		if (config != NULL && strcmp(name, "config") == 0)
			appendStringInfoString(&list, config);
		else
			appendStringInfo(&list, "%s%s", config != NULL ? "r." : "", quote_identifier(name));
	}
	return list.data;
}

#define ROW_OF_JSON "pg_catalog.jsonb_populate_record(NULL::observ.notification_channels, $1) r"

/* replace: whatever it is, else one without a kind only. Fields that are not in `row` stay, unless the kind is another. Returns whether there was one. */
static bool
update(const Creation *c, Datum row, bool replace)
{
	static const char config[] =
		"pg_catalog.jsonb_strip_nulls(CASE WHEN c.kind = r.kind THEN c.config || r.config ELSE r.config END)";

	return observ_spi(SPI_OK_UPDATE,
					  psprintf("UPDATE observ.notification_channels c SET (%s) = ROW(%s) FROM " ROW_OF_JSON
							   " WHERE c.name = r.name AND %s",
							   column_list(c->columns, NULL), column_list(c->columns, config),
							   replace ? "true" : "c.kind IS NULL"),
					  1, (Oid[]){JSONBOID}, &row, NULL) > 0;
}

static bool
insert(const Creation *c, Datum row)
{
	return observ_spi(SPI_OK_INSERT,
					  psprintf("INSERT INTO observ.notification_channels (%s) SELECT %s FROM " ROW_OF_JSON
							   " ON CONFLICT (name) DO NOTHING",
							   column_list(c->columns, NULL),
							   column_list(c->columns, "pg_catalog.jsonb_strip_nulls(r.config)")),
					  1, (Oid[]){JSONBOID}, &row, NULL) > 0;
}

char *
observ_put_channel(Jsonb *json, bool replace)
{
	Creation c = {0};
	Relation rel = table_open(observ_relid("notification_channels"), AccessShareLock);
	Datum row;

	c.desc = RelationGetDescr(rel);
	read_name_and_kind(&c, json);
	row = JsonbPGetDatum(row_of(&c, json));
	table_close(rel, NoLock);
	/* One without a kind is a name that routes know already. */
	if (!update(&c, row, replace) && !insert(&c, row))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("channel \"%s\" exists already", c.name),
				 errhint("UPDATE observ.notification_channels SET config = config || '{…}' WHERE name = %s "
						 "changes it.",
						 quote_literal_cstr(c.name))));
	return unconstify(char *, c.name);
}

/* observ.create_channel(channel jsonb) → text, its name; see its COMMENT */
Datum
observ_create_channel(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	text *name;

	observ_hide_statement();
	observ_require_versions();
	SPI_connect();
	name = (text *) DatumGetPointer(
		SPI_datumTransfer(CStringGetTextDatum(observ_put_channel(PG_GETARG_JSONB_P(0), false)), false, -1));
	SPI_finish();
	MemoryContextSwitchTo(caller);
	PG_RETURN_TEXT_P(name);
}
