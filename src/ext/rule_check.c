/*
 * The trigger of observ.alert_rules: completes what was left out, refuses what can't work.
 * What does not belong here: what the numbers, texts and queries of a rule may be (rule_values.c, rule_texts.c, rule_query_check.c).
 */
#include "postgres.h"

#include "ext/rule_check.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/trigger_row.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

OBSERV_SQL_FUNCTION(observ_check_alert_rule);

static void
name_rule(void *arg)
{
	char *name = observ_rule_text(arg, RULE_COL_NAME);

	if (name != NULL)
		errcontext("alert rule \"%s\"", name);
}

static void
complete_operator(ObservRuleRow *row)
{
	char *given = observ_rule_text(row, RULE_COL_OPERATOR);
	enum rule_operator op = rule_operator_find(given);

	if (op == RULE_OPERATORS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown operator of an alert rule"),
						errdetail("Given: %s.", given),
						errhint("One of gt (>), gte (>=), lt (<), lte (<=), eq (=) or ne (!=).")));
	row->values[RULE_COL_OPERATOR] = CStringGetTextDatum(rule_operator_names[op]);
}

/* ---- who it belongs to */

static void
set_owner(ObservRuleRow *row, Oid role)
{
	row->values[RULE_COL_OWNER] =
		DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(role, false)));
	row->nulls[RULE_COL_OWNER] = false;
}

/*
 * The role that the query runs as, which the user must be a member of, or anybody who may edit rules could run anything as anybody. Who changes
 * somebody else's query makes it their own.
 */
static Oid
check_owner(ObservRuleRow *row, const ObservRuleRow *old)
{
	Oid user = GetUserId(), owner;
	bool given = old == NULL || observ_rule_differs(row, old, RULE_COL_OWNER);

	if (row->nulls[RULE_COL_OWNER])
		set_owner(row, user);
	owner = get_role_oid(observ_rule_text(row, RULE_COL_OWNER), !given);
	if (OidIsValid(owner) && is_member_of_role(user, owner))
		return owner;
	if (given)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be member of role \"%s\"", observ_rule_text(row, RULE_COL_OWNER)),
						errdetail("The query of an alert rule runs as its owner."),
						errhint("Leave owner out, and it is who enters the rule.")));
	if (!observ_rule_differs(row, old, RULE_COL_QUERY))
		return owner;
	set_owner(row, user);
	return user;
}

/* ---- the check */

/* Whether nothing but `enabled` changes, and that to false: what has become wrong must not keep anybody from it. */
static bool
only_switched_off(const ObservRuleRow *row, const ObservRuleRow *old)
{
	if (row->nulls[RULE_COL_ENABLED] || DatumGetBool(row->values[RULE_COL_ENABLED]))
		return false;
	for (int i = 0; i < RULE_COLUMNS; i++)
		if (i != RULE_COL_ENABLED && observ_rule_differs(row, old, (enum ObservRuleColumn) i))
			return false;
	return true;
}

/* Whether it must be looked at in the light of what is there now. */
static bool
is_new(const ObservRuleRow *row, const ObservRuleRow *old)
{
	static const enum ObservRuleColumn telling[] = {RULE_COL_SOURCE, RULE_COL_METRIC_NAME, RULE_COL_AGGREGATE,
													RULE_COL_WINDOW, RULE_COL_MIN_SAMPLES, RULE_COL_QUERY,
													RULE_COL_OWNER,  RULE_COL_ENABLED};

	if (old == NULL)
		return true;
	for (int i = 0; i < (int) lengthof(telling); i++)
		if (observ_rule_differs(row, old, telling[i]))
			return true;
	return false;
}

