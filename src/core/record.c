/* record.c: A record as bytes: kind, rank, number of fields, time, then each field as length and bytes. See record.h for what belongs here. */
#include "core/record.h"

#include <string.h>

#include "core/little_endian.h"

#include "core/log_level.h"

#define HEAD_BYTES  11
#define NULL_LENGTH UINT32_MAX

static const int fields_of[RECORD_KINDS] = {
	[RECORD_METRICS] = 33,
	[RECORD_HEALTH] = HEALTH_FIELDS,
	[RECORD_LOG] = LINE_FIELDS,
	[RECORD_SAMPLES] = SAMPLES_FIELDS,
	[RECORD_EVENT] = EVENT_FIELDS,
	[RECORD_PEERS] = PEERS_FIELDS,
	[RECORD_POSITION] = POSITION_FIELDS,
};

enum record_rank
record_rank_of_level(struct slice level)
{
	int rank = log_level_rank(level);

	if (rank >= log_level_rank(slice_of("error")))
		return RANK_KEEP;
	return rank >= log_level_rank(slice_of("warning")) ? RANK_WARNING : RANK_LOW;
}

void
record_init(struct record *r, enum record_kind kind, enum record_rank rank, int64_t timestamp_us)
{
	memset(r, 0, sizeof *r);
	r->kind = kind;
	r->rank = rank;
	r->timestamp_us = timestamp_us;
	r->fields = fields_of[kind];
}

void
record_set(struct record *r, int field, const char *text)
{
	r->field[field] = text ? slice_of(text) : (struct slice){NULL, NULL};
}

size_t
record_size(const struct record *r)
{
	size_t size = HEAD_BYTES;

	for (int i = 0; i < r->fields; i++)
		size += 4 + (size_t) (r->field[i].p ? r->field[i].end - r->field[i].p : 0);
	return size;
}

size_t
record_write(const struct record *r, char *out)
{
	char *at = out;

	at = put_number(at, r->kind, 1);
	at = put_number(at, r->rank, 1);
	at = put_number(at, (uint64_t) r->fields, 1);
	at = put_number(at, (uint64_t) r->timestamp_us, 8);
	for (int i = 0; i < r->fields; i++) {
		const struct slice *f = &r->field[i];
		size_t len = f->p ? (size_t) (f->end - f->p) : 0;
		at = put_number(at, f->p ? len : NULL_LENGTH, 4);
		if (len > 0)
			memcpy(at, f->p, len);
		at += len;
	}
	return (size_t) (at - out);
}

bool
record_read(struct slice bytes, struct record *out)
{
	const char *at = bytes.p;

	if (bytes.end - at < HEAD_BYTES)
		return false;
	uint64_t kind = get_number(at, 1), rank = get_number(at + 1, 1), fields = get_number(at + 2, 1);
	if (kind == 0 || kind >= RECORD_KINDS || rank >= RANKS || fields != (uint64_t) fields_of[kind])
		return false;
	record_init(out, (enum record_kind) kind, (enum record_rank) rank, (int64_t) get_number(at + 3, 8));
	at += HEAD_BYTES;
	for (int i = 0; i < out->fields; i++) {
		if (bytes.end - at < 4)
			return false;
		uint64_t len = get_number(at, 4);
		at += 4;
		if (len == NULL_LENGTH)
			continue;
		if ((uint64_t) (bytes.end - at) < len)
			return false;
		out->field[i] = (struct slice){at, at + len};
		at += len;
	}
	return at == bytes.end;
}
