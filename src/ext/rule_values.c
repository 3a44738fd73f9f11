/*
 * Whether the numbers of an alert rule make sense: aggregate, window, thresholds, durations.
 * What does not belong here: texts (rule_texts.c), queries (rule_query_check.c).
 */
#include "postgres.h"

#include "ext/rule_check.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "utils/builtins.h"

/* How often the fastest VPS reports when none has said: the shortest interval that an agent takes for its deliveries. */
#define USUAL_INTERVAL_MS 10000

/* The shortest interval of an evaluation: that of the job. */
#define SHORTEST_INTERVAL USECS_PER_SEC

#define WRONG(message) errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg message

static char *
number(double value)
{
	return DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value)));
}

/* ---- thresholds */

static void
check_threshold(const ObservRule *rule, const ObservRuleRow *row)
{
	if (row->nulls[RULE_COL_THRESHOLD]) {
		if (rule->source != RULE_QUERY)
			ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("an alert rule needs a threshold"),
							errdetail("Metric: %s.", rule->metric_name),
							errhint("For instance operator 'gt' and threshold 80.")));
	} else if (!isfinite(rule->threshold))
		ereport(ERROR, (WRONG(("threshold of an alert rule must be a finite number")),
						errdetail("Given: %s.", number(rule->threshold))));
}

static void
check_clear_threshold(const ObservRule *rule)
{
	bool above = rule->op == RULE_GT || rule->op == RULE_GTE;

	if (!rule->has_clear)
		return;
	if (!isfinite(rule->clear_threshold))
		ereport(ERROR, (WRONG(("clear_threshold of an alert rule must be a finite number")),
						errdetail("Given: %s.", number(rule->clear_threshold))));
	if (rule->op == RULE_EQ || rule->op == RULE_NE)
		ereport(ERROR, (WRONG(("clear_threshold has no side to be on with operator %s",
							   rule_operator_names[rule->op])),
						errdetail("clear_threshold: %s.", number(rule->clear_threshold)),
						errhint("Leave it out; keep_firing_for waits before an alert is resolved.")));
	if (above ? rule->clear_threshold > rule->threshold : rule->clear_threshold < rule->threshold)
		ereport(ERROR, (WRONG(("clear_threshold of an alert rule is on the wrong side of its threshold")),
						errdetail("It fires when the value is %s %s, and would clear at %s.",
								  rule_operator_names[rule->op], number(rule->threshold),
								  number(rule->clear_threshold)),
						errhint("With operator %s clear_threshold is %s threshold.",
								rule_operator_names[rule->op], above ? "at most" : "at least")));
}

/* Where the line of predict is followed at all. */
static void
check_predict_from(const ObservRule *rule, const ObservRuleRow *row)
{
	if (row->nulls[RULE_COL_PREDICT_FROM])
		return;
	if (rule->aggregate != RULE_PREDICT)
		ereport(ERROR, (WRONG(("predict_from has no meaning with aggregate %s",
							   rule_aggregate_names[rule->aggregate])),
						errdetail("predict_from: %s.", number(rule->from)),
						errhint("Set aggregate to 'predict', or predict_from to NULL.")));
	if (!isfinite(rule->from))
		ereport(ERROR, (WRONG(("predict_from of an alert rule must be a finite number")),
						errdetail("Given: %s.", number(rule->from))));
	if (rule->op == RULE_EQ || rule->op == RULE_NE)
		ereport(ERROR,
				(WRONG(("predict_from has no side to be on with operator %s", rule_operator_names[rule->op])),
				 errdetail("predict_from: %s.", number(rule->from)),
				 errhint("With gt the newest value must be above it, with lt below.")));
}

/* ---- aggregates */

static void
check_last_only(const ObservRule *rule)
{
	if (rule->aggregate == RULE_LAST)
		return;
	ereport(ERROR, (WRONG(("aggregate %s does not fit metric \"%s\"", rule_aggregate_names[rule->aggregate],
						   rule->metric_name)),
					errdetail("It is worked out %s already: %s.",
							  rule->metric->kind == RULE_WINDOWED ? "over the window"
																  : "for the time of the evaluation",
							  rule->metric->help),
					errhint("Leave aggregate out.")));
}

