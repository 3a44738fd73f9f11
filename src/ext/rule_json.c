/*
 * Alert rules from JSON, and the list of what they can be about. What does not belong here: what rules may be (rule_check.c).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "core/nearest.h"
#include "executor/executor.h"
#include "ext/alert_rule.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

OBSERV_SQL_FUNCTION(observ_create_alert_rule);
OBSERV_SQL_FUNCTION(observ_alert_metrics);

/* ---- reading */

static void
unknown_key(TupleDesc desc, const char *key)
{
	struct nearest nearest;

	nearest_begin(&nearest, key, 0);
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			nearest_consider(&nearest, NameStr(TupleDescAttr(desc, i)->attname));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("unknown key \"%s\" of an alert rule", key),
					errdetail("Keys are the columns of observ.alert_rules."),
					nearest.name != NULL ? errhint("Perhaps you mean \"%s\".", nearest.name)
										 : errhint("\\d observ.alert_rules lists them.")));
}

/* Type of a column; InvalidOid: there is none of that name. */
static Oid
type_of_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++) {
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return attribute->atttypid;
	}
	return InvalidOid;
}

/* An array or object where one value belongs would be read as if its brackets were part of a text, which intervals pass over. */
static void
check_shape(const char *key, Oid type, const JsonbValue *value)
{
	if (value->type == jbvBinary && type != JSONBOID && type != JSONOID && !type_is_array(type))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key \"%s\" of an alert rule must have a single value", key),
				 errdetail("Given: %s.", JsonbToCString(NULL, value->val.binary.data, value->val.binary.len)),
				 errhint("A text or a number.")));
}

static void
name_key(void *arg)
{
	errcontext("key \"%s\" of an alert rule", (const char *) arg);
}

/* An error in a value names its key: only then does anybody find it among thirty. */
static void
try_value(const char *key, const JsonbValue *value)
{
	static SPIPlanPtr plan = NULL;
	ErrorContextCallback callback = {
		.previous = error_context_stack, .callback = name_key, .arg = unconstify(char *, key)};
	JsonbValue name = {.type = jbvString,
					   .val.string = {.val = unconstify(char *, key), .len = (int) strlen(key)}};
	JsonbParseState *state = NULL;
	Datum object;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &name);
	pushJsonbValue(&state, WJB_VALUE, unconstify(JsonbValue *, value));
	object = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	error_context_stack = &callback;
	observ_spi_read(&plan, "SELECT pg_catalog.jsonb_populate_record(NULL::observ.alert_rules, $1)", 1,
					(Oid[]){JSONBOID}, &object, NULL);
	error_context_stack = callback.previous;
}

/* Names of the keys that have a value, each checked. null means that it is left out. Needs SPI_connect(). */
static List *
read_keys(Jsonb *json, TupleDesc desc)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	List *keys = NIL;
	char *key = NULL;
	JsonbValue v;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an alert rule must be a JSON object"),
				 errhint("For instance {\"name\": \"CpuHigh\", \"metric_name\": \"cpu_percent\", "
						 "\"operator\": \"gt\", \"threshold\": 90}.")));
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY) {
			key = pnstrdup(v.val.string.val, v.val.string.len);
			if (!OidIsValid(type_of_column(desc, key)))
				unknown_key(desc, key);
		} else if (token == WJB_VALUE && v.type != jbvNull) {
			check_shape(key, type_of_column(desc, key), &v);
			try_value(key, &v);
			keys = lappend(keys, makeString(key));
		}
	}
	return keys;
}

/* ---- observ.create_alert_rule(rule jsonb) → bigint, its rule_id; see its COMMENT */

static char *
insert_statement(List *keys)
{
	StringInfoData columns, sql;
	ListCell *cell;

	initStringInfo(&columns);
	foreach (cell, keys)
		appendStringInfo(&columns, "%s%s", columns.len == 0 ? "" : ", ",
						 quote_identifier(strVal(lfirst(cell))));
	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "INSERT INTO observ.alert_rules (%s) SELECT %s "
					 "FROM pg_catalog.jsonb_populate_record(NULL::observ.alert_rules, $1) "
					 "ON CONFLICT (name) DO NOTHING RETURNING rule_id",
					 columns.data, columns.data);
	return sql.data;
}

