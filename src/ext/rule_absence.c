/*
 * Rules about data that does not come: data_age_seconds, the time since the newest row of a VPS or of one of its applications.
 * What does not belong here: what other rules make of a silent source (evaluation.c).
 *
 * Who was heard lately is in the store of samples. Who was not is looked for in the fleet summary, the registry and, where the summary is not
 * of that time, in the rows. VPSs that are retired or in maintenance are not expected to send anything.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "ext/window_store.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Somebody silent for less than this many expected intervals is not absent, whatever the rule says. */
#define MISSED_INTERVALS 3

/* When a VPS and application, or a VPS that never said what it runs, was heard last. */
typedef struct Heard {
	const char *vps;
	const char *app;    /* NULL: nothing is known of its applications */
	TimestampTz newest; /* or when it was enrolled */
	int64 said_us;      /* interval that it reports at; 0: not known */
} Heard;

typedef struct Pass {
	ObservEvaluation *evaluation;
	TimestampTz at;
	const ObservWindows *windows;
	ObservRule **rules;
	int n_rules;
	Heard *silent; /* not in the store; in the order of names */
	int n_silent;
	const char **excused; /* VPSs in maintenance, in the order of names */
	int n_excused;
} Pass;

/* ---- who was not heard lately */

/*
 * $1 time, $2 who was heard later than this is in the store, $3 whether the summary is not of that time. The last column: whether rows know better
 * than the summary, which then has nothing of that time, or of a time after it. Of the summary last_seen is asked for (it is never null) so that it
 * is read as it lies: its rows change all the time, through its index each of them is looked up twice.
 */
static const char silent_sql[] =
	"SELECT f.vps_name, f.app_name, coalesce(f.\"timestamp\", f.last_seen), coalesce(f.interval_ms, "
	"f.expected_ms), $3 FROM observ.fleet_summary f WHERE coalesce(f.\"timestamp\", f.last_seen) <= $2 "
	"UNION ALL SELECT f.vps_name, f.app_name, timestamptz '-infinity', NULL, true FROM observ.fleet_summary "
	"f "
	"WHERE $3 AND coalesce(f.\"timestamp\", f.last_seen) > $1 "
	"UNION ALL SELECT v.vps_name, NULL, v.enrolled_at, NULL, $3 FROM observ.vps v WHERE v.status <> "
	"'retired' "
	"AND NOT EXISTS (SELECT FROM observ.fleet_summary f WHERE f.vps_name = v.vps_name AND f.last_seen IS NOT "
	"NULL)";

/* What the rows say of VPSs: $1 time, $2 names. */
static const char rows_sql[] =
	"SELECT a.vps_name, r.app_name, r.newest, r.ms FROM unnest($2) a (vps_name) CROSS JOIN LATERAL "
	"(SELECT m.app_name, max(m.\"timestamp\") AS newest, max(m.interval_ms) AS ms FROM observ.vps_metrics m "
	"WHERE m.vps_name = a.vps_name AND m.\"timestamp\" <= $1 AND m.\"timestamp\" > $1 - interval '7 days' "
	"GROUP BY 1) r";

static const char excused_sql[] =
	"SELECT v.vps_name FROM observ.vps v WHERE v.status = 'maintenance' ORDER BY 1";

/* A row of vps_name, app_name, newest, interval_ms. */
static Heard
heard_of_row(uint64 row)
{
	bool isnull;
	Heard heard = {.vps = TextDatumGetCString(observ_spi_value(row, 1, &isnull))};
	Datum value = observ_spi_value(row, 2, &isnull);

	heard.app = isnull ? NULL : TextDatumGetCString(value);
	heard.newest = DatumGetTimestampTz(observ_spi_value(row, 3, &isnull));
	value = observ_spi_value(row, 4, &isnull);
	heard.said_us = isnull ? 0 : (int64) DatumGetInt32(value) * 1000;
	return heard;
}

/* Whether the store has a sample of it that is not later than the evaluation. */
static bool
in_store(const Pass *pass, const Heard *heard)
{
	int n, first = observ_windows_of(pass->windows, heard->vps, &n);

	for (int i = first; i < first + n; i++) {
		const ObservWindowKey *key = pass->windows->keys[i];

		if ((heard->app == NULL || strcmp(key->key.app, heard->app) == 0) &&
			observ_track_newest(&key->tracks[0], pass->at) >= 0)
			return true;
	}
	return false;
}

