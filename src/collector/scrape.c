/*
 * scrape.c: The source `scrape`: local Prometheus exporters, asked over HTTP.
 *
 * Belongs here: schedules, requests, which samples are wanted, labels of the target, end marks, metrics about scrapes.
 * Does not belong here: the format (core/exposition.h), HTTP (common/curl_multi.h).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collector/config_values.h"
#include "collector/log.h"
#include "collector/sample_sources.h"
#include "collector/samples.h"
#include "collector/ticks.h"
#include "collector/version.h"
#include "common/curl_multi.h"
#include "core/breaker.h"
#include "core/exposition.h"

#define MAX_BODY       (1024 * 1024)
#define MAX_REDIRECTS  3
#define OLDEST_S       (24 * 3600) /* of a sample's own time */
#define NEWEST_S       120
#define FIRST_AFTER_MS 1000
#define CLOSE_AFTER    2 /* successes */
#define OPEN_AFTER     3
#define PAUSE_MS       30000

struct target {
	struct scrape *scrape;
	char *url, *job, *layer; /* its own: the configuration may be replaced while an answer is awaited */
	char instance[300];      /* host:port, as the URL has it */
	int interval_s, timeout_s, max_series;
	const struct scrape_target *config; /* for allow and deny */
	struct ticks ticks;
	struct transfer *transfer;
	int64_t started_us; /* wall clock */
	struct breaker breaker;
	struct series_table series;
	struct problem down, trouble;
	bool up, kept;           /* kept: a reload found it again */
	int64_t samples, errors; /* of the last scrape; ever */
	uint32_t sent;           /* of what is told about scrapes */
};

struct scrape {
	const struct source_env *env;
	struct transfers *transfers;
	struct target **target;
	int count;
	struct problem problem;
};

/* ---- labels and choice */

static bool
name_matches(const struct text_list *patterns, struct slice name)
{
	for (int i = 0; i < patterns->count; i++) {
		struct slice pattern = slice_of(patterns->item[i]);
		if (pattern.p < pattern.end && pattern.end[-1] == '*') {
			pattern.end--;
			if (name.end - name.p > pattern.end - pattern.p)
				name.end = name.p + (pattern.end - pattern.p);
		}
		if (slice_compare(name, pattern) == 0)
			return true;
	}
	return false;
}

static bool
is_wanted(const struct target *t, struct slice name)
{
	return (t->config->allow.count == 0 || name_matches(&t->config->allow, name)) &&
		   !name_matches(&t->config->deny, name);
}

/* Labels of the target go before its own of the same name, which become exported_NAME. Room for three more is needed. */
static int
add_target_labels(const struct target *t, struct series_label *label, int n)
{
	static const struct {
		const char *name, *exported;
	} names[] = {{"job", "exported_job"}, {"instance", "exported_instance"}, {"layer", "exported_layer"}};
	const char *const value[] = {t->job, t->instance, t->layer};

	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < sizeof names / sizeof *names; k++)
			if (slice_equals(label[i].name, names[k].name))
				label[i].name = slice_of(names[k].exported);
	for (size_t k = 0; k < sizeof names / sizeof *names; k++)
		label[n++] = (struct series_label){slice_of(names[k].name), slice_of(value[k])};
	return n;
}

/* ---- what came */

enum about_metric { ABOUT_UP, ABOUT_DURATION, ABOUT_SAMPLES, ABOUT_ERRORS, ABOUT_METRICS };

static const struct sample_metric about[ABOUT_METRICS] = {
	[ABOUT_UP] = {"up", SAMPLE_GAUGE},
	[ABOUT_DURATION] = {"scrape_duration_seconds", SAMPLE_GAUGE},
	[ABOUT_SAMPLES] = {"scrape_samples_scraped", SAMPLE_GAUGE},
	[ABOUT_ERRORS] = {"observ_scrape_errors_total", SAMPLE_COUNTER},
};

/* Values NULL: the target is not asked any more. */
static void
put_about(struct target *t, struct samples *s, const double *values)
{
	struct series_label label[3];

	samples_put_thing(s, about, ABOUT_METRICS, values, &t->sent, label, add_target_labels(t, label, 0));
}

/* What is known about every scrape, also of one that failed. */
static void
tell_about(struct target *t, struct samples *s, int64_t took_us)
{
	const double value[ABOUT_METRICS] = {
		[ABOUT_UP] = t->up,
		[ABOUT_DURATION] = took_us < 0 ? NAN : (double) took_us / 1e6,
		[ABOUT_SAMPLES] = t->up ? (double) t->samples : NAN,
		[ABOUT_ERRORS] = t->errors > 0 ? (double) t->errors : NAN,
	};

	put_about(t, s, value);
}

