/*
 * Rules of inhibition over live alerts. What does not belong here: the decision (core/inhibition.c), silences.
 */
#include "postgres.h"

#include "ext/suppression_parts.h"

#include "catalog/pg_type.h"
#include "core/inhibition.h"
#include "ext/gucs.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

StaticAssertDecl(ALERT_NEVER == DT_NOBEGIN, "times that are not there are the same in core and here");

/* Of rules without one of their own when observ.evaluation_interval is 0, as live_alert.c has it. */
#define DEFAULT_INTERVAL_S 15

typedef struct Rule {
	const char *name;
	ObservMatcherSets *source, *target;
	int *equal; /* numbers of the labels */
	struct inhibition_rule rule;
	int n_sources, room;
	struct inhibition_source *sources;
	struct inhibition_index index;
} Rule;

struct ObservInhibitions {
	int n;
	Rule *rule;
};

/* Columns of the query, from 1. */
enum RuleColumn {
	COL_NAME = 1,
	COL_SOURCE,
	COL_TARGET,
	COL_EQUAL,
	COL_LOWER_SEVERITY,
	COL_HOLD,
	COL_GRACE,
};

static void
read_equal(Rule *rule, ArrayType *names, ObservLabelNames *labels)
{
	Datum *name;
	bool *nulls;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &name, &nulls, &rule->rule.n_equal);
	rule->equal = palloc(Max(rule->rule.n_equal, 1) * sizeof(int));
	for (int i = 0; i < rule->rule.n_equal; i++)
		rule->equal[i] = observ_label_number(labels, slice_of(nulls[i] ? "" : TextDatumGetCString(name[i])));
}

static void
read_rule(uint64 row, Rule *out, ObservLabelNames *names)
{
	bool isnull;
	Datum grace;

	out->name = TextDatumGetCString(observ_spi_value(row, COL_NAME, &isnull));
	out->source =
		observ_try_matcher_sets(TextDatumGetCString(observ_spi_value(row, COL_SOURCE, &isnull)), names);
	out->target =
		observ_try_matcher_sets(TextDatumGetCString(observ_spi_value(row, COL_TARGET, &isnull)), names);
	read_equal(out, DatumGetArrayTypePCopy(observ_spi_value(row, COL_EQUAL, &isnull)), names);
	out->rule.lower_severity = DatumGetBool(observ_spi_value(row, COL_LOWER_SEVERITY, &isnull));
	out->rule.hold_on_pending = DatumGetBool(observ_spi_value(row, COL_HOLD, &isnull));
	grace = observ_spi_value(row, COL_GRACE, &isnull);
	out->rule.grace_us =
		isnull ? INHIBITION_GRACE_OF_TARGET : observ_interval_usecs(DatumGetIntervalP(grace));
}

static ObservInhibitions *
load_rules(ObservLabelNames *names)
{
	ObservInhibitions *all = palloc0(sizeof(ObservInhibitions));
	uint64 n = observ_spi(SPI_OK_SELECT,
						  "SELECT name, source_matchers, target_matchers, equal, lower_severity, "
						  "hold_on_pending, recovery_grace "
						  "FROM observ.inhibition_rules WHERE enabled ORDER BY inhibition_id",
						  0, NULL, NULL, NULL);

	all->rule = palloc0(Max(n, 1) * sizeof(Rule));
	for (uint64 i = 0; i < n; i++) {
		Rule *rule = &all->rule[all->n];

		read_rule(i, rule, names);
		if (rule->source != NULL && rule->target != NULL)
			all->n++;
		else
			ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED),
							  errmsg("matchers of inhibition rule \"%s\" can't be read", rule->name),
							  errhint("It inhibits nothing.")));
	}
	return all;
}

/* The longest time that a source which has ended still matters for. */
static int64
longest_grace(const ObservInhibitions *all)
{
	bool isnull;
	Datum own;
	int64 interval = Max(observ_evaluation_interval, DEFAULT_INTERVAL_S) * USECS_PER_SEC, longest = 0;

	observ_spi(SPI_OK_SELECT, "SELECT max(evaluation_interval) FROM observ.alert_rules", 0, NULL, NULL, NULL);
	own = observ_spi_value(0, 1, &isnull);
	if (!isnull)
		interval = Max(interval, observ_interval_usecs(DatumGetIntervalP(own)));
	for (int i = 0; i < all->n; i++) {
		int64 grace = all->rule[i].rule.grace_us;

		longest = Max(longest, grace == INHIBITION_GRACE_OF_TARGET ? 2 * interval : grace);
	}
	return longest;
}

