/* statsd.c: StatsD lines, reservoirs, sets. See statsd.h for what belongs here. */
#include "core/statsd.h"

#include "core/hash.h"

#include <math.h>
#include <stdlib.h>

/* Together they keep every sum of an agent's life finite. */
#define LARGEST_VALUE 1e280
#define SMALLEST_RATE 1e-9

/* Takes what stands before the next `separator`, or all; false when there is nothing left. */
static bool
take(struct slice *rest, char separator, struct slice *part)
{
	if (!rest->p)
		return false;
	const char *at = rest->p < rest->end ? memchr(rest->p, separator, (size_t) (rest->end - rest->p)) : NULL;
	*part = (struct slice){rest->p, at ? at : rest->end};
	rest->p = at ? at + 1 : NULL;
	return true;
}

static bool
is_empty(struct slice s)
{
	return s.p >= s.end;
}

static bool
read_type(struct slice s, enum statsd_type *type)
{
	static const struct {
		const char *name;
		enum statsd_type type;
	} types[] = {{"c", STATSD_COUNTER}, {"g", STATSD_GAUGE}, {"ms", STATSD_TIMER},
				 {"h", STATSD_TIMER},   {"d", STATSD_TIMER}, {"s", STATSD_SET}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_equals(s, types[i].name)) {
			*type = types[i].type;
			return true;
		}
	return false;
}

/* Of two tags of one name the later counts. False when there are too many. */
static bool
add_tag(struct statsd_line *out, struct slice text)
{
	struct series_label tag;

	if (is_empty(text))
		return true;
	take(&text, ':', &tag.name);
	tag.value = text.p ? text : slice_of("true");
	if (is_empty(tag.name))
		return true;
	for (int i = 0; i < out->tags; i++)
		if (slice_compare(out->tag[i].name, tag.name) == 0) {
			out->tag[i].value = tag.value;
			return true;
		}
	if (out->tags == SERIES_LABELS_MAX)
		return false;
	out->tag[out->tags++] = tag;
	return true;
}

static bool
read_section(struct statsd_line *out, struct slice section)
{
	struct slice tag;

	if (slice_starts(section, "@")) {
		section.p++;
		return slice_to_float(section, &out->rate) && out->rate >= SMALLEST_RATE && out->rate <= 1;
	}
	if (!slice_starts(section, "#"))
		return true;
	section.p++;
	while (take(&section, ',', &tag))
		if (!add_tag(out, tag))
			return false;
	return true;
}

/* Text that a database takes: UTF-8 without control characters. */
static bool
is_text(const struct statsd_line *line)
{
	for (int i = 0; i < line->tags; i++)
		if (!slice_is_printable(line->tag[i].name) || !slice_is_printable(line->tag[i].value))
			return false;
	return slice_is_printable(line->name);
}

bool
statsd_read(struct slice line, struct statsd_line *out)
{
	struct slice section;
	struct statsd_line check;
	struct statsd_value value;

	if (!is_empty(line) && line.end[-1] == '\r')
		line.end--;
	out->rate = 1;
	out->tags = 0;
	/* A name may hold anything but a colon, also a bar: the first colon ends it. */
	if (!take(&line, ':', &out->name) || is_empty(out->name) || !take(&line, '|', &out->values) ||
		!take(&line, '|', &section) || !read_type(section, &out->type))
		return false;
	while (take(&line, '|', &section))
		if (!read_section(out, section))
			return false;
	if (!is_text(out))
		return false;
	/* Packed values are taken together or not at all. */
	check.type = out->type;
	check.values = out->values;
	while (check.values.p)
		if (!statsd_value(&check, &value))
			return false;
	return true;
}

bool
statsd_value(struct statsd_line *line, struct statsd_value *out)
{
	if (line->type == STATSD_SET) {
		/* A set's value may hold colons. */
		out->text = line->values;
		line->values.p = NULL;
		return out->text.p && !is_empty(out->text);
	}
	if (!take(&line->values, ':', &out->text) || is_empty(out->text))
		return false;
	out->relative = line->type == STATSD_GAUGE && (*out->text.p == '+' || *out->text.p == '-');
	return slice_to_float(out->text, &out->number) && fabs(out->number) <= LARGEST_VALUE &&
		   (line->type != STATSD_COUNTER || out->number >= 0);
}

void
reservoir_add(struct reservoir *r, double value, double rate, uint32_t random)
{
	if (r->seen == 0 || value < r->min)
		r->min = value;
	if (r->seen == 0 || value > r->max)
		r->max = value;
	r->count += 1 / rate;
	r->sum += value / rate;
	if (r->seen++ < RESERVOIR_SIZE)
		r->value[r->kept++] = value;
	else {
		uint64_t place = (uint64_t) random % (uint64_t) r->seen;
		if (place < RESERVOIR_SIZE)
			r->value[place] = value;
	}
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

double
reservoir_quantile(struct reservoir *r, double q)
{
	if (r->kept == 0)
		return NAN;
	qsort(r->value, (size_t) r->kept, sizeof *r->value, compare_doubles);
	int rank = (int) ceil(q * r->kept);

	return r->value[rank < 1 ? 0 : rank - 1];
}

void
distinct_add(struct distinct *d, struct slice value)
{
	uint64_t h = hash_finish(hash_span(HASH_SEED, value.p, (size_t) (value.end - value.p)));
	int low = 0, high = d->count;

	if (d->full && h > d->hash[DISTINCT_MAX - 1])
		return;
	while (low < high) {
		int middle = (low + high) / 2;
		if (d->hash[middle] < h)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < d->count && d->hash[low] == h)
		return;
	if (d->count < DISTINCT_MAX)
		d->count++;
	else
		d->full = true;
	if (low == DISTINCT_MAX)
		return; /* larger than all that are kept */
	/* Where there is no room the largest goes. */
	memmove(&d->hash[low + 1], &d->hash[low], (size_t) (d->count - 1 - low) * sizeof *d->hash);
	d->hash[low] = h;
}

double
distinct_count(const struct distinct *d)
{
	if (!d->full)
		return d->count;
	/* The k-th smallest of n hashes lies at about k/n of all there are. */
	return (DISTINCT_MAX - 1) / ((double) d->hash[DISTINCT_MAX - 1] / 0x1p64);
}
