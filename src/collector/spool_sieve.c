/* spool_sieve.c: What of a segment stays when room is needed. See spool_parts.h for what belongs here. */
#include <stdlib.h>
#include <string.h>

#include "collector/spool_parts.h"
#include "core/hash.h"

#define MINUTE_US 60000000

const enum record_rank spool_level_rank[SPOOL_LEVELS] = {
	[SPOOL_THIN] = RANK_METRICS,         [SPOOL_DROP_METRICS] = RANK_METRICS, [SPOOL_DROP_LOW] = RANK_LOW,
	[SPOOL_DROP_WARNING] = RANK_WARNING, [SPOOL_DROP_KEEP] = RANK_KEEP,
};

/* Where in a segment a log file's newest position is. */
struct newest {
	uint64_t file;
	int64_t offset;
};

struct sieve {
	struct spool *s;
	enum spool_level level;
	char *bytes; /* of the segment; what stays moves to the front */
	int64_t kept;
	struct newest *newest;
	int newest_count, newest_allocated;
	/* the group that is being looked at */
	int group_kept;
	int64_t group_last; /* offset of its last frame that stays */
	uint64_t group_last_number;
	struct segment result;
	struct sifted *out;
};

static bool
remember_position(struct sieve *v, const struct record *r, int64_t offset)
{
	struct slice name = r->field[POSITION_FILE];
	uint64_t file = hash_span(HASH_SEED, name.p, (size_t) (name.end - name.p));

	for (int i = 0; i < v->newest_count; i++)
		if (v->newest[i].file == file) {
			v->newest[i].offset = offset;
			return true;
		}
	if (v->newest_count == v->newest_allocated) {
		int more = v->newest_allocated > 0 ? 2 * v->newest_allocated : 16;
		struct newest *newest = realloc(v->newest, (size_t) more * sizeof *newest);
		if (newest == NULL)
			return false;
		v->newest = newest;
		v->newest_allocated = more;
	}
	v->newest[v->newest_count++] = (struct newest){file, offset};
	return true;
}

static bool
is_newest(const struct sieve *v, int64_t offset)
{
	for (int i = 0; i < v->newest_count; i++)
		if (v->newest[i].offset == offset)
			return true;
	return false;
}

/*
 * Whether a record stays. A position stays with any row of its group, and where it is the segment's last of that file: between
 * it and the one before there is then nothing that could be read twice or be missed.
 */
static bool
stays(struct sieve *v, int64_t offset, int64_t number, const struct record *r)
{
	struct spool *s = v->s;

	if (r->kind == RECORD_POSITION)
		return v->group_kept > 0 || is_newest(v, offset);
	if (number <= s->acked)
		return false;
	if (r->rank != spool_level_rank[v->level] || number == s->newest_number)
		return true;
	/* What is on its way to the database is lost only when it has to be sent again. */
	struct loss *loss = number <= s->handed ? &v->out->in_flight : &v->out->lost;
	if (number <= s->handed)
		v->out->in_flight_to = number;
	if (v->level != SPOOL_THIN) {
		loss_count(loss, r);
		return false;
	}
	int64_t minute = r->timestamp_us / MINUTE_US;
	if (r->kind != RECORD_METRICS || minute != s->thin_minute) {
		if (r->kind == RECORD_METRICS)
			s->thin_minute = minute;
		return true;
	}
	loss_thin(loss, r);
	return false;
}

static void
end_group(struct sieve *v)
{
	if (v->group_kept > 0)
		frame_rewrite_head(v->bytes + v->group_last, 0, v->group_last_number - (uint64_t) v->result.base);
	v->group_kept = 0;
}

/* Reads a segment that is in memory from its start. */
static void
begin(struct segment_reader *r, struct segment *seg)
{
	reader_open(r, -1, seg, NULL, 0, seg->base - 1);
}

bool
spool_sift(struct spool *s, struct segment *seg, enum spool_level level, struct sifted *out)
{
	struct sieve v = {.s = s, .level = level, .bytes = seg->memory, .out = out};
	struct segment_reader reader;
	struct record record;
	struct frame frame;
	bool good = true;

	*out = (struct sifted){0};
	v.result = (struct segment){.base = seg->base, .last = seg->base - 1};
	for (begin(&reader, seg); seg->positions && good && reader_next(&reader, &frame);)
		if (frame.payload.p[0] == RECORD_POSITION && record_read(frame.payload, &record))
			good = remember_position(&v, &record, reader.frame_offset);
	/* Damage that is found here has not been counted, and goes. */
	out->damaged = (struct loss){.damaged = seg->positions ? reader.damaged : 0, .reasons = LOSS_DAMAGED};
	for (begin(&reader, seg); good && reader_next(&reader, &frame);) {
		bool last = !(frame.flags & FRAME_GOES_ON);
		if (record_read(frame.payload, &record) &&
			stays(&v, reader.frame_offset, (int64_t) frame.number, &record)) {
			v.group_kept++;
			v.group_last = v.kept;
			v.group_last_number = frame.number;
			segment_count(&v.result, &frame);
			memmove(v.bytes + v.kept, frame.payload.p - FRAME_HEAD, frame.size);
			v.kept += (int64_t) frame.size;
		}
		if (last)
			end_group(&v);
	}
	out->damaged.damaged += reader.damaged;
	free(v.newest);
	if (!good)
		return false;
	v.result.memory = seg->memory;
	v.result.allocated = seg->allocated;
	v.result.size = v.kept;
	v.result.thinned = seg->thinned || level == SPOOL_THIN;
	v.result.only_positions = level == SPOOL_DROP_KEEP;
	*seg = v.result;
	return true;
}
