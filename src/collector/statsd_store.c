/* statsd_store.c: Values by type, and their flush. See statsd_store.h for what belongs here. */
#include "collector/statsd_store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_MS 60000  /* a value that does not change is sent that often */
#define FORGET_MS 600000 /* a series that nobody sends any more ends */

/* What is kept of a series; which fields count follows from its type. */
struct measure {
	int64_t updated_ms, sent_ms; /* monotonic; sent_ms 0: never */
	bool changed;
	double value;            /* counter: ever; gauge: now; set: of the last flush */
	double count, sum;       /* timer: ever */
	struct reservoir *timer; /* since the last flush; NULL: nothing came */
	struct distinct *set;
};

void
statsd_store_init(struct statsd_store *s, int max_series, int64_t wall_us)
{
	*s = (struct statsd_store){.max_series = max_series, .labels = SAMPLES_INIT, .flushed_us = wall_us};
	for (int type = 0; type < STATSD_TYPES; type++)
		series_table_init(&s->series[type], 0, sizeof(struct measure));
}

static struct measure *
measure_of(struct series_entry *e)
{
	return (struct measure *) e->payload;
}

static bool
drop(void *arg, struct series_entry *e)
{
	free(measure_of(e)->timer);
	free(measure_of(e)->set);
	return true;
}

void
statsd_store_free(struct statsd_store *s)
{
	for (int type = 0; type < STATSD_TYPES; type++) {
		series_table_sweep(&s->series[type], drop, NULL);
		series_table_free(&s->series[type]);
	}
	samples_begin(&s->labels, NULL, 0);
	samples_end(&s->labels);
}

int
statsd_store_count(const struct statsd_store *s)
{
	int n = 0;

	for (int type = 0; type < STATSD_TYPES; type++)
		n += s->series[type].count;
	return n;
}

/* ---- lines */

/* The label `layer` says whose the series is; a tag of that name that says something else is kept under another name. */
static int
add_layer(struct series_label *label, int n)
{
	static const char *const layers[] = {"application", "business", "system"};

	for (int i = 0; i < n; i++) {
		if (!slice_equals(label[i].name, "layer"))
			continue;
		for (size_t k = 0; k < sizeof layers / sizeof *layers; k++)
			if (slice_equals(label[i].value, layers[k]))
				return n;
		label[i].name = slice_of("exported_layer");
	}
	label[n] = (struct series_label){slice_of("layer"), slice_of(layers[0])};
	return n + 1;
}

static void
take_value(struct measure *m, const struct statsd_line *line, const struct statsd_value *value)
{
	switch (line->type) {
	case STATSD_COUNTER:
		m->value += value->number / line->rate;
		break;
	case STATSD_GAUGE:
		m->value = value->relative ? m->value + value->number : value->number;
		break;
	case STATSD_TIMER:
		m->timer = m->timer ? m->timer : calloc(1, sizeof *m->timer);
		if (m->timer)
			reservoir_add(m->timer, value->number, line->rate, (uint32_t) random());
		break;
	case STATSD_SET:
		m->set = m->set ? m->set : calloc(1, sizeof *m->set);
		if (m->set)
			distinct_add(m->set, value->text);
		break;
	case STATSD_TYPES:
		break;
	}
}

/* False when the line is none, or its series can't be stored. */
static bool
take_line(struct statsd_store *s, struct slice text, int64_t now_ms)
{
	struct statsd_line line;
	struct statsd_value value;
	struct series_label labels[SERIES_LABELS_MAX + 1];

	/* The longest suffix that a flush puts behind a name must still fit. */
	if (!statsd_read(text, &line) || line.name.end - line.name.p > SERIES_NAME_MAX - 6)
		return false;
	memcpy(labels, line.tag, (size_t) line.tags * sizeof *labels);
	int n = add_layer(labels, line.tags);
	/* A timer's quantile is a label, too. */
	struct slice literal = n < SERIES_LABELS_MAX ? samples_labels(&s->labels, labels, n) : slice_of("");
	if (literal.p == literal.end)
		return false;
	struct series_table *table = &s->series[line.type];
	table->max = table->count + s->max_series - statsd_store_count(s);
	struct series_entry *e = series_table_get(table, line.name, literal);
	if (!e) {
		s->full++;
		return true;
	}
	struct measure *m = measure_of(e);
	while (statsd_value(&line, &value))
		take_value(m, &line, &value);
	m->changed = true;
	m->updated_ms = now_ms;
	return true;
}

