/*
 * Alert rules over labelled metrics: the samples of all series that rules ask for, VPS by VPS, each row of observ.metric_scrapes read once for
 * all rules.
 * What does not belong here: which series (rule_series.c), windows that are read from roll-ups (rule_cells.c), aggregates (core/window.c).
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/window_cells.h"
#include "ext/metric_slots.h"
#include "ext/rollup_sources.h"
#include "ext/rule_cells.h"
#include "ext/rule_fleet.h"
#include "ext/rule_series.h"
#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "ext/times.h"
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

/* The series of one set, which share rows. */
typedef struct Set {
	int first, past;
	TimestampTz since; /* samples after this are needed */
} Set;

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
	Set *sets;
	int n_sets;
	int set; /* at hand */

	/* The VPS at hand. */
	int vps_set; /* its first set */
	MemoryContext vps;
	ObservRuleCells *cells;
	ObservRuleSeries **group;
	const char *owner;        /* application that the next is about */
	signed char *owner_takes; /* per rule: whether it is about that; -1: not known yet */
	bool silent;
	int64 lookback_us;
	TimestampTz newest; /* sample of any of its series */

	/* For aggregates; so many elements each. */
	struct window_sample *merged;
	double *scratch;
	int room;
} Samples;

/* One instance of a rule: a series, or those of all applications that have the same labels. */
typedef struct SeriesGroup {
	ObservRuleSeries **series;
	int n;
} SeriesGroup;

static const char scrapes_sql[] =
	"SELECT k.i, c.\"timestamp\", c.\"values\" "
	"FROM unnest($1::text[], $2::text[], $3::int4[], $4::timestamptz[]) WITH ORDINALITY "
	"  k (vps_name, app_name, set_no, since, i), "
	"LATERAL (SELECT m.\"timestamp\", m.\"values\" FROM observ.metric_scrapes m "
	"  WHERE m.vps_name = k.vps_name AND m.app_name = k.app_name AND m.set_no = k.set_no "
	"    AND m.\"timestamp\" > k.since AND m.\"timestamp\" > $5 AND m.\"timestamp\" <= $6 ORDER BY "
	"m.\"timestamp\") c";

/* ---- values */

static bool
is_growth(enum rule_aggregate aggregate)
{
	return aggregate == RULE_RATE || aggregate == RULE_INCREASE || aggregate == RULE_DELTA;
}

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

/* Start of a rule's window as of that time; samples later than it count. */
static TimestampTz
window_start(const Samples *run, const ObservRule *rule, TimestampTz time)
{
	return time - (rule->window_us > 0 ? rule->window_us : run->lookback_us);
}