static void
check_aggregate(const ObservRule *rule)
{
	const struct rule_metric *metric = rule->metric;
	bool counts = rule->aggregate == RULE_RATE || rule->aggregate == RULE_INCREASE;

	if (metric == NULL)
		return;
	if (metric->kind == RULE_WINDOWED || metric->kind == RULE_STANDING)
		check_last_only(rule);
	else if (counts && metric->kind == RULE_EVENTS)
		ereport(ERROR, (WRONG(("aggregate %s does not fit metric \"%s\"",
							   rule_aggregate_names[rule->aggregate], metric->name)),
						errdetail("Each sample counts what happened since the one before."),
						errhint("Use aggregate sum.")));
	else if (counts)
		ereport(ERROR, (WRONG(("aggregate %s does not fit metric \"%s\"",
							   rule_aggregate_names[rule->aggregate], metric->name)),
						errdetail("It is for counters, which only grow; this goes up and down."),
						errhint("Use aggregate delta for how much it changed, or avg.")));
	else if (rule->aggregate == RULE_ANOMALY &&
			 (metric->source != RULE_VPS_METRICS || metric->divisor != NULL))
		ereport(ERROR,
				(WRONG(("aggregate anomaly does not fit metric \"%s\"", metric->name)),
				 errdetail("It needs hourly means of past days, which are kept of columns of vps_metrics "
						   "and of labelled metrics."),
				 errhint("Use aggregate avg and a threshold.")));
}

static void
check_span(const ObservRule *rule, const ObservRuleRow *row)
{
	bool needed =
		rule->aggregate != RULE_LAST || (rule->metric != NULL && rule->metric->kind == RULE_WINDOWED);

	if (row->nulls[RULE_COL_WINDOW]) {
		if (needed)
			ereport(ERROR, (WRONG(("an alert rule with %s %s needs a window",
								   rule->aggregate != RULE_LAST ? "aggregate" : "metric",
								   rule->aggregate != RULE_LAST ? rule_aggregate_names[rule->aggregate]
																: rule->metric->name)),
							errdetail("window: NULL."), errhint("For instance \"window\" = '5 minutes'.")));
	} else if (rule->source == RULE_ABSENCE)
		ereport(ERROR, (WRONG(("window has no meaning with metric \"%s\"", rule->metric_name)),
						errdetail("Given: %s.", observ_rule_interval(row, RULE_COL_WINDOW)),
						errhint("threshold is the age in seconds; leave window out.")));
	else if (rule->window_us < USECS_PER_SEC)
		ereport(ERROR, (WRONG(("window of an alert rule is too short")),
						errdetail("Given: %s.", observ_rule_interval(row, RULE_COL_WINDOW)),
						errhint("At least 1 second, for instance '5 minutes'.")));
	if (rule->aggregate == RULE_PREDICT && rule->ahead_us == 0)
		ereport(ERROR,
				(WRONG(("an alert rule with aggregate predict needs predict_ahead")),
				 errdetail("predict_ahead: %s.", row->nulls[RULE_COL_PREDICT_AHEAD]
													 ? "NULL"
													 : observ_rule_interval(row, RULE_COL_PREDICT_AHEAD)),
				 errhint("For instance predict_ahead = '4 hours'.")));
	if (rule->aggregate != RULE_PREDICT && !row->nulls[RULE_COL_PREDICT_AHEAD])
		ereport(ERROR, (WRONG(("predict_ahead has no meaning with aggregate %s",
							   rule_aggregate_names[rule->aggregate])),
						errdetail("predict_ahead: %s.", observ_rule_interval(row, RULE_COL_PREDICT_AHEAD)),
						errhint("Set aggregate to 'predict', or predict_ahead to NULL.")));
	check_predict_from(rule, row);
}