void
statsd_store_take(struct statsd_store *s, struct slice datagram, bool cut, int64_t now_ms)
{
	struct slice line;

	while (slice_line(&datagram, &line)) {
		if (line.p == line.end)
			continue;
		s->lines++;
		if ((cut && datagram.p == datagram.end) || !take_line(s, line, now_ms))
			s->errors++;
	}
}

/* ---- the flush */

/* Something that is sent of a series. */
struct part {
	const char *suffix;   /* behind the name */
	const char *quantile; /* label of that name; NULL: none */
	enum sample_kind kind;
	double (*value)(struct measure *m);
};

static double
plain_value(struct measure *m)
{
	return m->value;
}

static double
timer_count(struct measure *m)
{
	return m->count;
}

static double
timer_sum(struct measure *m)
{
	return m->sum;
}

static double
timer_min(struct measure *m)
{
	return m->timer ? m->timer->min : NAN;
}

static double
timer_max(struct measure *m)
{
	return m->timer ? m->timer->max : NAN;
}

static double
timer_median(struct measure *m)
{
	return m->timer ? reservoir_quantile(m->timer, 0.5) : NAN;
}

static double
timer_p95(struct measure *m)
{
	return m->timer ? reservoir_quantile(m->timer, 0.95) : NAN;
}

static double
timer_p99(struct measure *m)
{
	return m->timer ? reservoir_quantile(m->timer, 0.99) : NAN;
}

#define PARTS_MAX 7
static const struct part parts[STATSD_TYPES][PARTS_MAX] = {
	[STATSD_COUNTER] = {{"_total", NULL, SAMPLE_COUNTER, plain_value}},
	[STATSD_GAUGE] = {{"", NULL, SAMPLE_GAUGE, plain_value}},
	[STATSD_SET] = {{"", NULL, SAMPLE_GAUGE, plain_value}},
	[STATSD_TIMER] = {{"_count", NULL, SAMPLE_COUNTER, timer_count},
					  {"_sum", NULL, SAMPLE_COUNTER, timer_sum},
					  {"_min", NULL, SAMPLE_GAUGE, timer_min},
					  {"_max", NULL, SAMPLE_GAUGE, timer_max},
					  {"", "0.5", SAMPLE_GAUGE, timer_median},
					  {"", "0.95", SAMPLE_GAUGE, timer_p95},
					  {"", "0.99", SAMPLE_GAUGE, timer_p99}},
};

/* What a part of a series is sent as. An end is told of NaN, which is otherwise not measured, and not sent. */
enum saying { SAY_ZERO, SAY_VALUE, SAY_END };

struct flush {
	struct samples samples;
	struct strbuf labels;
	enum statsd_type type;
	int64_t now_ms;
};

static void
send_part(struct flush *f, struct series_entry *e, const struct part *part, enum saying saying)
{
	char name[SERIES_NAME_MAX + 16];
	const char *suffix = part->suffix;
	size_t len = strlen(series_entry_name(e)), tail = strlen(suffix);
	double value = saying == SAY_ZERO ? 0 : saying == SAY_END ? NAN : part->value(measure_of(e));

	if (saying == SAY_VALUE && isnan(value))
		return;
	/* A counter that is called a total already stays what it is called. */
	if (f->type == STATSD_COUNTER && len > tail && strcmp(series_entry_name(e) + len - tail, suffix) == 0)
		suffix = "";
	snprintf(name, sizeof name, "%s%s", series_entry_name(e), suffix);
	strbuf_reset(&f->labels);
	strbuf_puts(&f->labels, series_entry_labels(e));
	if (part->quantile && f->labels.len > 2) {
		/* Before the brace and the quote that end it; layer stands before it always. */
		f->labels.len -= 2;
		strbuf_printf(&f->labels, ",\\\"quantile\\\":\\\"%s\\\"}\"", part->quantile);
	}
	if (!f->labels.failed)
		samples_add_literal(&f->samples, slice_of(name),
							(struct slice){f->labels.data, f->labels.data + f->labels.len}, value,
							part->kind);
}

