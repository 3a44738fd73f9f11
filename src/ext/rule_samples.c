/*
 * Alert rules over labelled metrics: the samples of all series that rules ask for, VPS by VPS, each row of observ.metric_scrapes read once for
 * all rules.
 * What does not belong here: which series (rule_series.c), what rules make of their samples (rule_sample_values.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/metric_slots.h"
#include "ext/rule_fleet.h"
#include "ext/rule_sample_values.h"
#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The newest sample counts for so long at least, or for so many expected intervals. */
#define LOOKBACK           (5 * USECS_PER_MINUTE)
#define LOOKBACK_INTERVALS 3
/* Series whose last sample is older are not looked for: theirs was a rare VPS. */
#define LONGEST_LOOKBACK USECS_PER_DAY

typedef struct Samples {
	ObservEvaluation *evaluation;
	MemoryContext context;
	ObservRule **rules;
	int n_rules;
	ObservFleet *fleet; /* NULL: not asked for yet */
	TimestampTz at;
	TimestampTz from, until; /* the earliest and the latest time as of which a rule is evaluated */
	bool has_long;           /* a rule reads roll-ups … */
	TimestampTz rolled;      /* … which reach until here */
	ObservRuleSeries *series;
	int n;
	ObservSeriesSet *sets;
	int n_sets;
	int set; /* at hand */

	/* The VPS at hand. */
	int vps_set; /* its first set */
	MemoryContext vps;
	ObservRuleSeries **group;
	const char *owner;        /* application that the next is about */
	signed char *owner_takes; /* per rule: whether it is about that; -1: not known yet */
	bool silent;
	TimestampTz newest; /* sample of any of its series */
	ObservSampleValues values;
} Samples;

static const char scrapes_sql[] =
	"SELECT k.i, c.\"timestamp\", c.\"values\" "
	"FROM unnest($1::text[], $2::text[], $3::int4[], $4::timestamptz[]) WITH ORDINALITY "
	"  k (vps_name, app_name, set_no, since, i), "
	"LATERAL (SELECT m.\"timestamp\", m.\"values\" FROM observ.metric_scrapes m "
	"  WHERE m.vps_name = k.vps_name AND m.app_name = k.app_name AND m.set_no = k.set_no "
	"    AND m.\"timestamp\" > k.since AND m.\"timestamp\" > $5 AND m.\"timestamp\" <= $6 ORDER BY "
	"m.\"timestamp\") c";

/* ---- for how long samples count */

static int64
lookback_of(const Samples *run, const char *vps_name)
{
	int64 expected = observ_expected_interval(run->evaluation, vps_name, 0);

	return Max(LOOKBACK, LOOKBACK_INTERVALS * expected);
}

/* How long a sample is fresh. */
static int64
fresh_of(const Samples *run, const char *vps_name)
{
	int64 expected = observ_expected_interval(run->evaluation, vps_name, 0);

	return expected + expected / 2;
}

/* ---- signals */

/* The series of a group have nothing to say. */
static void
tell_absence(Samples *run, ObservRule *rule, const ObservInstance *instance)
{
	enum alert_signal signal = run->silent ? SIGNAL_SILENT : SIGNAL_MISSING;

	if (observ_worth_telling(rule, signal))
		observ_tell(run->evaluation, rule, instance, signal, get_float8_nan(), DT_NOBEGIN);
}

/* One rule about one instance. */
static void
judge(Samples *run, ObservRule *rule, const ObservSeriesGroup *group)
{
	const ObservRuleSeries *series = group->series[0];
	ObservFound found = observ_value_of_group(&run->values, rule, group, observ_rule_time(run->at, rule));
	ObservInstance instance = {.vps_name = series->vps_name,
							   .app_name = rule->per_app ? series->app_name : NULL,
							   .n_labels = series->labels->n,
							   .labels = series->labels->items};
	enum alert_signal signal;

	if (run->silent || !found.has_value || found.n < rule->min_samples) {
		tell_absence(run, rule, &instance);
		return;
	}
	rule->observed++;
	signal = rule_signal(rule->op, rule->threshold, rule->has_clear, rule->clear_threshold, found.value);
	if (observ_worth_telling(rule, signal))
		observ_tell(run->evaluation, rule, &instance, signal, found.value, found.newest);
}

/* ---- one VPS */

/* Whether a rule is about a series, `number` being its place among the rules of the metric. */
static bool
takes(Samples *run, const ObservRuleSeries *series, int number)
{
	const ObservRule *rule = series->metric->rules[number];
	signed char *known;

	if (!series->labels->accepted[number])
		return false;
	if (run->owner != series->app_name) {
		memset(run->owner_takes, -1, run->n_rules);
		run->owner = series->app_name;
	}
	known = &run->owner_takes[series->metric->first + number];
	if (*known < 0)
		*known = observ_rule_takes_owner(rule, series->vps_name, series->app_name) &&
				 observ_rule_selects(run->evaluation, rule, series->vps_name, series->app_name);
	return *known;
}