static void
ask_rows(Pass *pass, Datum *names, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID};
	Datum values[] = {TimestampTzGetDatum(pass->at), observ_array(names, n, TEXTOID)};
	int nest_level = observ_few_rows_begin();
	uint64 found = observ_spi_read(&plan, rows_sql, lengthof(types), types, values, NULL);

	observ_few_rows_end(nest_level);
	pass->silent = repalloc_huge(pass->silent, sizeof(Heard) * (pass->n_silent + found + 1));
	for (uint64 i = 0; i < found; i++)
		pass->silent[pass->n_silent++] = heard_of_row(i);
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_heard(const void *a, const void *b)
{
	const Heard *left = a, *right = b;

	return strcmp(left->vps, right->vps);
}

static void
read_silent(Pass *pass)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID};
	Datum values[] = {TimestampTzGetDatum(pass->at), TimestampTzGetDatum(pass->windows->from[0]),
					  BoolGetDatum(!observ_summary_is_of(pass->at))};
	uint64 n = observ_spi_read(&plan, silent_sql, lengthof(types), types, values, NULL);
	SPITupleTable *rows = SPI_tuptable;
	Datum *asked = palloc_extended(sizeof(Datum) * (n + 1), MCXT_ALLOC_HUGE);
	int n_asked = 0;

	pass->silent = palloc_extended(sizeof(Heard) * (n + 1), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < n; i++) {
		Heard heard = heard_of_row(i);
		bool isnull;

		if (!TIMESTAMP_IS_NOBEGIN(heard.newest))
			pass->silent[pass->n_silent++] = heard;
		if (DatumGetBool(observ_spi_value(i, 5, &isnull)) && !in_store(pass, &heard) &&
			(n_asked == 0 || strcmp(TextDatumGetCString(asked[n_asked - 1]), heard.vps) != 0))
			asked[n_asked++] = CStringGetTextDatum(heard.vps);
	}
	SPI_freetuptable(rows);
	if (n_asked > 0)
		ask_rows(pass, asked, n_asked);
	qsort(pass->silent, pass->n_silent, sizeof(Heard), compare_heard);
}

