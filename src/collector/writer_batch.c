/* writer_batch.c: Copying records out of the spool, and their times. See writer_batch.h for what belongs here. */
#include "collector/writer_batch.h"

#include <stdlib.h>

static bool
add_item(struct batch *b, int64_t number, const struct record *r)
{
	size_t size = record_size(r), before = b->bytes.len;

	if (b->count == b->room) {
		int room = b->room ? b->room * 2 : 32;
		struct batch_item *grown = realloc(b->item, (size_t) room * sizeof *grown);
		if (!grown)
			return false;
		b->item = grown;
		b->room = room;
	}
	if (!strbuf_extend(&b->bytes, size))
		return false;
	record_write(r, b->bytes.data + before);
	b->item[b->count++] = (struct batch_item){.offset = before,
											  .size = size,
											  .number = number,
											  .original_us = r->timestamp_us,
											  .timestamp_us = r->timestamp_us,
											  .kind = r->kind};
	return true;
}

static bool
take(void *into, int64_t number, bool group_goes_on, const struct record *r)
{
	struct batch *b = into;

	b->full = b->count == b->max || (b->count > 0 && b->bytes.len + record_size(r) > BATCH_BYTES);
	/* Out of memory: what there is goes first. */
	if (b->full || !add_item(b, number, r)) {
		b->full = true;
		return false;
	}
	if (!group_goes_on)
		b->complete = b->count;
	return true;
}

bool
batch_take(struct batch *b, const struct spool *spool, int max)
{
	batch_clear(b);
	b->max = max < BATCH_RECORDS ? max : BATCH_RECORDS;
	bool read = spool_read((struct spool *) spool, spool_acked(spool), take, b);
	if (b->full && b->complete > 0)
		b->count = b->complete;
	return read && !(b->full && b->count == 0);
}

void
batch_take_one(struct batch *b, int64_t number, const struct record *r)
{
	batch_clear(b);
	add_item(b, number, r);
}

int64_t
batch_last(const struct batch *b)
{
	return b->count > 0 ? b->item[b->count - 1].number : 0;
}

/* Ever earlier, so that no two of the batch meet. */
static void
clamp(struct batch_item *item, const struct batch_window *window, int64_t *latest_us)
{
	item->timestamp_us -= window->offset_us > 0 ? window->offset_us : 0;
	if (item->timestamp_us > *latest_us)
		item->timestamp_us = *latest_us;
	*latest_us = item->timestamp_us - 1;
	item->clamped = true;
}

void
batch_sort(struct batch *b, const struct batch_window *window, bool bad)
{
	int64_t latest_us = window->server_time_us;

	b->clamped = b->quarantined = 0;
	memset(b->to_store, 0, sizeof b->to_store);
	for (int i = b->count - 1; i >= 0; i--) {
		struct batch_item *item = &b->item[i];
		bool timed = item->kind != RECORD_POSITION;
		item->quarantined = bad || (timed && item->timestamp_us < window->accept_from_us);
		if (item->quarantined) {
			b->quarantined++;
			continue;
		}
		if (timed && item->timestamp_us > window->accept_until_us) {
			clamp(item, window, &latest_us);
			b->clamped++;
		}
		b->to_store[item->kind]++;
	}
}

bool
batch_record(const struct batch *b, int item, struct record *out)
{
	const struct batch_item *it = &b->item[item];
	const char *bytes = b->bytes.data + it->offset;

	if (!record_read((struct slice){bytes, bytes + it->size}, out))
		return false;
	out->timestamp_us = it->timestamp_us;
	return true;
}

void
batch_clear(struct batch *b)
{
	strbuf_reset(&b->bytes);
	b->count = b->complete = 0;
	b->full = false;
}

void
batch_free(struct batch *b)
{
	strbuf_free(&b->bytes);
	free(b->item);
	*b = (struct batch){.bytes = STRBUF_INIT};
}
