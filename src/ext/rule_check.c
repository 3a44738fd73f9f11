/*
 * The trigger of observ.alert_rules: completes what was left out, refuses what can't work.
 * What does not belong here: what a query of a rule may be (rule_query_check.c), texts and labels (rule_texts.c).
 */
#include "postgres.h"

#include "ext/rule_check.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

OBSERV_SQL_FUNCTION(observ_check_alert_rule);

static bool
same_value(const ObservRuleRow *a, const ObservRuleRow *b, enum ObservRuleColumn column, TupleDesc desc,
		   const AttrNumber *numbers)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, numbers[column] - 1);

	if (a->nulls[column] || b->nulls[column])
		return a->nulls[column] == b->nulls[column];
	return datum_image_eq(a->values[column], b->values[column], attribute->attbyval, attribute->attlen);
}

static void
set_text(ObservRuleRow *row, enum ObservRuleColumn column, const char *text)
{
	row->values[column] = CStringGetTextDatum(text);
	row->nulls[column] = false;
}

static void
complete_operator(ObservRuleRow *row)
{
	const char *given = row->nulls[RULE_COL_OPERATOR] ? "NULL" : observ_rule_text(row, RULE_COL_OPERATOR);
	enum rule_operator op = rule_operator_find(given);

	if (op == RULE_OPERATORS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown operator of an alert rule"),
						errdetail("Given: %s.", given),
						errhint("One of gt (>), gte (>=), lt (<), lte (<=), eq (=) or ne (!=).")));
	set_text(row, RULE_COL_OPERATOR, rule_operator_names[op]);
}

void
observ_check_rule(ObservRuleRow *row, const ObservRuleRow *old)
{
	complete_operator(row);
	observ_complete_source(row, old);
	observ_check_texts(row);
}

/* Number, times and owner: the trigger's, whatever was given. */
static void
keep_books(ObservRuleRow *row, const ObservRuleRow *old, TupleDesc desc, const AttrNumber *numbers)
{
	bool changed = old == NULL;

	for (int i = 0; i < RULE_COL_VERSION && !changed; i++)
		changed = !same_value(row, old, (enum ObservRuleColumn) i, desc, numbers);
	row->values[RULE_COL_VERSION] =
		Int32GetDatum(old == NULL ? 1 : DatumGetInt32(old->values[RULE_COL_VERSION]) + (changed ? 1 : 0));
	row->values[RULE_COL_CREATED_AT] = old == NULL
										   ? TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())
										   : old->values[RULE_COL_CREATED_AT];
	row->values[RULE_COL_UPDATED_AT] = changed ? TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())
											   : old->values[RULE_COL_UPDATED_AT];
	row->nulls[RULE_COL_VERSION] = row->nulls[RULE_COL_CREATED_AT] = row->nulls[RULE_COL_UPDATED_AT] = false;
}

/* The tuple with the columns that the trigger completes. */
static HeapTuple
completed(HeapTuple tuple, TupleDesc desc, const AttrNumber *numbers, const ObservRuleRow *row)
{
	static const enum ObservRuleColumn ours[] = {RULE_COL_SOURCE,  RULE_COL_OPERATOR,   RULE_COL_OWNER,
												 RULE_COL_VERSION, RULE_COL_CREATED_AT, RULE_COL_UPDATED_AT};
	int columns[lengthof(ours)];
	Datum values[lengthof(ours)];
	bool nulls[lengthof(ours)];

	for (int i = 0; i < (int) lengthof(ours); i++) {
		columns[i] = numbers[ours[i]];
		values[i] = row->values[ours[i]];
		nulls[i] = row->nulls[ours[i]];
	}
	return heap_modify_tuple_by_cols(tuple, desc, lengthof(ours), columns, values, nulls);
}

/* observ_data._check_alert_rule(): BEFORE INSERT OR UPDATE on observ.alert_rules, for each row. */
Datum
observ_check_alert_rule(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ObservRuleRow row, before, *old = NULL;
	AttrNumber numbers[RULE_COLUMNS];
	HeapTuple tuple;
	TupleDesc desc;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"_check_alert_rule\" must be called before INSERT or UPDATE of a row")));
	desc = RelationGetDescr(trigger->tg_relation);
	observ_rule_columns(desc, numbers);
	tuple = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)) {
		observ_rule_row(trigger->tg_trigtuple, desc, numbers, &before);
		old = &before;
		tuple = trigger->tg_newtuple;
	}
	observ_rule_row(tuple, desc, numbers, &row);
	observ_check_rule(&row, old);
	keep_books(&row, old, desc, numbers);
	return PointerGetDatum(completed(tuple, desc, numbers, &row));
}
