/* samples.c: Four array literals that grow side by side. See samples.h for what belongs here. */
#include "collector/samples.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A string of JSON inside a quoted element of an array literal: what JSON escapes with one backslash has two here. */
static void
put_json_string(struct strbuf *b, struct slice s)
{
	strbuf_puts(b, "\\\"");
	while (s.p < s.end) {
		size_t len = slice_utf8_length(s.p, s.end);
		unsigned char c = (unsigned char) *s.p;
		if (len == 0 || c == '\0')
			strbuf_putc(b, '?');
		else if (c == '"' || c == '\\')
			strbuf_puts(b, c == '"' ? "\\\\\\\"" : "\\\\\\\\");
		else if (c < 0x20)
			strbuf_printf(b, "\\\\u%04x", c);
		else
			strbuf_add(b, s.p, len);
		s.p += len ? len : 1;
	}
	strbuf_puts(b, "\\\"");
}

/* A text inside a quoted element of an array literal. */
static void
put_text(struct strbuf *b, struct slice s)
{
	while (s.p < s.end) {
		size_t len = slice_utf8_length(s.p, s.end);
		if (len == 0 || *s.p == '\0')
			strbuf_putc(b, '?');
		else {
			if (*s.p == '"' || *s.p == '\\')
				strbuf_putc(b, '\\');
			strbuf_add(b, s.p, len);
		}
		s.p += len ? len : 1;
	}
}

struct slice
samples_labels(struct samples *s, struct series_label *labels, int n)
{
	struct strbuf *b = &s->scratch;
	const struct series_label *last = NULL;

	strbuf_reset(b);
	if (series_labels_problem(labels, n) != NULL)
		return (struct slice){"", ""};
	series_sort_labels(labels, n);
	strbuf_puts(b, "\"{");
	for (int i = 0; i < n; i++) {
		const struct series_label *label = &labels[i];
		if (label->value.p == label->value.end || (last && slice_compare(last->name, label->name) == 0))
			continue;
		if (last)
			strbuf_putc(b, ',');
		put_json_string(b, label->name);
		strbuf_putc(b, ':');
		put_json_string(b, label->value);
		last = label;
	}
	strbuf_puts(b, "}\"");
	return b->failed ? (struct slice){"", ""} : (struct slice){b->data, b->data + b->len};
}

void
samples_begin(struct samples *s, struct spool *spool, int64_t timestamp_us)
{
	s->spool = spool;
	s->timestamp_us = timestamp_us;
	s->count = 0;
	s->added = s->refused = 0;
	s->any_kind = false;
}

static void
hand_over(struct samples *s)
{
	struct strbuf *const columns[SAMPLES_FIELDS] = {
		[SAMPLES_NAMES] = &s->names,
		[SAMPLES_LABELS] = &s->labels,
		[SAMPLES_VALUES] = &s->values,
		[SAMPLES_KINDS] = &s->kinds,
	};
	struct record r;
	bool failed = false;

	if (s->count == 0)
		return;
	record_init(&r, RECORD_SAMPLES, RANK_METRICS, s->timestamp_us);
	for (int i = 0; i < SAMPLES_FIELDS; i++) {
		strbuf_putc(columns[i], '}');
		failed = failed || columns[i]->failed;
		if (!failed && (i != SAMPLES_KINDS || s->any_kind))
			record_set(&r, i, columns[i]->data);
	}
	if (failed)
		s->refused += s->count;
	else {
		spool_add(s->spool, &r, SPOOL_LATER);
		s->added += s->count;
	}
	for (int i = 0; i < SAMPLES_FIELDS; i++)
		strbuf_reset(columns[i]);
	s->count = 0;
	s->any_kind = false;
}

void
samples_at(struct samples *s, int64_t timestamp_us)
{
	if (timestamp_us != s->timestamp_us)
		hand_over(s);
	s->timestamp_us = timestamp_us;
}

/* The shortest text that is the number again. */
static void
put_number(struct strbuf *b, double value)
{
	char text[40];

	if (isnan(value)) {
		strbuf_puts(b, "NaN");
		return;
	}
	if (isinf(value)) {
		strbuf_puts(b, value > 0 ? "Infinity" : "-Infinity");
		return;
	}
	for (int digits = 6; digits <= 17; digits += digits == 6 ? 1 : digits == 7 ? 8 : 2) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	strbuf_puts(b, text);
}

