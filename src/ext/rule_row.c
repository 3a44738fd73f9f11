/*
 * Rows of observ.alert_rules, read column by column. What does not belong here: whether a rule makes sense (rule_check.c).
 */
#include "postgres.h"

#include "ext/rule_row.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "ext/gucs.h"
#include "ext/label_matchers.h"
#include "ext/times.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* Order of enum ObservRuleColumn; InvalidOid: an enum. */
static const struct {
	const char *name;
	Oid type;
} columns[RULE_COLUMNS] = {
	{"rule_id", INT8OID},
	{"name", TEXTOID},
	{"description", TEXTOID},
	{"category", TEXTOID},
	{"source", TEXTOID},
	{"metric_name", TEXTOID},
	{"matchers", TEXTOID},
	{"aggregate", TEXTOID},
	{"window", INTERVALOID},
	{"predict_ahead", INTERVALOID},
	{"predict_from", FLOAT8OID},
	{"operator", TEXTOID},
	{"threshold", FLOAT8OID},
	{"clear_threshold", FLOAT8OID},
	{"query", TEXTOID},
	{"selector", TEXTOID},
	{"per_app", BOOLOID},
	{"min_samples", INT4OID},
	{"for_duration", INTERVALOID},
	{"keep_firing_for", INTERVALOID},
	{"evaluation_interval", INTERVALOID},
	{"evaluation_delay", INTERVALOID},
	{"no_data", TEXTOID},
	{"on_missing", TEXTOID},
	{"missing_for", INTERVALOID},
	{"reopen_window", INTERVALOID},
	{"flap_detection", BOOLOID},
	{"severity", InvalidOid},
	{"enabled", BOOLOID},
	{"labels", JSONBOID},
	{"annotations", JSONBOID},
	{"notification_channels", TEXTARRAYOID},
	{"runbook_url", TEXTOID},
	{"owner", NAMEOID},
	{"version", INT4OID},
	{"created_at", TIMESTAMPTZOID},
	{"updated_at", TIMESTAMPTZOID},
};

const char *const observ_severity_names[7] = {"info", "low",      "medium",   "warning",
											  "high", "critical", "emergency"};

static const char *const absence_names[] = {"keep", "resolve", "alert"};

const char *
observ_rule_column_name(enum ObservRuleColumn column)
{
	return columns[column].name;
}

static AttrNumber
column_of_name(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("table \"alert_rules\" has no column \"%s\"", name),
			 errhint("observ needs it: restore it from a dump.")));
}

void
observ_rule_columns(TupleDesc desc, AttrNumber *numbers)
{
	for (int i = 0; i < RULE_COLUMNS; i++) {
		Oid type;

		numbers[i] = column_of_name(desc, columns[i].name);
		type = TupleDescAttr(desc, numbers[i] - 1)->atttypid;
		if (OidIsValid(columns[i].type) ? !IsBinaryCoercible(type, columns[i].type) : !type_is_enum(type))
			ereport(
				ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"alert_rules\" has type %s instead of %s", columns[i].name,
						format_type_be(type),
						OidIsValid(columns[i].type) ? format_type_be(columns[i].type) : "observ.severity"),
				 errhint("ALTER TABLE observ.alert_rules ALTER COLUMN %s TYPE …", columns[i].name)));
	}
}

void
observ_rule_row(HeapTuple tuple, TupleDesc desc, const AttrNumber *numbers, ObservRuleRow *row)
{
	for (int i = 0; i < RULE_COLUMNS; i++)
		row->values[i] = heap_getattr(tuple, numbers[i], desc, &row->nulls[i]);
}

char *
observ_rule_text(const ObservRuleRow *row, enum ObservRuleColumn column)
{
	if (row->nulls[column])
		return NULL;
	return columns[column].type == NAMEOID ? pstrdup(NameStr(*DatumGetName(row->values[column])))
										   : TextDatumGetCString(row->values[column]);
}

bool
observ_rule_differs(const ObservRuleRow *a, const ObservRuleRow *b, enum ObservRuleColumn column)
{
	int16 length = sizeof(Oid);
	bool by_value = true;

	if (a->nulls[column] || b->nulls[column])
		return a->nulls[column] != b->nulls[column];
	if (OidIsValid(columns[column].type))
		get_typlenbyval(columns[column].type, &length, &by_value);
	return !datum_image_eq(a->values[column], b->values[column], by_value, length);
}