struct tally {
	int64_t found, duplicates, full, untimely;
};

static void
take_sample(struct target *t, struct samples *s, struct exposition_sample *e, struct tally *tally)
{
	static const enum sample_kind kinds[] = {[EXPOSITION_UNKNOWN] = SAMPLE_BY_NAME,
											 [EXPOSITION_GAUGE] = SAMPLE_GAUGE,
											 [EXPOSITION_COUNTER] = SAMPLE_COUNTER};
	struct series_label labels[SERIES_LABELS_MAX + 3];
	int64_t now_s = t->started_us / 1000000;

	memcpy(labels, e->label, (size_t) e->labels * sizeof *labels);
	int n = add_target_labels(t, labels, e->labels);
	if (e->has_time && (e->time_ms / 1000 < now_s - OLDEST_S || e->time_ms / 1000 > now_s + NEWEST_S)) {
		tally->untimely++;
		return;
	}
	struct slice literal = samples_labels(s, labels, n);
	if (literal.p == literal.end) {
		s->refused++;
		return;
	}
	struct series_entry *entry = series_table_get(&t->series, e->name, literal);
	if (!entry)
		tally->full++;
	else if (entry->round == t->series.round)
		tally->duplicates++;
	else {
		entry->round = t->series.round;
		samples_at(s, e->has_time ? e->time_ms * 1000 : t->started_us);
		samples_add_literal(s, e->name, literal, e->value, kinds[e->kind]);
	}
}

/* Says what was wrong with samples of an answer that is otherwise good. */
static void
judge(struct target *t, const struct exposition *e, const struct tally *tally, int64_t refused)
{
	int64_t now_ms = monotonic_ms();
	char line[120];

	t->errors += e->bad + tally->duplicates + tally->full + tally->untimely + refused;
	if (e->bad) {
		slice_printable(e->first_bad, line, sizeof line);
		problem_occurred(&t->trouble, LOG_LEVEL_WARNING, now_ms, "bad",
						 "scrape of %s: %lld lines are no samples, the first: %s", t->instance,
						 (long long) e->bad, line);
	}
	if (tally->full)
		problem_occurred(
			&t->trouble, LOG_LEVEL_WARNING, now_ms, "full",
			"scrape of %s: %lld samples beyond max_series (%d) are left out; allow or deny metric names",
			t->instance, (long long) tally->full, t->max_series);
	if (tally->duplicates)
		problem_occurred(&t->trouble, LOG_LEVEL_WARNING, now_ms, "twice",
						 "scrape of %s: %lld samples of series that came before in the answer are left out",
						 t->instance, (long long) tally->duplicates);
	if (tally->untimely)
		problem_occurred(&t->trouble, LOG_LEVEL_WARNING, now_ms, "time",
						 "scrape of %s: %lld samples older than a day or from the future are left out",
						 t->instance, (long long) tally->untimely);
	if (refused)
		problem_occurred(&t->trouble, LOG_LEVEL_WARNING, now_ms, "refused",
						 "scrape of %s: %lld samples with labels or names that are too long are left out",
						 t->instance, (long long) refused);
	if (e->bad + tally->full + tally->duplicates + tally->untimely + refused == 0)
		problem_over(&t->trouble, now_ms, "every sample is stored again");
}

/* Takes the samples of an answer. NULL, or why it is none. */
static const char *
take_answer(struct target *t, struct samples *s, const struct transfer_response *response)
{
	static struct exposition_sample sample; /* large */
	struct exposition e;
	struct tally tally = {0};
	char *text = malloc(response->body_len + 1); /* it is changed while it is read */

	if (!text)
		return "out of memory";
	memcpy(text, response->body, response->body_len);
	exposition_begin(&e, text, response->body_len);
	while (exposition_next(&e, &sample)) {
		tally.found++;
		if (is_wanted(t, sample.name))
			take_sample(t, s, &sample, &tally);
	}
	t->samples = tally.found;
	if (tally.found > 0 || e.bad == 0)
		judge(t, &e, &tally, s->refused);
	free(text);
	return tally.found > 0 || e.bad == 0 ? NULL : "the answer is no Prometheus text";
}

static const struct breaker_rules rules = {OPEN_AFTER, CLOSE_AFTER, PAUSE_MS};

