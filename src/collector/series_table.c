/* series_table.c: A dense array of entries, and open addressing into it. See series_table.h for what belongs here. */
#include "collector/series_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

#define FIRST_ROOM 16

void
series_table_init(struct series_table *t, int max, size_t payload_size)
{
	*t = (struct series_table){.max = max, .round = 1, .payload_size = payload_size};
}

void
series_table_free(struct series_table *t)
{
	for (int i = 0; i < t->count; i++)
		free(t->entry[i]);
	free(t->entry);
	free(t->slot);
	series_table_init(t, t->max, t->payload_size);
}

static size_t
size_of(struct slice s)
{
	return (size_t) (s.end - s.p);
}

static uint64_t
hash_of(struct slice name, struct slice labels)
{
	uint64_t h = hash_span(HASH_SEED, name.p, size_of(name));

	return hash_finish(hash_span(hash_span(h, "", 1), labels.p, size_of(labels)));
}

static void
place(struct series_table *t, int index)
{
	int at = (int) (t->entry[index]->hash % (uint64_t) t->slots);

	while (t->slot[at])
		at = (at + 1) % t->slots;
	t->slot[at] = index + 1;
}

static void
place_all(struct series_table *t)
{
	memset(t->slot, 0, (size_t) t->slots * sizeof *t->slot);
	for (int i = 0; i < t->count; i++)
		place(t, i);
}

/* Room for one more. */
static bool
grow(struct series_table *t)
{
	if (t->count < t->room)
		return true;
	int room = t->room ? t->room * 2 : FIRST_ROOM;
	struct series_entry **entry = realloc(t->entry, (size_t) room * sizeof(struct series_entry *));
	if (!entry)
		return false;
	t->entry = entry;
	int *slot = realloc(t->slot, (size_t) room * 2 * sizeof *t->slot);
	if (!slot)
		return false;
	t->slot = slot;
	t->room = room;
	t->slots = room * 2;
	place_all(t);
	return true;
}

static bool
is_it(const struct series_entry *e, uint64_t hash, struct slice name, struct slice labels)
{
	return e->hash == hash && e->name_len == size_of(name) && memcmp(e->text, name.p, size_of(name)) == 0 &&
		   slice_equals(labels, series_entry_labels(e));
}

struct series_entry *
series_table_get(struct series_table *t, struct slice name, struct slice labels)
{
	uint64_t hash = hash_of(name, labels);

	if (t->slots > 0)
		for (int at = (int) (hash % (uint64_t) t->slots); t->slot[at]; at = (at + 1) % t->slots)
			if (is_it(t->entry[t->slot[at] - 1], hash, name, labels))
				return t->entry[t->slot[at] - 1];
	if (t->count >= t->max || !grow(t))
		return NULL;
	struct series_entry *e = calloc(1, sizeof *e + t->payload_size + size_of(name) + size_of(labels) + 2);
	if (!e)
		return NULL;
	e->hash = hash;
	e->name_len = (uint32_t) size_of(name);
	e->text = (char *) e->payload + t->payload_size;
	memcpy(e->text, name.p, size_of(name));
	memcpy(e->text + size_of(name) + 1, labels.p, size_of(labels));
	t->entry[t->count++] = e;
	place(t, t->count - 1);
	return e;
}

void
series_table_sweep(struct series_table *t, bool (*over)(void *arg, struct series_entry *e), void *arg)
{
	int kept = 0;

	for (int i = 0; i < t->count; i++) {
		struct series_entry *e = t->entry[i];
		if (over(arg, e))
			free(e);
		else
			t->entry[kept++] = e;
	}
	if (kept == t->count)
		return;
	t->count = kept;
	place_all(t);
}