char *
observ_rule_interval(const ObservRuleRow *row, enum ObservRuleColumn column)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, row->values[column]));
}

int64
observ_rule_usecs(const ObservRuleRow *row, enum ObservRuleColumn column)
{
	int64 usecs = row->nulls[column] ? 0 : observ_interval_usecs(DatumGetIntervalP(row->values[column]));

	if (usecs < 0 || usecs > OBSERV_RULE_LONGEST)
		ereport(ERROR, (errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
						usecs < 0 ? errmsg("%s must not be negative", columns[column].name)
								  : errmsg("%s must not be longer than 10 years", columns[column].name),
						errdetail("Given: %s.",
								  DatumGetCString(DirectFunctionCall1(interval_out, row->values[column])))));
	return usecs;
}

/* Place of a text in a list of names; raises when it is none of them. */
static int
one_of(const ObservRuleRow *row, enum ObservRuleColumn column, const char *const *names, int n)
{
	const char *given = row->nulls[column] ? "NULL" : observ_rule_text(row, column);
	StringInfoData list;

	for (int i = 0; i < n; i++)
		if (strcmp(names[i], given) == 0)
			return i;
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", names[i]);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid %s of an alert rule", columns[column].name),
					errdetail("Given: %s.", given), errhint("One of %s.", list.data)));
}

static void
name_column(void *arg)
{
	errcontext("column \"%s\"", (const char *) arg);
}

/* Matchers of a column; NULL when it is NULL or takes everything. */
static struct matchers *
read_matchers(const ObservRuleRow *row, enum ObservRuleColumn column)
{
	ErrorContextCallback callback = {0};
	struct matchers *matchers;

	if (row->nulls[column])
		return NULL;
	callback.previous = error_context_stack;
	callback.callback = name_column;
	callback.arg = unconstify(char *, columns[column].name);
	error_context_stack = &callback;
	matchers = observ_parse_matchers(DatumGetTextPP(row->values[column]));
	error_context_stack = callback.previous;
	return matchers->n > 0 ? matchers : NULL;
}

static int
read_severity(const ObservRuleRow *row)
{
	const char *name = row->nulls[RULE_COL_SEVERITY]
						   ? "NULL"
						   : DatumGetCString(DirectFunctionCall1(enum_out, row->values[RULE_COL_SEVERITY]));

	for (int i = 0; i < (int) lengthof(observ_severity_names); i++)
		if (strcmp(observ_severity_names[i], name) == 0)
			return i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown severity \"%s\"", name),
					errhint("One of info, low, medium, warning, high, critical or emergency.")));
}

static void
read_policy(const ObservRuleRow *row, ObservRule *rule)
{
	struct alert_policy *policy = &rule->policy;
	int64 each =
		observ_evaluation_interval > 0 ? observ_evaluation_interval * USECS_PER_SEC : 15 * USECS_PER_SEC;

	rule->interval_us = observ_rule_usecs(row, RULE_COL_EVALUATION_INTERVAL);
	rule->delay_us = observ_rule_usecs(row, RULE_COL_EVALUATION_DELAY);
	rule->reopen_us = observ_rule_usecs(row, RULE_COL_REOPEN_WINDOW);
	policy->for_us = observ_rule_usecs(row, RULE_COL_FOR_DURATION);
	policy->keep_us = observ_rule_usecs(row, RULE_COL_KEEP_FIRING_FOR);
	policy->missing_us = row->nulls[RULE_COL_MISSING_FOR]
							 ? 2 * (rule->interval_us > 0 ? rule->interval_us : each)
							 : observ_rule_usecs(row, RULE_COL_MISSING_FOR);
	policy->no_data =
		(enum alert_absence) one_of(row, RULE_COL_NO_DATA, absence_names, lengthof(absence_names));
	policy->on_missing =
		(enum alert_absence) one_of(row, RULE_COL_ON_MISSING, absence_names, lengthof(absence_names));
	policy->flap_detection = DatumGetBool(row->values[RULE_COL_FLAP_DETECTION]);
}

static double
float_or_nan(const ObservRuleRow *row, enum ObservRuleColumn column)
{
	return row->nulls[column] ? get_float8_nan() : DatumGetFloat8(row->values[column]);
}

