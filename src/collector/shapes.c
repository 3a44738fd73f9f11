/* shapes.c: Array literals side by side, element by element. See shapes.h for what belongs here. */
#include "collector/shapes.h"

#include <stdlib.h>

#include "core/hash.h"

#define FEW_BLANKS 32 /* that many semicolons are less than a shape of one's own */

/* The elements of an array literal that is left, up to and with the closing brace; p NULL: the array itself is NULL. */
struct elements {
	struct slice rest;
	bool bad;
};

static struct elements
elements_of(struct slice literal)
{
	struct elements e = {literal, false};

	if (literal.p)
		e.bad = literal.p == literal.end || *e.rest.p++ != '{';
	return e;
}

/* As it stands there, with its quotes. False at the end, and when this is no array. */
static bool
next_element(struct elements *e, struct slice *out)
{
	const char *at = e->rest.p;

	if (e->bad || at == e->rest.end || *at == '}')
		return false;
	if (*at == '"')
		for (at++; at < e->rest.end && *at != '"'; at++)
			at += *at == '\\' && at + 1 < e->rest.end;
	while (at < e->rest.end && *at != ',' && *at != '}')
		at++;
	*out = (struct slice){e->rest.p, at};
	bool more = at < e->rest.end && *at == ',';
	e->rest.p = at + more;
	e->bad =
		at == e->rest.end || out->p == out->end || (more && e->rest.p < e->rest.end && *e->rest.p == '}');
	return !e->bad;
}

static bool
at_end(const struct elements *e)
{
	return !e->rest.p || (!e->bad && e->rest.end - e->rest.p == 1 && *e->rest.p == '}');
}

/* One place of a scrape or a shape: name, labels and kind. */
struct walk {
	struct elements names, labels, kinds;
	struct slice name, label, kind;
};

static struct walk
walk_of(struct slice names, struct slice labels, struct slice kinds)
{
	return (struct walk){
		.names = elements_of(names), .labels = elements_of(labels), .kinds = elements_of(kinds)};
}

static bool
walk_on(struct walk *w)
{
	bool has_kinds = w->kinds.rest.p != NULL;

	w->kind = slice_of("NULL");
	bool name = next_element(&w->names, &w->name), label = next_element(&w->labels, &w->label);
	bool kind = has_kinds ? next_element(&w->kinds, &w->kind) : name;
	/* Arrays that differ in length are not for us: the database says what is wrong with them. */
	w->names.bad |= name != label || name != kind;
	return name && label && kind;
}

static bool
same_place(const struct walk *a, const struct walk *b)
{
	return slice_compare(a->name, b->name) == 0 && slice_compare(a->label, b->label) == 0 &&
		   slice_compare(a->kind, b->kind) == 0;
}

static bool
is_value(struct slice s)
{
	for (const char *at = s.p; at < s.end; at++)
		if (!strchr("0123456789+-.eInfityNa", *at))
			return false;
	return s.p < s.end;
}

/* How many samples the record has; 0 when it is not what samples.h makes. */
static int
count_samples(const struct record *r)
{
	struct walk w = walk_of(r->field[SAMPLES_NAMES], r->field[SAMPLES_LABELS], r->field[SAMPLES_KINDS]);
	struct elements values = elements_of(r->field[SAMPLES_VALUES]);
	struct slice value;
	int n = 0;

	if (r->fields != SAMPLES_FIELDS || !w.names.rest.p || !w.labels.rest.p || !values.rest.p)
		return 0;
	while (walk_on(&w)) {
		if (!next_element(&values, &value) || !is_value(value))
			return 0;
		n++;
	}
	bool whole = at_end(&w.names) && at_end(&w.labels) && at_end(&w.kinds) && at_end(&values);
	return whole ? n : 0;
}

/* Writes the values of the `n` samples to the places that they have in the shape; false when it has none for one of them. */
static bool
fill_in(const struct shape *shape, const struct record *r, int n, struct strbuf *out)
{
	struct walk have = walk_of(shape->names, shape->labels, shape->kinds);
	struct walk want = walk_of(r->field[SAMPLES_NAMES], r->field[SAMPLES_LABELS], r->field[SAMPLES_KINDS]);
	struct elements values = elements_of(r->field[SAMPLES_VALUES]);
	struct slice value;
	int blanks = 0;

	strbuf_reset(out);
	walk_on(&want);
	for (int placed = 0; placed < n;) {
		if (!walk_on(&have) || blanks > n + FEW_BLANKS)
			return false;
		if (out->len + (size_t) blanks > 0)
			strbuf_putc(out, ';');
		if (!same_place(&have, &want)) {
			blanks++;
			continue;
		}
		next_element(&values, &value);
		strbuf_add(out, value.p, (size_t) (value.end - value.p));
		walk_on(&want);
		placed++;
	}
	return true;
}