/* `face`: the kind of failure, in words that do not change from one time to the next. */
static void
failed(struct target *t, const char *face, const char *why)
{
	int64_t now_ms = monotonic_ms();

	t->up = false;
	breaker_failed(&t->breaker, &rules, now_ms, (uint32_t) random());
	problem_occurred(&t->down, LOG_LEVEL_WARNING, now_ms, face, "scrape of %s failed: %s", t->instance, why);
}

static void
answered(void *arg, const struct transfer_response *response)
{
	struct target *t = arg;
	struct samples s = SAMPLES_INIT;
	char why[300] = "", face[20] = "";

	t->transfer = NULL;
	samples_begin(&s, t->scrape->env->spool, t->started_us);
	if (response->outcome != TRANSFER_ANSWERED) {
		snprintf(why, sizeof why, "%s", response->error);
		snprintf(face, sizeof face, "outcome %d", response->outcome);
	} else if (response->status != 200)
		snprintf(why, sizeof why, "status %d", response->status);
	else if (response->cut)
		snprintf(why, sizeof why, "the answer is longer than 1 MB");
	else {
		const char *no_text = take_answer(t, &s, response);
		snprintf(why, sizeof why, "%s", no_text ? no_text : "");
	}
	if (why[0])
		failed(t, face[0] ? face : why, why);
	else {
		t->up = true;
		breaker_succeeded(&t->breaker, &rules);
		problem_over(&t->down, monotonic_ms(), "the exporter answers again");
	}
	samples_at(&s, t->started_us);
	samples_end_missing(&s, &t->series);
	tell_about(t, &s, response->total_us);
	samples_end(&s);
}

/* ---- asking */

/* A slot that is skipped, or could not even begin, is told as a scrape that failed. */
static void
note_down(struct target *t)
{
	struct samples s = SAMPLES_INIT;

	t->up = false;
	samples_begin(&s, t->scrape->env->spool, t->started_us);
	samples_end_missing(&s, &t->series);
	tell_about(t, &s, -1);
	samples_end(&s);
}

static void
ask(struct target *t, int64_t now_ms)
{
	static char accept[] = "Accept: text/plain;version=0.0.4;q=1,*/*;q=0.1";
	static char *const headers[] = {accept};
	const struct transfer_request request = {
		.url = t->url,
		.headers = headers,
		.header_count = 1,
		.user_agent = "obs-agent/" OBSERV_VERSION,
		.timeout_ms = t->timeout_s * 1000,
		.max_redirects = MAX_REDIRECTS,
		.max_body = MAX_BODY,
		.verify_tls = true,
	};

	t->started_us = clock_us(CLOCK_REALTIME);
	if (!breaker_allows(&t->breaker, now_ms)) {
		note_down(t);
		return;
	}
	t->transfer = transfer_start(t->scrape->transfers, &request, answered, t);
	if (!t->transfer) {
		failed(t, "start", "the request could not be started");
		note_down(t);
	}
}

/* libcurl may be missing at one time and there at another. */
static bool
has_transfers(struct scrape *s, int64_t now_ms)
{
	char error[300];

	if (s->transfers)
		return true;
	s->transfers = transfers_open(error, sizeof error);
	if (!s->transfers)
		problem_occurred(&s->problem, LOG_LEVEL_ERROR, now_ms, "curl", "exporters can't be asked: %s", error);
	return s->transfers != NULL;
}

static void
scrape_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct scrape *s = source;

	if (s->transfers)
		transfers_run(s->transfers);
	for (int i = 0; i < s->count; i++) {
		struct target *t = s->target[i];
		/* One that is still being waited for has a deadline of its own; its slot is passed over. */
		if (ticks_due(&t->ticks, s->env->options->vps_name, t->interval_s, now_ms) && !t->transfer) {
			t->started_us = clock_us(CLOCK_REALTIME);
			if (has_transfers(s, now_ms))
				ask(t, now_ms);
			else
				note_down(t);
		}
	}
}

static void
scrape_wait(const void *source, struct waiting *w)
{
	const struct scrape *s = source;

	if (s->transfers)
		waiting_fd(w, transfers_fd(s->transfers), POLLIN);
	for (int i = 0; i < s->count; i++)
		waiting_until(w, s->target[i]->ticks.due_ms);
}

/* ---- targets come and go */

static void
forget_target(struct target *t)
{
	if (t->transfer)
		transfer_cancel(t->transfer);
	series_table_free(&t->series);
	free(t->url);
	free(t->job);
	free(t->layer);
	free(t);
}