static void
read_excused(Pass *pass)
{
	static SPIPlanPtr plan = NULL;
	bool isnull;

	pass->n_excused = (int) observ_spi_read(&plan, excused_sql, 0, NULL, NULL, NULL);
	pass->excused = palloc(sizeof(char *) * Max(pass->n_excused, 1));
	for (int i = 0; i < pass->n_excused; i++)
		pass->excused[i] = TextDatumGetCString(observ_spi_value(i, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool
is_excused(const Pass *pass, const char *vps)
{
	return pass->n_excused > 0 &&
		   bsearch(&vps, pass->excused, pass->n_excused, sizeof(char *), compare_names) != NULL;
}

/* ---- rules */

/* Nobody is asked for more than his own interval: thresholds are raised where rows come less often. */
static double
threshold_for(const ObservRule *rule, int64 expected_us)
{
	double least = (double) (MISSED_INTERVALS * expected_us) / USECS_PER_SEC;

	return rule->op == RULE_GT || rule->op == RULE_GTE ? Max(rule->threshold, least) : rule->threshold;
}

static void
judge(Pass *pass, ObservRule *rule, const Heard *heard)
{
	ObservInstance instance = {
		.vps_name = heard->vps,
		.app_name = rule->per_app && heard->app != NULL && heard->app[0] != '\0' ? heard->app : NULL};
	int64 expected = observ_expected_interval(pass->evaluation, heard->vps, heard->said_us);
	double age = Max((double) (observ_rule_time(pass->at, rule) - heard->newest) / USECS_PER_SEC, 0);
	enum alert_signal signal =
		rule_signal(rule->op, threshold_for(rule, expected), rule->has_clear, rule->clear_threshold, age);

	if (is_excused(pass, heard->vps)) {
		signal = SIGNAL_MISSING;
		age = NAN;
	}
	if ((rule->observed > 0 && !observ_worth_telling(rule, signal)) ||
		!observ_rule_selects(pass->evaluation, rule, instance.vps_name, instance.app_name))
		return;
	rule->observed++;
	if (!observ_worth_telling(rule, signal))
		return;
	instance.hash = observ_instance_hash(&instance);
	observ_tell(pass->evaluation, rule, &instance, signal, age, heard->newest);
}

/* Of one VPS: an entry for each of its applications. */
static void
judge_vps(Pass *pass, const Heard *apps, int n)
{
	Heard vps = apps[0];

	for (int i = 1; i < n; i++)
		if (apps[i].newest > vps.newest)
			vps = apps[i];
	for (int r = 0; r < pass->n_rules; r++) {
		if (!pass->rules[r]->per_app)
			judge(pass, pass->rules[r], &vps);
		for (int i = 0; i < n && pass->rules[r]->per_app; i++)
			judge(pass, pass->rules[r], &apps[i]);
	}
}

/* ---- walking both lists in the order of names */

/* Takes the newest row up to the time of the evaluation; false: there is none. */
static bool
heard_of_key(const Pass *pass, const ObservWindowKey *key, Heard *heard)
{
	const ObservTrack *track = &key->tracks[0];
	int newest = observ_track_newest(track, pass->at);
	float4 interval;

	if (newest < 0)
		return false;
	interval = track->values[(Size) newest * pass->windows->n_columns[0] + OBSERV_INTERVAL_COLUMN];
	*heard = (Heard){.vps = key->key.vps,
					 .app = key->key.app,
					 .newest = track->times[newest],
					 .said_us = interval > 0 ? (int64) interval * 1000 : 0};
	return true;
}

/* Adds an application, or what is newer of one that is there. When the VPS was enrolled is of no interest once it has been heard. */
static int
add_heard(Heard *apps, int n, const Heard *heard)
{
	if (n > 0 && heard->app == NULL)
		return n;
	if (n == 1 && apps[0].app == NULL)
		n = 0;
	for (int i = 0; i < n; i++)
		if (strcmp(apps[i].app, heard->app) == 0) {
			if (heard->newest > apps[i].newest)
				apps[i] = *heard;
			return n;
		}
	apps[n] = *heard;
	return n + 1;
}

static void
judge_all(Pass *pass)
{
	const ObservWindows *windows = pass->windows;
	int room = 64, i = 0, j = 0;
	Heard *apps = palloc(sizeof(Heard) * room);

	while (i < windows->n_keys || j < pass->n_silent) {
		const char *vps = i < windows->n_keys ? windows->keys[i]->key.vps : pass->silent[j].vps;
		int n = 0;

		if (j < pass->n_silent && strcmp(pass->silent[j].vps, vps) < 0)
			vps = pass->silent[j].vps;
		for (; i < windows->n_keys && strcmp(windows->keys[i]->key.vps, vps) == 0; i++) {
			Heard heard;

			if (n == room)
				apps = repalloc(apps, sizeof(Heard) * (room *= 2));
			if (heard_of_key(pass, windows->keys[i], &heard))
				n = add_heard(apps, n, &heard);
		}
		for (; j < pass->n_silent && strcmp(pass->silent[j].vps, vps) == 0; j++) {
			if (n == room)
				apps = repalloc(apps, sizeof(Heard) * (room *= 2));
			n = add_heard(apps, n, &pass->silent[j]);
		}
		if (n > 0)
			judge_vps(pass, apps, n);
	}
	pfree(apps);
}

void
observ_evaluate_absence(ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	Pass pass = {
		.evaluation = evaluation, .at = observ_evaluation_at(evaluation), .rules = rules, .n_rules = n};
	ObservWindowNeed need = {NULL, OBSERV_LOOKBACK};

	for (int i = 0; i < n; i++)
		need.back_us = Max(need.back_us, rules[i]->delay_us + OBSERV_LOOKBACK);
	pass.windows = observ_windows(OBSERV_WINDOW_VPS_METRICS, pass.at, &need, 1);
	read_silent(&pass);
	read_excused(&pass);
	judge_all(&pass);
}