static uint64_t
hash_of(const struct record *r)
{
	uint64_t h = HASH_SEED;

	for (int f = 0; f < SAMPLES_FIELDS; f++) {
		struct slice s = r->field[f];
		if (f == SAMPLES_VALUES)
			continue;
		h = hash_span(h, s.p ? s.p : "", (size_t) (s.end - s.p));
		h = hash_span(h, "", 1);
	}
	return hash_finish(h);
}

static void
remove_shape(struct shape_table *t, int i)
{
	t->size -= t->shape[i].size;
	free(t->shape[i].text);
	t->shape[i] = t->shape[--t->count];
}

static void
make_room(struct shape_table *t, size_t size)
{
	while (t->count == SHAPES_MAX || (t->count > 0 && t->size + size > SHAPES_ROOM)) {
		int oldest = 0;
		for (int i = 1; i < t->count; i++)
			if (t->shape[i].used < t->shape[oldest].used)
				oldest = i;
		remove_shape(t, oldest);
	}
}

static struct slice
copy(char **to, struct slice s)
{
	size_t len = (size_t) (s.end - s.p);

	if (!s.p)
		return s;
	memcpy(*to, s.p, len);
	*to += len;
	return (struct slice){*to - len, *to};
}

static void
remember(struct shape_table *t, const struct record *r, uint64_t hash, size_t size)
{
	struct shape *s = &t->shape[t->count];
	char *text = malloc(size);

	if (!text)
		return; /* is sent in full again */
	*s = (struct shape){.hash = hash, .used = t->batch, .made = t->batch, .text = text, .size = size};
	s->names = copy(&text, r->field[SAMPLES_NAMES]);
	s->labels = copy(&text, r->field[SAMPLES_LABELS]);
	s->kinds = copy(&text, r->field[SAMPLES_KINDS]);
	t->count++;
	t->size += size;
}

static bool
is_shape(const struct shape *s, const struct record *r)
{
	return slice_compare(s->names, r->field[SAMPLES_NAMES]) == 0 &&
		   slice_compare(s->labels, r->field[SAMPLES_LABELS]) == 0 &&
		   slice_compare(s->kinds, r->field[SAMPLES_KINDS]) == 0;
}

/* All values are there, in the order of a shape of its own. */
static enum shape_use
use_in_full(struct shape_table *t, const struct record *r, int n, uint64_t *hash, struct strbuf *values)
{
	struct slice names = r->field[SAMPLES_NAMES], labels = r->field[SAMPLES_LABELS],
				 kinds = r->field[SAMPLES_KINDS];
	struct shape own = {.names = names, .labels = labels, .kinds = kinds};
	size_t size =
		(size_t) (names.end - names.p) + (size_t) (labels.end - labels.p) + (size_t) (kinds.end - kinds.p);

	*hash = hash_of(r);
	for (int i = 0; i < t->count; i++)
		if (t->shape[i].hash == *hash) /* twice in this batch, or by accident the hash of another */
			return is_shape(&t->shape[i], r) && fill_in(&own, r, n, values) ? SHAPE_FULL : SHAPE_NONE;
	if (size > SHAPE_BYTES || !fill_in(&own, r, n, values))
		return SHAPE_NONE;
	make_room(t, size);
	remember(t, r, *hash, size);
	return SHAPE_FULL;
}

enum shape_use
shapes_use(struct shape_table *t, const struct record *r, uint64_t *hash, struct strbuf *values)
{
	struct strbuf candidate = STRBUF_INIT;
	struct shape *best = NULL;
	size_t least = SIZE_MAX;
	int n = count_samples(r);

	if (n == 0)
		return SHAPE_NONE;
	for (int i = 0; i < t->count; i++) {
		struct shape *s = &t->shape[i];
		if (s->made == t->batch || !fill_in(s, r, n, &candidate) || candidate.failed ||
			candidate.len >= least)
			continue;
		least = candidate.len;
		best = s;
	}
	strbuf_free(&candidate);
	if (!best)
		return use_in_full(t, r, n, hash, values);
	best->used = t->batch;
	*hash = best->hash;
	fill_in(best, r, n, values);
	return SHAPE_KNOWN;
}

void
shapes_begin_batch(struct shape_table *t)
{
	t->batch++;
}

void
shapes_forget(struct shape_table *t)
{
	while (t->count > 0)
		remove_shape(t, t->count - 1);
}