static struct slice *
equal_values(const Rule *rule, const struct slice *values)
{
	struct slice *out = palloc(Max(rule->rule.n_equal, 1) * sizeof *out);

	for (int i = 0; i < rule->rule.n_equal; i++)
		out[i] = values[rule->equal[i]];
	return out;
}

static void
add_source(Rule *rule, const ObservAlert *alert, const struct slice *values)
{
	if (rule->n_sources == rule->room) {
		Size size;

		rule->room = Max(2 * rule->room, 16);
		size = rule->room * sizeof(struct inhibition_source);
		rule->sources = rule->sources == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, size)
											  : repalloc_huge(rule->sources, size);
	}
	rule->sources[rule->n_sources++] = (struct inhibition_source){
		.id = alert->alert_id,
		.status = alert->status,
		.is_target = observ_sets_accept(rule->target, values),
		.severity = alert->severity,
		.active_at = alert->active_at,
		.ended_at = alert->starts_at == DT_NOBEGIN ? ALERT_NEVER : alert->ends_at,
		.for_us = alert->for_us,
		.interval_us = alert->interval_us,
		.values = equal_values(rule, values),
	};
}

static void
build_index(Rule *rule, TimestampTz at)
{
	size_t n = (size_t) rule->n_sources;
	struct inhibition_source **chains =
		MemoryContextAllocHuge(CurrentMemoryContext, inhibition_chains(n) * sizeof *chains);

	inhibition_build(&rule->index, &rule->rule, at, rule->sources, n, chains);
}

ObservInhibitions *
observ_load_inhibitions(TimestampTz at, ObservLabelNames *names)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	ObservInhibitions *all = load_rules(names);
	Datum arguments[2];
	ObservAlert *alerts;
	int n;

	if (all->n == 0)
		return NULL;
	arguments[0] = TimestampTzGetDatum(at - longest_grace(all));
	arguments[1] = TimestampTzGetDatum(at);
	alerts = observ_load_alerts(at,
								"(a.status <> 'resolved' OR a.status = 'resolved' AND a.ends_at > $1 "
								"AND a.ends_at <= $2 AND a.starts_at IS NOT NULL)",
								lengthof(types), types, arguments, &n);
	for (int i = 0; i < n; i++) {
		struct slice *values;

		/* Because of a test nobody stays uninformed. */
		if (observ_is_test(alerts[i].labels))
			continue;
		values = observ_alert_values(names, &alerts[i]);
		for (int k = 0; k < all->n; k++)
			if (observ_sets_accept(all->rule[k].source, values))
				add_source(&all->rule[k], &alerts[i], values);
		pfree(values);
	}
	for (int k = 0; k < all->n; k++)
		build_index(&all->rule[k], at);
	return all;
}

static struct inhibition_verdict
verdict_of(const Rule *rule, const ObservAlert *alert, const struct slice *values)
{
	struct inhibition_target target = {
		.id = alert->alert_id,
		.severity = alert->severity,
		.starts_at = alert->starts_at,
		.sampled_at = alert->sampled_at,
		.interval_us = alert->interval_us,
	};

	if (rule->n_sources == 0 || !observ_sets_accept(rule->target, values))
		return (struct inhibition_verdict){.kind = INHIBITION_NONE};
	target.is_source = observ_sets_accept(rule->source, values);
	target.values = equal_values(rule, values);
	return inhibition_decide(&rule->index, &target);
}

ObservSuppression
observ_inhibition_of(const ObservInhibitions *all, const ObservAlert *alert, const struct slice *values)
{
	static const enum suppressed_by by[] = {[INHIBITION_FIRING] = SUPPRESSED_INHIBITED,
											[INHIBITION_PENDING] = SUPPRESSED_HELD,
											[INHIBITION_GRACE] = SUPPRESSED_GRACE,
											[INHIBITION_NONE] = SUPPRESSED_NOT};
	struct inhibition_verdict strongest = {.kind = INHIBITION_NONE};
	const char *name = NULL;

	for (int i = 0; i < all->n && strongest.kind != INHIBITION_FIRING; i++) {
		struct inhibition_verdict verdict = verdict_of(&all->rule[i], alert, values);

		if (verdict.kind < strongest.kind) {
			strongest = verdict;
			name = all->rule[i].name;
		}
	}
	return (ObservSuppression){by[strongest.kind], strongest.source_id, name,
							   strongest.until == ALERT_NEVER ? DT_NOEND : strongest.until};
}