static void
send_series(struct flush *f, struct series_entry *e, enum saying saying)
{
	for (int i = 0; i < PARTS_MAX && parts[f->type][i].suffix; i++)
		if (saying != SAY_ZERO || parts[f->type][i].kind == SAMPLE_COUNTER)
			send_part(f, e, &parts[f->type][i], saying);
}

/* What came since the last flush becomes what is sent. */
static void
settle(struct flush *f, struct measure *m)
{
	if (f->type == STATSD_TIMER && m->timer) {
		m->count += m->timer->count;
		m->sum += m->timer->sum;
	} else if (f->type == STATSD_SET) {
		double distinct = m->set ? distinct_count(m->set) : 0;
		m->changed = m->changed || distinct != m->value;
		m->value = distinct;
	}
}

/* True when the series has ended. */
static bool
flush_series(void *arg, struct series_entry *e)
{
	struct flush *f = arg;
	struct measure *m = measure_of(e);

	if (f->now_ms - m->updated_ms >= FORGET_MS) {
		send_series(f, e, SAY_END);
		return drop(NULL, e);
	}
	settle(f, m);
	if (m->changed || f->now_ms - m->sent_ms >= REPEAT_MS) {
		send_series(f, e, SAY_VALUE);
		m->sent_ms = f->now_ms;
	}
	m->changed = false;
	free(m->timer);
	free(m->set);
	m->timer = NULL;
	m->set = NULL;
	return false;
}

/* A counter that is new was nothing at the flush before: else what it begins with would be no increase. */
static void
send_beginnings(struct statsd_store *s, struct flush *f)
{
	for (int type = 0; type < STATSD_TYPES; type++) {
		const struct series_table *t = &s->series[type];
		f->type = (enum statsd_type) type;
		for (int i = 0; i < t->count; i++)
			if (measure_of(t->entry[i])->sent_ms == 0)
				send_series(f, t->entry[i], SAY_ZERO);
	}
}

static void
send_troubles(struct statsd_store *s, struct flush *f)
{
	bool news = s->errors != s->told_errors || s->full != s->told_full;

	if (s->errors + s->full == 0 || (!news && f->now_ms - s->told_ms < REPEAT_MS))
		return;
	samples_put(&f->samples, "observ_statsd_errors_total", (double) s->errors, SAMPLE_COUNTER,
				SAMPLES_NO_MORE);
	samples_put(&f->samples, "observ_statsd_left_out_total", (double) s->full, SAMPLE_COUNTER,
				SAMPLES_NO_MORE);
	s->told_errors = s->errors;
	s->told_full = s->full;
	s->told_ms = f->now_ms;
}

void
statsd_store_flush(struct statsd_store *s, struct spool *spool, int64_t now_ms, int64_t wall_us)
{
	struct flush f = {.samples = SAMPLES_INIT, .labels = STRBUF_INIT, .now_ms = now_ms};

	samples_begin(&f.samples, spool, s->flushed_us);
	if (s->flushed_us < wall_us)
		send_beginnings(s, &f);
	samples_at(&f.samples, wall_us);
	for (int type = 0; type < STATSD_TYPES; type++) {
		f.type = (enum statsd_type) type;
		series_table_sweep(&s->series[type], flush_series, &f);
	}
	send_troubles(s, &f);
	samples_end(&f.samples);
	strbuf_free(&f.labels);
	s->flushed_us = wall_us;
}