/* ---- matchers */

/* Labels that the instances of a source have before they get those of their VPS; NULL: any. */
static const char *const *
labels_of(const ObservRule *rule)
{
	static const char *const checks[] = {"url", "vps_name", "app_name", NULL};
	static const char *const logs[] = {"level", "logger", "source", "message", "vps_name", "app_name", NULL};
	static const char *const none[] = {NULL};

	switch (rule->source) {
	case RULE_HEALTH_CHECKS:
		return checks;
	case RULE_LOG_ENTRIES:
		return logs;
	case RULE_METRIC_SAMPLES:
		return NULL;
	default:
		return none;
	}
}

static void
check_matcher(const ObservRule *rule, const struct matcher *matcher)
{
	const char *const *known = labels_of(rule);
	StringInfoData list;

	if (known == NULL)
		return;
	initStringInfo(&list);
	for (; *known != NULL; known++) {
		if (slice_equals(matcher->name, *known))
			return;
		appendStringInfo(&list, "%s%s", list.len == 0 ? "" : ", ", *known);
	}
	ereport(ERROR,
			(WRONG(("matchers of a rule about %s have no label \"%.*s\"", rule_source_names[rule->source],
					(int) (matcher->name.end - matcher->name.p), matcher->name.p)),
			 list.len == 0 ? errdetail("It has a value per VPS and application.")
						   : errdetail("Labels there are: %s.", list.data),
			 errhint("selector takes VPSs and applications, by vps_name, app_name and the labels of "
					 "observ.vps.")));
}

/* ---- queries */

/* What a query answers itself must not be given beside it: it would do nothing. */
static void
check_beside_query(const ObservRuleRow *row, const ObservRule *rule)
{
	static const enum ObservRuleColumn none[] = {RULE_COL_MATCHERS, RULE_COL_WINDOW, RULE_COL_PREDICT_AHEAD,
												 RULE_COL_PREDICT_FROM, RULE_COL_CLEAR_THRESHOLD};

	for (int i = 0; i < (int) lengthof(none); i++)
		if (!row->nulls[none[i]])
			ereport(ERROR, (WRONG(("%s has no meaning in an alert rule with a query",
								   observ_rule_column_name(none[i]))),
							errhint("The query decides itself, by its column breach.")));
	if (rule->aggregate != RULE_LAST)
		ereport(ERROR, (WRONG(("aggregate has no meaning in an alert rule with a query")),
						errdetail("Given: %s.", rule_aggregate_names[rule->aggregate]),
						errhint("Leave it out: the query decides itself, by its column breach.")));
}

/* ---- all of it */

void
observ_check_values(const ObservRule *rule, const ObservRuleRow *row)
{
	check_threshold(rule, row);
	if (rule->min_samples < 1)
		ereport(ERROR, (WRONG(("min_samples of an alert rule must be at least 1")),
						errdetail("Given: %d.", rule->min_samples)));
	if (!row->nulls[RULE_COL_EVALUATION_INTERVAL] && rule->interval_us < SHORTEST_INTERVAL)
		ereport(ERROR, (WRONG(("evaluation_interval of an alert rule must be at least 1 second")),
						errdetail("Given: %s.", observ_rule_interval(row, RULE_COL_EVALUATION_INTERVAL)),
						errhint("NULL is at every evaluation.")));
	if (rule->source == RULE_QUERY) {
		check_beside_query(row, rule);
		return;
	}
	check_clear_threshold(rule);
	check_aggregate(rule);
	check_span(rule, row);
	for (int i = 0; rule->matchers != NULL && i < rule->matchers->n; i++)
		check_matcher(rule, &rule->matchers->item[i]);
	if (rule->source == RULE_ABSENCE && rule->op != RULE_GT && rule->op != RULE_GTE)
		ereport(ERROR, (WRONG(("operator %s does not fit metric \"%s\"", rule_operator_names[rule->op],
							   rule->metric_name)),
						errdetail("It grows from one sample to the next."), errhint("Use gt.")));
}