static void
read_value(const ObservRuleRow *row, ObservRule *rule)
{
	rule->source =
		(enum rule_source) one_of(row, RULE_COL_SOURCE, rule_source_names, lengthof(rule_source_names));
	rule->query = observ_rule_text(row, RULE_COL_QUERY);
	rule->metric_name = observ_rule_text(row, RULE_COL_METRIC_NAME);
	if (rule->source != RULE_QUERY && rule->source != RULE_METRIC_SAMPLES) {
		rule->metric = rule->metric_name != NULL ? rule_metric_find(rule->metric_name) : NULL;
		if (rule->metric == NULL || rule->metric->source != rule->source)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("source %s has no metric \"%s\"", rule_source_names[rule->source],
								   rule->metric_name ? rule->metric_name : "NULL")));
		rule->metric_name = rule->metric->name;
	}
	rule->aggregate = (enum rule_aggregate) one_of(row, RULE_COL_AGGREGATE, rule_aggregate_names,
												   lengthof(rule_aggregate_names));
	rule->window_us = observ_rule_usecs(row, RULE_COL_WINDOW);
	rule->ahead_us = observ_rule_usecs(row, RULE_COL_PREDICT_AHEAD);
	rule->has_from = !row->nulls[RULE_COL_PREDICT_FROM];
	rule->from = float_or_nan(row, RULE_COL_PREDICT_FROM);
	rule->op = (enum rule_operator) one_of(row, RULE_COL_OPERATOR, rule_operator_names,
										   lengthof(rule_operator_names));
	rule->threshold = float_or_nan(row, RULE_COL_THRESHOLD);
	rule->has_clear = !row->nulls[RULE_COL_CLEAR_THRESHOLD];
	rule->clear_threshold = float_or_nan(row, RULE_COL_CLEAR_THRESHOLD);
}

void
observ_require_values(const ObservRuleRow *row)
{
	static const enum ObservRuleColumn needed[] = {
		RULE_COL_NAME,           RULE_COL_CATEGORY,        RULE_COL_AGGREGATE,
		RULE_COL_OPERATOR,       RULE_COL_PER_APP,         RULE_COL_MIN_SAMPLES,
		RULE_COL_FOR_DURATION,   RULE_COL_KEEP_FIRING_FOR, RULE_COL_EVALUATION_DELAY,
		RULE_COL_NO_DATA,        RULE_COL_ON_MISSING,      RULE_COL_REOPEN_WINDOW,
		RULE_COL_FLAP_DETECTION, RULE_COL_SEVERITY,        RULE_COL_ENABLED,
		RULE_COL_LABELS,         RULE_COL_ANNOTATIONS};

	for (int i = 0; i < (int) lengthof(needed); i++)
		if (row->nulls[needed[i]])
			ereport(
				ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg(
					 "null value in column \"%s\" of relation \"alert_rules\" violates not-null constraint",
					 columns[needed[i]].name),
				 errhint("Leave the column out, and it has its default.")));
}

void
observ_read_rule(const ObservRuleRow *row, ObservRule *rule)
{
	observ_require_values(row);
	rule->rule_id = DatumGetInt64(row->values[RULE_COL_RULE_ID]);
	rule->version = DatumGetInt32(row->values[RULE_COL_VERSION]);
	rule->name = observ_rule_text(row, RULE_COL_NAME);
	rule->category = observ_rule_text(row, RULE_COL_CATEGORY);
	rule->owner = observ_rule_text(row, RULE_COL_OWNER);
	rule->severity = read_severity(row);
	rule->labels = DatumGetJsonbPCopy(row->values[RULE_COL_LABELS]);
	rule->annotations = DatumGetJsonbPCopy(row->values[RULE_COL_ANNOTATIONS]);
	rule->description = observ_rule_text(row, RULE_COL_DESCRIPTION);
	rule->runbook_url = observ_rule_text(row, RULE_COL_RUNBOOK_URL);
	rule->per_app = DatumGetBool(row->values[RULE_COL_PER_APP]);
	rule->min_samples = DatumGetInt32(row->values[RULE_COL_MIN_SAMPLES]);
	read_value(row, rule);
	read_policy(row, rule);
	rule->matchers = read_matchers(row, RULE_COL_MATCHERS);
	rule->selector = read_matchers(row, RULE_COL_SELECTOR);
}