void
samples_add_literal(struct samples *s, struct slice name, struct slice labels, double value,
					enum sample_kind kind)
{
	if (labels.p == labels.end || series_name_problem(name) != NULL) {
		s->refused++;
		return;
	}
	/* The name says what a series is unless told otherwise: as observ.insert_samples() has it. */
	bool as_named = kind == SAMPLE_BY_NAME || series_is_counter(name) == (kind == SAMPLE_COUNTER);
	char separator = s->count ? ',' : '{';

	strbuf_putc(&s->names, separator);
	strbuf_putc(&s->names, '"');
	put_text(&s->names, name);
	strbuf_putc(&s->names, '"');
	strbuf_putc(&s->labels, separator);
	strbuf_add(&s->labels, labels.p, (size_t) (labels.end - labels.p));
	strbuf_putc(&s->values, separator);
	put_number(&s->values, value);
	strbuf_putc(&s->kinds, separator);
	strbuf_puts(&s->kinds, as_named ? "NULL" : kind == SAMPLE_COUNTER ? "counter" : "gauge");
	s->any_kind = s->any_kind || !as_named;
	if (++s->count == SAMPLES_PER_RECORD || s->names.len + s->labels.len > SAMPLES_BYTES)
		hand_over(s);
}

void
samples_add(struct samples *s, struct slice name, struct series_label *labels, int n, double value,
			enum sample_kind kind)
{
	samples_add_literal(s, name, samples_labels(s, labels, n), value, kind);
}

void
samples_put(struct samples *s, const char *name, double value, enum sample_kind kind, ...)
{
	struct series_label labels[SERIES_LABELS_MAX];
	const char *label;
	va_list args;
	int n = 0;

	if (isnan(value))
		return;
	va_start(args, kind);
	while (n < SERIES_LABELS_MAX && (label = va_arg(args, const char *)) != NULL)
		labels[n++] = (struct series_label){slice_of(label), slice_of(va_arg(args, const char *))};
	va_end(args);
	samples_add(s, slice_of(name), labels, n, value, kind);
}

/* What was measured is hardly known to seven digits, and the others would be most of the bytes. Counts and counters are exact. */
static double
measured(double value, enum sample_kind kind)
{
	char text[40];

	if (kind != SAMPLE_GAUGE || !isfinite(value) || value == rint(value))
		return value;
	snprintf(text, sizeof text, "%.7g", value);
	return strtod(text, NULL);
}

void
samples_put_thing(struct samples *s, const struct sample_metric *metric, int metrics, const double *values,
				  uint32_t *sent, struct series_label *labels, int n)
{
	struct slice literal = samples_labels(s, labels, n);

	for (int i = 0; i < metrics; i++) {
		uint32_t bit = UINT32_C(1) << i;
		double value = values ? values[i] : NAN;
		if (values ? isnan(value) : !(*sent & bit))
			continue;
		samples_add_literal(s, slice_of(metric[i].name), literal, measured(value, metric[i].kind),
							metric[i].kind);
		*sent |= bit;
	}
}

void
samples_add_end(struct samples *s, const struct series_entry *e)
{
	samples_add_literal(s, slice_of(series_entry_name(e)), slice_of(series_entry_labels(e)), NAN,
						SAMPLE_BY_NAME);
}

void
samples_end(struct samples *s)
{
	struct strbuf *const buffers[] = {&s->names, &s->labels, &s->values, &s->kinds, &s->scratch};

	hand_over(s);
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		strbuf_free(buffers[i]);
}

struct ending {
	struct samples *samples;
	uint32_t round;
};

static bool
end_if_missing(void *arg, struct series_entry *e)
{
	struct ending *ending = arg;

	if (e->round == ending->round)
		return false;
	samples_add_end(ending->samples, e);
	return true;
}

void
samples_end_missing(struct samples *s, struct series_table *t)
{
	struct ending ending = {s, t->round};

	series_table_sweep(t, end_if_missing, &ending);
	t->round++;
}