static void
check(ObservRuleRow *row, const ObservRuleRow *old)
{
	ObservRule rule = {0};
	Oid owner;

	observ_require_values(row);
	if (old != NULL && observ_rule_differs(row, old, RULE_COL_RULE_ID))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("rule_id of an alert rule can't be changed"),
				 errdetail("Its alerts have it."), errhint("Change the name, or enter another rule.")));
	complete_operator(row);
	observ_complete_source(row, old);
	owner = check_owner(row, old);
	observ_read_rule(row, &rule);
	observ_check_texts(row);
	observ_check_values(&rule, row);
	if (!is_new(row, old))
		return;
	if (rule.source != RULE_QUERY)
		observ_check_window(&rule, row);
	else if (OidIsValid(owner))
		row->values[RULE_COL_QUERY] = CStringGetTextDatum(observ_check_query(rule.query, owner));
	else
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role \"%s\" does not exist", rule.owner),
						errdetail("The query of an alert rule runs as its owner."), errhint("Set owner.")));
}

void
observ_check_rule(ObservRuleRow *row, const ObservRuleRow *old)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = name_rule, .arg = row};

	if (old != NULL && only_switched_off(row, old))
		return;
	error_context_stack = &callback;
	check(row, old);
	error_context_stack = callback.previous;
}

/* ---- the trigger */

/* Number and times are the trigger's, whatever was given. */
static void
keep_books(ObservRuleRow *row, const ObservRuleRow *old)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	bool changed = old == NULL;

	for (int i = 0; i < RULE_COL_VERSION && !changed; i++)
		changed = observ_rule_differs(row, old, (enum ObservRuleColumn) i);
	row->values[RULE_COL_VERSION] =
		Int32GetDatum(old == NULL ? 1 : DatumGetInt32(old->values[RULE_COL_VERSION]) + changed);
	row->values[RULE_COL_CREATED_AT] =
		old == NULL ? TimestampTzGetDatum(now) : old->values[RULE_COL_CREATED_AT];
	row->values[RULE_COL_UPDATED_AT] = changed ? TimestampTzGetDatum(now) : old->values[RULE_COL_UPDATED_AT];
	row->nulls[RULE_COL_VERSION] = row->nulls[RULE_COL_CREATED_AT] = row->nulls[RULE_COL_UPDATED_AT] = false;
}

/* The tuple with the columns that the trigger completes. */
static HeapTuple
completed(HeapTuple tuple, TupleDesc desc, const AttrNumber *numbers, const ObservRuleRow *row)
{
	static const enum ObservRuleColumn ours[] = {RULE_COL_SOURCE,    RULE_COL_QUERY,   RULE_COL_OPERATOR,
												 RULE_COL_OWNER,     RULE_COL_VERSION, RULE_COL_CREATED_AT,
												 RULE_COL_UPDATED_AT};
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

/* Whether the user may act as the owner that a row says; a role that is gone is none, and its query fails. */
static bool
may_belong(const ObservRuleRow *row)
{
	Oid owner =
		row->nulls[RULE_COL_OWNER] ? InvalidOid : get_role_oid(observ_rule_text(row, RULE_COL_OWNER), true);

	return superuser() || (OidIsValid(owner) && is_member_of_role(GetUserId(), owner));
}

/* observ_data._check_alert_rule(): BEFORE INSERT OR UPDATE on observ.alert_rules, for each row. */
Datum
observ_check_alert_rule(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = observ_trigger(fcinfo);
	ObservRuleRow row, before, *old = NULL;
	HeapTuple tuple = observ_trigger_row(trigger);
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	AttrNumber numbers[RULE_COLUMNS];

	observ_rule_columns(desc, numbers);
	observ_rule_row(tuple, desc, numbers, &row);
	if (observ_restores_a_dump(trigger) && may_belong(&row))
		return PointerGetDatum(tuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)) {
		observ_rule_row(trigger->tg_trigtuple, desc, numbers, &before);
		old = &before;
	}
	observ_check_rule(&row, old);
	keep_books(&row, old);
	return PointerGetDatum(completed(tuple, desc, numbers, &row));
}
