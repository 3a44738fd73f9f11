/*
 * Rules about health checks: a value per check, which is a VPS, an application and a url.
 * What does not belong here: samples (window_store.c), making checks (src/collector/health.c).
 */
#include "postgres.h"

#include <math.h>

#include "ext/label_matchers.h"
#include "ext/rule_source.h"
#include "ext/window_samples.h"
#include "utils/timestamp.h"

/* A check is stale when nothing came for so many of its own intervals, and for so long. */
#define STALE_INTERVALS 3
#define STALE_AT_LEAST  (90 * USECS_PER_SEC)
/* Interval of a check that has been made once. */
#define USUAL_INTERVAL USECS_PER_MINUTE
/* Its interval is the average of so many. */
#define INTERVALS 4
/* Failures in a row are counted at most this far back. */
#define LONGEST_RUN (6 * USECS_PER_HOUR)

/* A check as of the time of a rule: one key, or those of all applications that make it. */
typedef struct Check {
	const ObservWindows *windows;
	ObservWindowKey **keys;
	int n;
	TimestampTz now, newest;
	int64 every_us; /* its interval */
	ObservSamples *samples;
} Check;

/* How a metric is worked out; false when there is nothing to say. */
typedef bool Value(Check *check, const ObservRule *rule, double *out);

/* ---- values */

static void
gather(Check *check, const ObservRule *rule, TimestampTz after)
{
	ObservWindowPlace place = observ_window_place(check->windows, rule->metric);

	observ_clear_samples(check->samples);
	for (int i = 0; i < check->n; i++)
		observ_add_samples(check->samples, check->windows, check->keys[i], place, after, check->now);
	if (check->n > 1)
		observ_sort_samples(check->samples);
}

/* As of VPSs: a check that is made less often than the window is long is spoken for by its newest result. */
static void
gather_window(Check *check, const ObservRule *rule)
{
	int64 window =
		rule->window_us > 0 ? rule->window_us : Max(OBSERV_CHECK_LOOKBACK, STALE_INTERVALS * check->every_us);

	gather(check, rule, Min(check->now - window, check->newest - 1));
}

/* From the newest result back to the latest success; inconclusive results are passed over. */
static bool
failures_in_a_row(Check *check, const ObservRule *rule, double *out)
{
	int n = 0, conclusive = 0;

	gather(check, rule, rule->window_us > 0 ? check->now - rule->window_us : DT_NOBEGIN);
	for (int i = check->samples->n - 1; i >= 0; i--) {
		double success = check->samples->samples[i].value;

		conclusive += !isnan(success);
		if (success == 1)
			break;
		n += success == 0;
	}
	*out = n;
	return conclusive > 0;
}

static bool
failure_percent(Check *check, const ObservRule *rule, double *out)
{
	int n, failures = 0;

	gather_window(check, rule);
	n = observ_count_samples(check->samples);
	for (int i = 0; i < check->samples->n; i++)
		failures += check->samples->samples[i].value == 0;
	*out = 100.0 * failures / Max(n, 1);
	return n >= Max(rule->min_samples, 1);
}

static bool
status_changes(Check *check, const ObservRule *rule, double *out)
{
	double before = NAN;
	int n;

	gather_window(check, rule);
	n = observ_count_samples(check->samples);
	*out = 0;
	for (int i = 0; i < check->samples->n; i++) {
		double success = check->samples->samples[i].value;

		if (isnan(success))
			continue;
		*out += !isnan(before) && success != before;
		before = success;
	}
	return n >= Max(rule->min_samples, 1);
}

/* Of the newest result that knows; what it said was counted from its own time. */
static bool
days_left(Check *check, const ObservRule *rule, double *out)
{
	gather_window(check, rule);
	for (int i = check->samples->n - 1; i >= 0; i--) {
		struct window_sample sample = check->samples->samples[i];

		if (isnan(sample.value))
			continue;
		*out = sample.value - (double) (check->now - sample.at_us) / USECS_PER_DAY;
		return true;
	}
	return false;
}

static bool
aggregated(Check *check, const ObservRule *rule, double *out)
{
	gather_window(check, rule);
	return observ_samples_value(check->samples, rule, check->now, out);
}

static const struct {
	const char *metric;
	Value *value;
} values[] = {{"health_consecutive_failures", failures_in_a_row},
			  {"health_failure_percent", failure_percent},
			  {"health_status_changes", status_changes},
			  {"tls_days_left", days_left}};

static Value *
value_of(const ObservRule *rule)
{
	for (size_t i = 0; i < lengthof(values); i++)
		if (strcmp(rule->metric->name, values[i].metric) == 0)
			return values[i].value;
	return aggregated;
}

/* How far back a rule looks. */
static int64
back_of(const ObservRule *rule)
{
	int64 back = OBSERV_CHECK_LOOKBACK;

	if (rule->window_us > 0)
		back = Max(back, rule->window_us);
	else if (value_of(rule) == failures_in_a_row && rule->threshold > 0)
		/* half as long again as so many failures take, as far as is known */
		back = Max(back, (int64) Min(1.5 * (rule->threshold + 1) * USUAL_INTERVAL, (double) LONGEST_RUN));
	return back + rule->delay_us;
}

/* ---- checks */