/* ---- what is there now */

/* How often the fastest VPS reports, ms. */
static int64
fastest_interval(void)
{
	static SPIPlanPtr plan = NULL;
	bool isnull;
	Datum fastest;

	observ_spi_kept(&plan, SPI_OK_SELECT,
					"SELECT min(ms)::int8 FROM ("
					"SELECT extract(epoch FROM v.expected_interval) * 1000 FROM observ.vps v "
					"WHERE v.status <> 'retired' AND v.expected_interval > interval '0' "
					"UNION ALL SELECT least(nullif(f.expected_ms, 0), nullif(f.interval_ms, 0)) "
					"FROM observ.fleet_summary f) i (ms) WHERE ms > 0",
					0, NULL, NULL, NULL);
	fastest = observ_spi_value(0, 1, &isnull);
	return isnull ? USUAL_INTERVAL_MS : DatumGetInt64(fastest);
}

static void
check_room(const ObservRule *rule, const ObservRuleRow *row)
{
	int64 each = fastest_interval() * 1000;
	int64 most = (rule->window_us + each - 1) / each;
	int64 needed = Max(2, rule->min_samples);
	Interval least = {.time = needed * each};

	if (most < needed)
		ereport(ERROR,
				(WRONG(("window of an alert rule is too short")),
				 errdetail("Given: %s. The fastest VPS reports every %g seconds, so at most " INT64_FORMAT
						   " of the " INT64_FORMAT " samples needed can fall into it.",
						   observ_rule_interval(row, RULE_COL_WINDOW), (double) each / USECS_PER_SEC, most,
						   needed),
				 errhint("At least '%s'; or aggregate last, without a window.",
						 DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&least))))));
}

/* How long rows that the rule reads are kept, µs; PG_INT64_MAX: for ever. */
static int64
kept_for(const ObservRule *rule)
{
	static SPIPlanPtr plan = NULL;
	bool rolled_up = rule->source == RULE_VPS_METRICS || rule->source == RULE_METRIC_SAMPLES;
	Datum values[] = {CStringGetTextDatum(rule_source_names[rule->source]),
					  CStringGetTextDatum(rolled_up ? "rollup_5m" : "")};
	bool isnull;
	Datum longest;

	observ_spi_kept(&plan, SPI_OK_SELECT,
					"SELECT max(max_age) FROM observ.retention_policies WHERE data_set IN ($1, $2) "
					"HAVING bool_and(enabled AND max_age IS NOT NULL)",
					lengthof(values), (Oid[]){TEXTOID, TEXTOID}, values, NULL);
	if (SPI_processed == 0)
		return PG_INT64_MAX;
	longest = observ_spi_value(0, 1, &isnull);
	return isnull ? PG_INT64_MAX : observ_interval_usecs(DatumGetIntervalP(longest));
}

static void
check_kept(const ObservRule *rule, const ObservRuleRow *row)
{
	int64 kept = kept_for(rule);

	if (rule->window_us > kept)
		ereport(ERROR, (WRONG(("window of an alert rule is longer than its rows are kept")),
						errdetail("Given: %s; %s are kept for " INT64_FORMAT " hours.",
								  observ_rule_interval(row, RULE_COL_WINDOW), rule_source_names[rule->source],
								  kept / USECS_PER_HOUR),
						errhint("SELECT * FROM observ.retention_policies says how long what is kept.")));
}

void
observ_check_window(const ObservRule *rule, const ObservRuleRow *row)
{
	ObservIdentity saved;

	if (rule->window_us == 0)
		return;
	saved = observ_as_owner_begin();
	SPI_connect();
	if (rule->source == RULE_VPS_METRICS && rule->aggregate != RULE_LAST)
		check_room(rule, row);
	check_kept(rule, row);
	SPI_finish();
	observ_as_owner_end(&saved);
}