/* Nothing was inserted, so there is a rule of that name. */
static void
exists_already(Jsonb *json)
{
	JsonbValue *v = getKeyJsonValueFromContainer(&json->root, "name", strlen("name"), NULL);
	char *name = v != NULL && v->type == jbvString ? pnstrdup(v->val.string.val, v->val.string.len) : "";

	ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION), errmsg("alert rule \"%s\" exists already", name),
					errhint("UPDATE observ.alert_rules SET … WHERE name = %s changes it.",
							quote_literal_cstr(name))));
}

Datum
observ_create_alert_rule(PG_FUNCTION_ARGS)
{
	Jsonb *json = PG_GETARG_JSONB_P(0);
	Datum values[] = {JsonbPGetDatum(json)};
	Relation rel;
	bool isnull;
	int64 rule_id;
	List *keys;

	observ_require_versions();
	rel = table_open(observ_relid("alert_rules"), AccessShareLock);
	SPI_connect();
	keys = read_keys(json, RelationGetDescr(rel));
	table_close(rel, NoLock);
	if (!list_member(keys, makeString("name")))
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("an alert rule needs a name"),
						errhint("For instance \"name\": \"CpuHigh\"; keys are the columns of "
								"observ.alert_rules.")));
	if (observ_spi(SPI_OK_INSERT_RETURNING, insert_statement(keys), 1, (Oid[]){JSONBOID}, values, NULL) == 0)
		exists_already(json);
	rule_id = DatumGetInt64(observ_spi_value(0, 1, &isnull));
	SPI_finish();
	PG_RETURN_INT64(rule_id);
}

/* ---- a rule that is not stored */

/* A row of the table with the defaults of its columns. */
static Datum
default_row(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	Datum *values = palloc0(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);
	EState *state = CreateExecutorState();
	Datum row;

	for (int i = 0; i < desc->natts; i++) {
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Node *expression = attribute->attisdropped || attribute->attidentity != '\0'
							   ? NULL
							   : build_column_default(rel, i + 1);

		nulls[i] = true;
		if (expression != NULL)
			values[i] = ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) expression, state),
												  GetPerTupleExprContext(state), &nulls[i]);
	}
	row = heap_copy_tuple_as_datum(heap_form_tuple(desc, values, nulls), desc);
	FreeExecutorState(state);
	return row;
}

ObservRule *
observ_rule_of_json(Jsonb *json)
{
	Relation rel = table_open(observ_relid("alert_rules"), AccessShareLock);
	Oid types[] = {rel->rd_rel->reltype, JSONBOID};
	Datum values[] = {default_row(rel), JsonbPGetDatum(json)};
	bool isnull;

	(void) read_keys(json, RelationGetDescr(rel));
	table_close(rel, NoLock);
	if (SPI_execute_with_args(
			"SELECT pg_catalog.jsonb_populate_record($1, (SELECT jsonb_object_agg(key, value) "
			"FROM pg_catalog.jsonb_each($2) WHERE value <> 'null'))",
			lengthof(types), types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a rule");
	return observ_rule_of_row(DatumGetHeapTupleHeaderCopy(observ_spi_value(0, 1, &isnull)));
}

/* ---- observ.alert_metrics() → setof (name, source, unit, description, aliases); see its COMMENT */

static Datum
aliases_of(const struct rule_metric *metric, bool *isnull)
{
	Datum aliases[16];
	int n = 0;

	for (const struct rule_metric_alias *a = rule_metric_aliases; a->alias != NULL; a++)
		if (strcmp(a->name, metric->name) == 0 && n < (int) lengthof(aliases))
			aliases[n++] = CStringGetTextDatum(a->alias);
	*isnull = n == 0;
	return n == 0 ? (Datum) 0 : observ_array(aliases, n, TEXTOID);
}

Datum
observ_alert_metrics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	for (const struct rule_metric *metric = rule_metrics; metric->name != NULL; metric++) {
		Datum values[] = {CStringGetTextDatum(metric->name),
						  CStringGetTextDatum(rule_source_names[metric->source]),
						  CStringGetTextDatum(metric->unit), CStringGetTextDatum(metric->help), (Datum) 0};
		bool nulls[lengthof(values)] = {false};

		nulls[2] = *metric->unit == '\0';
		values[4] = aliases_of(metric, &nulls[4]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