/* False: there is no result as of that time. */
static bool
look_at(Check *check, TimestampTz now)
{
	check->now = now;
	check->newest = DT_NOBEGIN;
	for (int i = 0; i < check->n; i++) {
		const ObservTrack *track = &check->keys[i]->tracks[0];
		int newest = observ_track_newest(track, now), n = Min(newest, INTERVALS);

		if (newest < 0 || track->times[newest] <= check->newest)
			continue;
		check->newest = track->times[newest];
		check->every_us = n > 0 ? (track->times[newest] - track->times[newest - n]) / n : USUAL_INTERVAL;
	}
	return check->newest != DT_NOBEGIN;
}

static struct slice
label_of(void *arg, struct slice name)
{
	const ObservInstance *instance = arg;

	if (slice_equals(name, "url"))
		return instance->labels[0].value;
	if (slice_equals(name, "vps_name") || slice_equals(name, "instance"))
		return slice_of(instance->vps_name);
	if (slice_equals(name, "app_name") && instance->app_name != NULL)
		return slice_of(instance->app_name);
	return slice_of("");
}

static void
judge(ObservEvaluation *evaluation, ObservRule *rule, Check *check)
{
	ObservWindowKey *key = check->keys[0];
	struct series_label url = {slice_of("url"), slice_of(key->url)};
	ObservInstance instance = {.vps_name = key->key.vps, .n_labels = 1, .labels = &url};
	enum alert_signal signal = SIGNAL_SILENT;
	double value = NAN;
	bool app = rule->per_app && key->key.app[0] != '\0';

	if (!look_at(check, observ_rule_time(observ_evaluation_at(evaluation), rule)))
		return;
	if (check->now - check->newest <= Max(STALE_INTERVALS * check->every_us, STALE_AT_LEAST)) {
		if (value_of(rule)(check, rule, &value))
			signal = rule_signal(rule->op, rule->threshold, rule->has_clear, rule->clear_threshold, value);
		else {
			/* Where all results are inconclusive nothing is known; else this check does not have what the rule is about. */
			signal = rule->metric->column == NULL ? SIGNAL_SILENT : SIGNAL_MISSING;
			value = NAN;
		}
	}
	if (rule->observed > 0 && !observ_worth_telling(rule, signal))
		return;
	instance.app_name = app ? key->key.app : NULL;
	if ((rule->matchers != NULL && !observ_matchers_accept(rule->matchers, label_of, &instance)) ||
		!observ_rule_selects(evaluation, rule, instance.vps_name, instance.app_name))
		return;
	rule->observed += signal != SIGNAL_SILENT;
	if (!observ_worth_telling(rule, signal))
		return;
	if (key->hash[app] == 0)
		key->hash[app] = observ_instance_hash(&instance);
	instance.hash = key->hash[app];
	observ_tell(evaluation, rule, &instance, signal, value, check->newest);
}

/* ---- walking over checks */

static int
compare_urls(const void *a, const void *b)
{
	const ObservWindowKey *left = *(ObservWindowKey *const *) a, *right = *(ObservWindowKey *const *) b;
	int order = strcmp(left->url, right->url);

	return order != 0 ? order : strcmp(left->key.app, right->key.app);
}

/* Rules per VPS: checks of one url are one, whichever applications make them. */
static void
judge_by_url(ObservEvaluation *evaluation, ObservRule *rule, Check *check, ObservWindowKey **keys, int n)
{
	ObservWindowKey **by_url = keys;

	if (strcmp(keys[0]->key.app, keys[n - 1]->key.app) != 0) {
		by_url = palloc(sizeof(ObservWindowKey *) * n);
		memcpy(by_url, keys, sizeof(ObservWindowKey *) * n);
		qsort(by_url, n, sizeof(ObservWindowKey *), compare_urls);
	}
	for (int i = 0, same; i < n; i += same) {
		for (same = 1; i + same < n && strcmp(by_url[i]->url, by_url[i + same]->url) == 0; same++)
			;
		check->keys = &by_url[i];
		check->n = same;
		judge(evaluation, rule, check);
	}
	if (by_url != keys)
		pfree(by_url);
}

void
observ_evaluate_health_checks(ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	ObservWindowNeed *needs = palloc(sizeof(ObservWindowNeed) * 2 * n);
	ObservSamples samples = {0};
	Check check = {.samples = &samples};
	ObservWindowKey **keys;

	for (int i = 0; i < n; i++) {
		needs[2 * i] = (ObservWindowNeed){rules[i]->metric, back_of(rules[i])};
		/* whether it was stale then */
		needs[2 * i + 1] = (ObservWindowNeed){NULL, rules[i]->delay_us + OBSERV_CHECK_LOOKBACK};
	}
	check.windows =
		observ_windows(OBSERV_WINDOW_HEALTH_CHECKS, observ_evaluation_at(evaluation), needs, 2 * n);
	keys = check.windows->keys;
	for (int i = 0, same; i < check.windows->n_keys; i += same) {
		for (same = 1;
			 i + same < check.windows->n_keys && strcmp(keys[i]->key.vps, keys[i + same]->key.vps) == 0;
			 same++)
			;
		for (int r = 0; r < n; r++) {
			if (!rules[r]->per_app)
				judge_by_url(evaluation, rules[r], &check, &keys[i], same);
			for (int j = i; j < i + same && rules[r]->per_app; j++) {
				check.keys = &keys[j];
				check.n = 1;
				judge(evaluation, rules[r], &check);
			}
		}
	}
	pfree(needs);
}