static void
judge_series(Samples *run, ObservRuleSeries *series)
{
	for (int i = 0; i < series->metric->n; i++) {
		ObservRule *rule = series->metric->rules[i];
		ObservSeriesGroup group = {&series, 1};

		if (rule->per_app && takes(run, series, i))
			judge(run, rule, &group);
	}
}

/* Rules about the VPS: series of all its applications that have the same labels. */
static void
judge_chain(Samples *run, ObservRuleSeries *chain)
{
	for (int i = 0; i < chain->metric->n; i++) {
		ObservRule *rule = chain->metric->rules[i];
		ObservSeriesGroup group = {run->group, 0};

		if (rule->per_app)
			continue;
		for (ObservRuleSeries *series = chain; series != NULL; series = series->next)
			if (takes(run, series, i))
				run->group[group.n++] = series;
		if (group.n > 0)
			judge(run, rule, &group);
	}
}

/* A VPS has gone silent when neither the rows of its machine nor these samples come any more. */
static bool
is_silent(Samples *run, const char *vps_name)
{
	if (run->newest >= run->at - fresh_of(run, vps_name) || !observ_vps_is_silent(run->evaluation, vps_name))
		return false;
	if (run->fleet == NULL) {
		MemoryContext caller = MemoryContextSwitchTo(run->context);

		run->fleet = observ_load_fleet();
		MemoryContextSwitchTo(caller);
	}
	return observ_fleet_fell_silent(run->fleet, run->evaluation, vps_name);
}