/* HOST:PORT of a URL that the configuration has found to be in order. */
static void
instance_of(const char *url, char *out, size_t size)
{
	struct authority a = {.host = ""};

	config_authority(strstr(url, "://") + 3, &a);
	snprintf(out, size, "%s:%d", a.host, a.port ? a.port : strncasecmp(url, "https:", 6) == 0 ? 443 : 80);
}

/* Takes what may change without the target becoming another one. */
static void
configure(struct target *t, const struct scrape_target *config)
{
	t->config = config;
	t->interval_s = config->interval_s;
	t->timeout_s = config->timeout_s;
	t->max_series = t->series.max = config->max_series;
	t->kept = true;
}

static struct target *
new_target(struct scrape *s, const struct scrape_target *config, int64_t now_ms)
{
	struct target *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->scrape = s;
	t->url = strdup(config->url);
	instance_of(config->url, t->instance, sizeof t->instance);
	t->job = strdup(config->job);
	t->layer = strdup(config->layer);
	if (!t->url || !t->job || !t->layer) {
		forget_target(t);
		return NULL;
	}
	series_table_init(&t->series, config->max_series, 0);
	configure(t, config);
	t->ticks.due_ms = now_ms + FIRST_AFTER_MS;
	return t;
}

static bool
is_same(const struct target *t, const struct scrape_target *config)
{
	return strcmp(t->url, config->url) == 0 && strcmp(t->job, config->job) == 0 &&
		   strcmp(t->layer, config->layer) == 0;
}

/* The target that was there before, taken out of the old list. */
static struct target *
take_old(struct target **old, int count, const struct scrape_target *config)
{
	for (int i = 0; i < count; i++)
		if (old[i] && is_same(old[i], config)) {
			struct target *t = old[i];
			old[i] = NULL;
			configure(t, config);
			return t;
		}
	return NULL;
}

static void
end_target(struct target *t)
{
	struct samples s = SAMPLES_INIT;

	samples_begin(&s, t->scrape->env->spool, clock_us(CLOCK_REALTIME));
	samples_end_missing(&s, &t->series);
	put_about(t, &s, NULL);
	samples_end(&s);
}

static void
scrape_reload(void *source, int64_t now_ms)
{
	struct scrape *s = source;
	const struct config *config = s->env->config;
	struct target **old = s->target;
	int old_count = s->count;

	s->target = calloc((size_t) config->scrape_count + 1, sizeof(struct target *));
	if (!s->target) {
		/* Pointers into the old configuration must not stay. */
		s->count = 0;
		log_line(LOG_LEVEL_ERROR, "out of memory: no exporters are asked until the next reload");
	} else
		s->count = 0;
	for (int i = 0; s->target && i < config->scrape_count; i++) {
		struct target *t = take_old(old, old_count, &config->scrapes[i]);
		if (!t)
			t = new_target(s, &config->scrapes[i], now_ms);
		if (t)
			s->target[s->count++] = t;
		else
			log_line(LOG_LEVEL_ERROR, "out of memory: exporter %d is not scraped", i + 1);
	}
	for (int i = 0; i < old_count; i++)
		if (old[i]) {
			end_target(old[i]);
			forget_target(old[i]);
		}
	free(old);
}

static void *
scrape_start(const struct source_env *env, int64_t now_ms)
{
	struct scrape *s = env->config->scrape_count > 0 ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	scrape_reload(s, now_ms);
	return s;
}

static void
scrape_stop(void *source, int64_t now_ms)
{
	struct scrape *s = source;

	for (int i = 0; i < s->count; i++)
		forget_target(s->target[i]);
	free(s->target);
	if (s->transfers)
		transfers_close(s->transfers);
	free(s);
}

static void
scrape_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct scrape *s = source;

	for (int i = 0; i < s->count; i++) {
		const struct target *t = s->target[i];
		strbuf_printf(out, "%s: %s, %d series, %lld errors%s%s\n", t->job, t->up ? "up" : "down",
					  t->series.count, (long long) t->errors,
					  t->breaker.state == BREAKER_CLOSED ? "" : ", breaker ",
					  t->breaker.state == BREAKER_CLOSED ? "" : breaker_state_name(t->breaker.state));
	}
}

const struct source_ops scrape_source = {
	.name = "scrape",
	.start = scrape_start,
	.reload = scrape_reload,
	.run = scrape_run,
	.wait = scrape_wait,
	.stop = scrape_stop,
	.describe = scrape_describe,
};
