/*
 * A row of observ.alert_rules as an array of values: what the trigger, the loader and create_alert_rule() have in common.
 * What does not belong here: what rules are used for (alert_rule.h).
 */
#ifndef OBSERV_EXT_RULE_ROW_H
#define OBSERV_EXT_RULE_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "ext/alert_rule.h"
#include "utils/timestamp.h"

/* Columns of observ.alert_rules that observ knows; users may add their own. */
enum ObservRuleColumn {
	RULE_COL_RULE_ID,
	RULE_COL_NAME,
	RULE_COL_DESCRIPTION,
	RULE_COL_CATEGORY,
	RULE_COL_SOURCE,
	RULE_COL_METRIC_NAME,
	RULE_COL_MATCHERS,
	RULE_COL_AGGREGATE,
	RULE_COL_WINDOW,
	RULE_COL_PREDICT_AHEAD,
	RULE_COL_PREDICT_FROM,
	RULE_COL_OPERATOR,
	RULE_COL_THRESHOLD,
	RULE_COL_CLEAR_THRESHOLD,
	RULE_COL_QUERY,
	RULE_COL_SELECTOR,
	RULE_COL_PER_APP,
	RULE_COL_MIN_SAMPLES,
	RULE_COL_FOR_DURATION,
	RULE_COL_KEEP_FIRING_FOR,
	RULE_COL_EVALUATION_INTERVAL,
	RULE_COL_EVALUATION_DELAY,
	RULE_COL_NO_DATA,
	RULE_COL_ON_MISSING,
	RULE_COL_MISSING_FOR,
	RULE_COL_REOPEN_WINDOW,
	RULE_COL_FLAP_DETECTION,
	RULE_COL_SEVERITY,
	RULE_COL_ENABLED,
	RULE_COL_LABELS,
	RULE_COL_ANNOTATIONS,
	RULE_COL_CHANNELS,
	RULE_COL_RUNBOOK_URL,
	RULE_COL_OWNER,
	RULE_COL_VERSION,
	RULE_COL_CREATED_AT,
	RULE_COL_UPDATED_AT,
	RULE_COLUMNS
};

typedef struct ObservRuleRow {
	Datum values[RULE_COLUMNS]; /* not detoasted */
	bool nulls[RULE_COLUMNS];
} ObservRuleRow;

/* Name of a column. */
extern const char *observ_rule_column_name(enum ObservRuleColumn column);

/* Where the columns are in that relation or result. Raises 42703 or 42804 when one is not there, or is something else. */
extern void observ_rule_columns(TupleDesc desc, AttrNumber *numbers);
extern void observ_rule_row(HeapTuple tuple, TupleDesc desc, const AttrNumber *numbers, ObservRuleRow *row);

/* Values as C strings, palloc'd; NULL for NULL. */
extern char *observ_rule_text(const ObservRuleRow *row, enum ObservRuleColumn column);

/* "00:05:00": an interval, which must not be NULL. */
extern char *observ_rule_interval(const ObservRuleRow *row, enum ObservRuleColumn column);

/* Whether two rows have different values there, byte by byte. */
extern bool observ_rule_differs(const ObservRuleRow *a, const ObservRuleRow *b, enum ObservRuleColumn column);

/*
 * An interval in microseconds, a month taken as 30 days and a day as 24 hours. NULL is 0. Raises 22008 when it is negative or longer than
 * OBSERV_RULE_LONGEST.
 */
extern int64 observ_rule_usecs(const ObservRuleRow *row, enum ObservRuleColumn column);
#define OBSERV_RULE_LONGEST (INT64CONST(3660) * USECS_PER_DAY)

/* Raises 23502 when a column that needs a value has none; the table says so too, but after its trigger, and it belongs to its users. */
extern void observ_require_values(const ObservRuleRow *row);

/* The rule that a row holds. Raises what is wrong with names, matchers and durations; what else makes no sense is for observ_check_rule(). */
extern void observ_read_rule(const ObservRuleRow *row, ObservRule *rule);

/*
 * What INSERT and UPDATE make of a row before they store it (rule_check.c): completes source and operator, then raises what is wrong.
 * old: the row that is updated; NULL: none. Allocates in the current memory context.
 */
extern void observ_check_rule(ObservRuleRow *row, const ObservRuleRow *old);

#endif