/* All sets of the VPS have been read: series [first, past). */
static void
judge_vps(Samples *run, int first, int past)
{
	MemoryContext caller = MemoryContextSwitchTo(run->vps);

	run->silent = is_silent(run, run->series[first].vps_name);
	run->values.cells = observ_rule_cells(run->rolled);
	run->group = palloc(sizeof(ObservRuleSeries *) * (past - first));
	for (int i = past - 1; i >= first; i--) {
		ObservRuleSeries *series = &run->series[i];

		series->next = series->labels->chain;
		series->labels->chain = series;
	}
	for (int i = first; i < past; i++)
		judge_series(run, &run->series[i]);
	for (int i = first; i < past; i++) {
		ObservRuleLabels *labels = run->series[i].labels;

		if (labels->chain != NULL)
			judge_chain(run, labels->chain);
		labels->chain = NULL;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(run->vps);
}

/* ---- reading */

static bool
same_set(const ObservRuleSeries *a, const ObservRuleSeries *b)
{
	return a->vps_name == b->vps_name && a->app_name == b->app_name && a->set_no == b->set_no;
}

static void
find_sets(Samples *run)
{
	run->sets = palloc_extended(sizeof(ObservSeriesSet) * run->n, MCXT_ALLOC_HUGE);
	for (int i = 0; i < run->n; i++) {
		ObservRuleSeries *series = &run->series[i];
		const ObservRuleMetric *metric = series->metric;
		TimestampTz since;
		ObservSeriesSet *set;

		if (i == 0 || !same_set(series - 1, series))
			run->sets[run->n_sets++] = (ObservSeriesSet){.first = i, .since = DT_NOEND};
		if (i == 0 || series[-1].vps_name != series->vps_name)
			run->values.lookback_us = lookback_of(run, series->vps_name);
		series->set = run->n_sets - 1;
		set = &run->sets[series->set];
		set->past = i + 1;
		/* Whether the VPS is silent shows in what is fresh. */
		since = run->from - Max(metric->window_us, metric->looks_back || metric->long_us > 0
													   ? run->values.lookback_us
													   : fresh_of(run, series->vps_name));
		set->since = Min(set->since, since);
	}
}

/* Goes on to the next set, and judges the VPS when all of its sets have been read. */
static void
next_set(Samples *run)
{
	const ObservRuleSeries *first = &run->series[run->sets[run->vps_set].first];

	run->set++;
	if (run->set < run->n_sets && run->series[run->sets[run->set].first].vps_name == first->vps_name)
		return;
	judge_vps(run, run->sets[run->vps_set].first, run->sets[run->set - 1].past);
	run->vps_set = run->set;
	run->newest = DT_NOBEGIN;
	if (run->set < run->n_sets)
		run->values.lookback_us = lookback_of(run, run->series[run->sets[run->set].first].vps_name);
}

static void
add_sample(Samples *run, ObservRuleSeries *series, TimestampTz at, double value)
{
	if (series->n == series->room) {
		series->room = Max(2 * series->room, 16);
		series->samples = series->samples
							  ? repalloc_huge(series->samples, sizeof(struct window_sample) * series->room)
							  : MemoryContextAlloc(run->vps, sizeof(struct window_sample) * series->room);
	}
	series->samples[series->n++] = (struct window_sample){at, value};
}

static void
take_scrape(void *arg, uint64 row)
{
	Samples *run = arg;
	bool isnull;
	int set = (int) DatumGetInt64(observ_spi_value(row, 1, &isnull)) - 1;
	TimestampTz at = DatumGetTimestampTz(observ_spi_value(row, 2, &isnull));
	ObservSlots slots;

	observ_slots_read(DatumGetArrayTypeP(observ_spi_value(row, 3, &isnull)), &slots);
	if (set < run->set)
		elog(ERROR, "scrapes came out of order");
	while (run->set < set)
		next_set(run);
	run->newest = Max(run->newest, at);
	for (int i = run->sets[set].first; i < run->sets[set].past; i++) {
		ObservRuleSeries *series = &run->series[i];

		if ((slots.known & (UINT64CONST(1) << series->slot)) != 0)
			add_sample(run, series, at, slots.values[series->slot]);
	}
}

/* Reads all sets, and judges VPS by VPS. */
static void
read_sets(Samples *run)
{
	Oid types[] = {TEXTARRAYOID,        TEXTARRAYOID,   INT4ARRAYOID,
				   TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum *columns[4], values[6];
	TimestampTz since = DT_NOEND;
	int nest_level;

	for (size_t i = 0; i < lengthof(columns); i++)
		columns[i] = palloc_extended(sizeof(Datum) * run->n_sets, MCXT_ALLOC_HUGE);
	for (int i = 0; i < run->n_sets; i++) {
		const ObservRuleSeries *series = &run->series[run->sets[i].first];

		columns[0][i] = CStringGetTextDatum(series->vps_name);
		columns[1][i] = CStringGetTextDatum(series->app_name);
		columns[2][i] = Int32GetDatum(series->set_no);
		columns[3][i] = TimestampTzGetDatum(run->sets[i].since);
		since = Min(since, run->sets[i].since);
	}
	values[0] = observ_array(columns[0], run->n_sets, TEXTOID);
	values[1] = observ_array(columns[1], run->n_sets, TEXTOID);
	values[2] = observ_array(columns[2], run->n_sets, INT4OID);
	values[3] = observ_array(columns[3], run->n_sets, TIMESTAMPTZOID);
	values[4] = TimestampTzGetDatum(since);
	values[5] = TimestampTzGetDatum(run->until);
	nest_level = observ_few_rows_begin();
	observ_spi_each(scrapes_sql, lengthof(types), types, values, NULL, take_scrape, run);
	observ_few_rows_end(nest_level);
	while (run->set < run->n_sets)
		next_set(run);
}

/* ---- alerts whose series are not even looked for any more */

typedef struct Untold {
	Samples *run;
	ObservRule *rule;
} Untold;

static void
tell_untold(void *arg, const ObservInstance *instance)
{
	Untold *untold = arg;
	Samples *run = untold->run;
	bool silent;

	if (instance->vps_name == NULL)
		return;
	run->newest = DT_NOBEGIN;
	silent = is_silent(run, instance->vps_name);
	observ_tell(run->evaluation, untold->rule, instance, silent ? SIGNAL_SILENT : SIGNAL_MISSING,
				get_float8_nan(), DT_NOBEGIN);
}

static void
tell_rest(Samples *run)
{
	for (int i = 0; i < run->n_rules; i++) {
		Untold untold = {run, run->rules[i]};

		if (run->rules[i]->active > 0)
			observ_each_untold(run->evaluation, run->rules[i], tell_untold, &untold);
	}
}

/* ---- the source */

/* The times as of which rules are evaluated, and how far back they look. */
static TimestampTz
oldest_sample(Samples *run)
{
	int64 longest = LONGEST_LOOKBACK;

	run->until = DT_NOBEGIN;
	run->from = DT_NOEND;
	for (int i = 0; i < run->n_rules; i++) {
		TimestampTz time = observ_rule_time(run->at, run->rules[i]);

		run->until = Max(run->until, time);
		run->from = Min(run->from, time);
		longest = Max(longest, run->rules[i]->window_us);
		run->has_long |= run->rules[i]->window_us > OBSERV_LONG_WINDOW;
	}
	return run->from - longest;
}

void
observ_evaluate_metric_samples(ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	Samples *run;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "observ rules over labelled metrics",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	TimestampTz oldest;

	SPI_connect();
	caller = MemoryContextSwitchTo(context);
	run = palloc0(sizeof(Samples));
	*run = (Samples){.evaluation = evaluation,
					 .context = context,
					 .rules = rules,
					 .n_rules = n,
					 .at = observ_evaluation_at(evaluation),
					 .newest = DT_NOBEGIN,
					 .owner_takes = palloc(n),
					 .values = {.merged = palloc(sizeof(struct window_sample)),
								.scratch = palloc(sizeof(double)),
								.room = 1}};
	run->vps = AllocSetContextCreate(context, "observ samples of a VPS", ALLOCSET_DEFAULT_SIZES);
	oldest = oldest_sample(run);
	run->series = observ_find_rule_series(rules, n, oldest, run->until, &run->n);
	if (run->n > 0) {
		run->rolled = run->has_long ? observ_cells_rolled() : DT_NOBEGIN;
		find_sets(run);
		run->values.series = run->series;
		run->values.sets = run->sets;
		run->values.lookback_us = lookback_of(run, run->series[0].vps_name);
		read_sets(run);
	}
	tell_rest(run);
	MemoryContextSwitchTo(caller);
	SPI_finish();
	MemoryContextDelete(context);
}