/* How many samples are not later than a time. */
static int
samples_until(const ObservRuleSeries *series, TimestampTz time)
{
	int low = 0, high = series->n;

	while (low < high) {
		int middle = (low + high) / 2;

		if (series->samples[middle].at_us <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What a group has in the window of a rule. */
typedef struct Found {
	int64 n; /* samples */
	TimestampTz newest;
	bool has_value;
	double value;
} Found;

/* Room for so many samples in run->merged, whose contents stay, and run->scratch. */
static void
make_room(Samples *run, int n)
{
	if (n <= run->room)
		return;
	run->room = Max(n, 2 * run->room);
	run->merged = repalloc_huge(run->merged, sizeof(struct window_sample) * run->room);
	run->scratch = repalloc_huge(run->scratch, sizeof(double) * run->room);
}

static struct window_question
question_of(const ObservRule *rule, const ObservRuleSeries *series, TimestampTz time)
{
	struct window_question question = observ_rule_question(rule, time);

	question.counter = series->counter;
	return question;
}

/* Growth is of each series by itself, and adds up. */
static void
add_growth(Found *found, double value)
{
	found->value = found->has_value ? found->value + value : value;
	found->has_value = true;
}

static int
compare_samples(const void *a, const void *b)
{
	const struct window_sample *left = a, *right = b;

	return (left->at_us > right->at_us) - (left->at_us < right->at_us);
}

static Found
value_of_samples(Samples *run, const ObservRule *rule, const SeriesGroup *group, TimestampTz time)
{
	TimestampTz start = window_start(run, rule, time);
	Found found = {.newest = DT_NOBEGIN};
	const struct window_sample *samples = NULL;

	for (int i = 0; i < group->n; i++) {
		const ObservRuleSeries *series = group->series[i];
		int first = samples_until(series, start), n = samples_until(series, time) - first;
		struct window_question question = question_of(rule, series, time);
		double value;

		if (n == 0)
			continue;
		samples = series->samples + first;
		found.newest = Max(found.newest, samples[n - 1].at_us);
		make_room(run, (int) found.n + n);
		if (is_growth(rule->aggregate) && window_value(&question, samples, n, run->scratch, &value))
			add_growth(&found, value);
		if (group->n > 1)
			memcpy(run->merged + found.n, samples, sizeof(struct window_sample) * n);
		found.n += n;
	}
	if (found.n > 0 && !is_growth(rule->aggregate)) {
		struct window_question question = question_of(rule, group->series[0], time);

		if (group->n > 1) {
			qsort(run->merged, found.n, sizeof(struct window_sample), compare_samples);
			samples = run->merged;
		}
		found.has_value = window_value(&question, samples, (int) found.n, run->scratch, &found.value);
	}
	return found;
}

static int
compare_cells(const void *a, const void *b)
{
	const struct window_cell *left = a, *right = b;

	return (left->start_us > right->start_us) - (left->start_us < right->start_us);
}

/* Buckets of one time become one. */
static int
join_cells(struct window_cell *cells, int n)
{
	int kept = 0;

	qsort(cells, n, sizeof(struct window_cell), compare_cells);
	for (int i = 0; i < n; i++) {
		if (kept > 0 && cells[kept - 1].start_us == cells[i].start_us)
			cell_join(&cells[kept - 1].cell, &cells[i].cell);
		else
			cells[kept++] = cells[i];
	}
	return kept;
}

static Found
value_of_cells(Samples *run, const ObservRule *rule, const SeriesGroup *group, TimestampTz time)
{
	Found found = {.newest = DT_NOBEGIN};
	struct window_cell *joined = NULL;
	int n_joined = 0;

	for (int i = 0; i < group->n; i++) {
		const ObservRuleSeries *series = group->series[i];
		const Set *set = &run->sets[series->set];
		struct window_question question = question_of(rule, series, time);
		TimestampTz newest;
		double value;
		int n;
		const struct window_cell *cells =
			observ_series_cells(run->cells, series, run->series + set->first, run->series + set->past,
								window_start(run, rule, time), time, &n, &newest);

		make_room(run, n_joined + n);
		found.newest = Max(found.newest, newest);
		found.n += window_cells_count(cells, n);
		if (!is_growth(rule->aggregate)) {
			joined = joined == NULL ? palloc(sizeof(*joined) * Max(n, 1))
									: repalloc(joined, sizeof(*joined) * Max(n_joined + n, 1));
			memcpy(joined + n_joined, cells, sizeof(*joined) * n);
			n_joined += n;
		} else if (window_cells_value(&question, cells, n, OBSERV_5M, run->merged, run->scratch, &value))
			add_growth(&found, value);
	}
	if (joined != NULL) {
		struct window_question question = question_of(rule, group->series[0], time);

		n_joined = join_cells(joined, n_joined);
		found.has_value = window_cells_value(&question, joined, n_joined, OBSERV_5M, run->merged,
											 run->scratch, &found.value);
		pfree(joined);
	}
	return found;
}

/* Makes of an average how unusual it is. */
static void
compare_with_usual(Samples *run, const SeriesGroup *group, TimestampTz time, Found *found)
{
	double days[WINDOW_USUAL_DAYS], sums[WINDOW_USUAL_DAYS] = {0};
	int counts[WINDOW_USUAL_DAYS] = {0};

	for (int i = 0; i < group->n; i++) {
		const ObservRuleSeries *series = group->series[i];
		const Set *set = &run->sets[series->set];
		const double *usual =
			observ_series_usual(run->cells, series, run->series + set->first, run->series + set->past,
								observ_floor_time(time, OBSERV_1H));

		for (int day = 0; day < WINDOW_USUAL_DAYS; day++)
			if (!isnan(usual[day])) {
				sums[day] += usual[day];
				counts[day]++;
			}
	}
	for (int day = 0; day < WINDOW_USUAL_DAYS; day++)
		days[day] = counts[day] > 0 ? sums[day] / counts[day] : get_float8_nan();
	found->has_value = window_anomaly(found->value, days, WINDOW_USUAL_DAYS, &found->value);
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
judge(Samples *run, ObservRule *rule, const SeriesGroup *group)
{
	const ObservRuleSeries *series = group->series[0];
	TimestampTz time = observ_rule_time(run->at, rule);
	Found found = rule->window_us > OBSERV_LONG_WINDOW ? value_of_cells(run, rule, group, time)
													   : value_of_samples(run, rule, group, time);
	ObservInstance instance = {.vps_name = series->vps_name,
							   .app_name = rule->per_app ? series->app_name : NULL,
							   .n_labels = series->labels->n,
							   .labels = series->labels->items};
	enum alert_signal signal;

	if (rule->aggregate == RULE_ANOMALY && found.has_value)
		compare_with_usual(run, group, time, &found);
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
		SeriesGroup group = {&series, 1};

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
		SeriesGroup group = {run->group, 0};

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
	run->cells = observ_rule_cells(run->rolled);
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
	run->sets = palloc_extended(sizeof(Set) * run->n, MCXT_ALLOC_HUGE);
	for (int i = 0; i < run->n; i++) {
		ObservRuleSeries *series = &run->series[i];
		const ObservRuleMetric *metric = series->metric;
		TimestampTz since;
		Set *set;

		if (i == 0 || !same_set(series - 1, series))
			run->sets[run->n_sets++] = (Set){.first = i, .since = DT_NOEND};
		if (i == 0 || series[-1].vps_name != series->vps_name)
			run->lookback_us = lookback_of(run, series->vps_name);
		series->set = run->n_sets - 1;
		set = &run->sets[series->set];
		set->past = i + 1;
		/* Whether the VPS is silent shows in what is fresh. */
		since = run->from - Max(metric->window_us, metric->looks_back || metric->long_us > 0
													   ? run->lookback_us
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
		run->lookback_us = lookback_of(run, run->series[run->sets[run->set].first].vps_name);
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
					 .merged = palloc(sizeof(struct window_sample)),
					 .scratch = palloc(sizeof(double)),
					 .room = 1};
	run->vps = AllocSetContextCreate(context, "observ samples of a VPS", ALLOCSET_DEFAULT_SIZES);
	oldest = oldest_sample(run);
	run->series = observ_find_rule_series(rules, n, oldest, run->until, &run->n);
	if (run->n > 0) {
		run->rolled = run->has_long ? observ_cells_rolled() : DT_NOBEGIN;
		find_sets(run);
		run->lookback_us = lookback_of(run, run->series[0].vps_name);
		read_sets(run);
	}
	tell_rest(run);
	MemoryContextSwitchTo(caller);
	SPI_finish();
	MemoryContextDelete(context);
}
