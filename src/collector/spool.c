/* spool.c: Groups go in, records come out, what was delivered is forgotten. See spool.h for what belongs here. */
#include "collector/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/spool_parts.h"
#include "collector/waiting.h"

#define SOON_MS      1000
#define SOON_STEP_MS 500 /* moments of that kind fall together with the looks at log files */

/* --- opening and closing */

struct spool *
spool_open(const char *dir, int64_t max_bytes, int64_t now_ms)
{
	struct spool *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	snprintf(s->dir, sizeof s->dir, "%s", dir);
	s->max_bytes = max_bytes;
	s->segment_bytes = max_bytes / 8 < SEGMENT_BYTES ? max_bytes / 8 : SEGMENT_BYTES;
	s->fd = s->dir_fd = -1;
	/* A limit on the size of files is an error of write(), not the end of the program. */
	signal(SIGXFSZ, SIG_IGN);
	s->urgent_ms = s->sync_ms = s->retry_ms = s->loss_ms = s->remove_ms = NEVER;
	spool_recover(s);
	/*
	 * Numbers go on behind what is there, and never below the clock: those of records that were written but not yet synced when
	 * the power failed may be in the database already.
	 */
	int64_t clock = clock_us(CLOCK_REALTIME);
	if (s->next < clock)
		s->next = clock;
	s->first_new = s->next;
	s->acked = s->count > 0 ? s->segment[0].base - 1 : s->next - 1;
	spool_look_at_disk(s);
	return s;
}

void
spool_close(struct spool *s)
{
	int64_t now_ms = monotonic_ms();

	if (s->in_memory)
		spool_back_to_disk(s, now_ms);
	spool_say_loss(s, now_ms);
	s->positions_dirty |= s->positions_unsaved;
	spool_sync(s);
	spool_end_running(s);
	spool_forget_segments(s, 0, s->count);
	positions_free(&s->positions);
	if (s->fd >= 0)
		close(s->fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->segment);
	free(s->group.p);
	free(s->reading.p);
	free(s->newest.p);
	free(s);
}

/* --- segments */

struct segment *
spool_new_segment(struct spool *s, int64_t base)
{
	if (s->count == s->allocated) {
		int more = s->allocated > 0 ? 2 * s->allocated : 4;
		struct segment *segment = realloc(s->segment, (size_t) more * sizeof *segment);
		if (segment == NULL)
			return NULL;
		s->segment = segment;
		s->allocated = more;
	}
	struct segment *seg = &s->segment[s->count++];
	*seg = (struct segment){.base = base, .last = base - 1};
	return seg;
}

void
spool_forget_segments(struct spool *s, int first, int n)
{
	for (int i = first; i < first + n; i++) {
		struct segment *seg = &s->segment[i];
		*(seg->memory ? &s->memory_bytes : &s->disk_bytes) -= seg->size;
		free(seg->memory);
	}
	s->count -= n;
	if (n > 0)
		memmove(s->segment + first, s->segment + first + n, (size_t) (s->count - first) * sizeof *s->segment);
}

void
spool_note(struct spool *s, struct segment *seg, const struct frame *frame)
{
	struct record r;

	segment_count(seg, frame);
	if (frame->payload.p[0] == RECORD_METRICS && (int64_t) frame->number > s->newest_number) {
		size_t size = (size_t) (frame->payload.end - frame->payload.p);
		if (buffer_reserve(&s->newest, size)) {
			memcpy(s->newest.p, frame->payload.p, size);
			s->newest_bytes = size;
			s->newest_number = (int64_t) frame->number;
		}
	} else if (frame->payload.p[0] == RECORD_POSITION && record_read(frame->payload, &r)) {
		/* What the file of positions says at that number is that, or what the database said since. */
		const struct position *p = positions_find(&s->positions, r.field[POSITION_FILE]);
		if (p && p->number >= (int64_t) frame->number)
			return;
		positions_set(&s->positions, r.field[POSITION_FILE], r.field[POSITION_STATE], (int64_t) frame->number,
					  seg->memory != NULL);
	}
}

/* --- putting */

void
spool_begin(struct spool *s)
{
	s->group_bytes = 0;
	s->group_failed = s->group_has_position = false;
	s->group_rank = RANK_METRICS;
	s->group_loss = (struct loss){0};
}

void
spool_put(struct spool *s, const struct record *r)
{
	size_t payload = record_size(r), size = s->group_bytes + FRAME_HEAD + payload;

	if (r->kind == RECORD_POSITION)
		s->group_has_position = true;
	else {
		loss_count(&s->group_loss, r);
		s->group_rank = r->rank > s->group_rank ? r->rank : s->group_rank;
	}

	if (payload > FRAME_PAYLOAD_MAX || size > GROUP_BYTES_MAX || !buffer_reserve(&s->group, size)) {
		s->group_failed = true;
		return;
	}
	char *at = s->group.p + s->group_bytes;
	record_write(r, at + FRAME_HEAD);
	frame_write_head(at, FRAME_GOES_ON, 0, payload);
	s->group_bytes = size;
}

static void
become_urgent(struct spool *s, enum spool_urgency urgency)
{
	if (urgency == SPOOL_LATER)
		return;
	int64_t when = monotonic_ms();
	if (urgency == SPOOL_SOON)
		when = (when + SOON_MS) / SOON_STEP_MS * SOON_STEP_MS;
	if (when < s->urgent_ms)
		s->urgent_ms = when;
}

bool
spool_end(struct spool *s, enum spool_urgency urgency)
{
	bool kept = false;

	if (s->group_bytes == 0 && !s->group_failed)
		return true;
	if (!s->group_failed)
		kept = spool_store(s, s->group_rank);
	if (kept)
		become_urgent(s, urgency);
	else if (!s->group_has_position) {
		s->group_loss.reasons = s->group_failed ? LOSS_TOO_LARGE
								: s->in_memory  ? LOSS_MEMORY_FULL
								: s->low_disk   ? LOSS_DISK_LOW
												: LOSS_SPOOL_FULL;
		spool_lose(s, &s->group_loss);
	}
	s->group_bytes = 0;
	buffer_trim(&s->group);
	return kept;
}

bool
spool_add(struct spool *s, const struct record *r, enum spool_urgency urgency)
{
	spool_begin(s);
	spool_put(s, r);
	return spool_end(s, urgency);
}

int64_t
spool_room(const struct spool *s)
{
	int64_t room = spool_limit(s) / 4 * 3 - (s->in_memory ? s->memory_bytes : s->disk_bytes);

	return room > 0 ? room : 0;
}

/* --- taking */

/* Begins to read behind `after` in a segment, as near to it as is known. */
static bool
read_behind(struct spool *s, int i, int64_t after, struct segment_reader *r)
{
	struct segment *seg = &s->segment[i];
	int64_t offset = 0;

	for (int c = 0; c < 2; c++)
		if (s->cursor[c].base == seg->base && s->cursor[c].number <= after && s->cursor[c].offset > offset)
			offset = s->cursor[c].offset;
	return reader_open(r, s->dir_fd, seg, &s->reading, offset, after);
}

static bool
for_now(int error)
{
	return error == ENOMEM || error == EMFILE || error == ENFILE;
}

/* What can't be read is not there: it is counted, and the rest goes on. */
static void
read_failed(struct spool *s, struct segment *seg, int error)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(seg->base, name);
	/* Once. */
	if (seg->damage_seen >= seg->size)
		return;
	seg->damage_seen = seg->size;
	log_line(LOG_LEVEL_ERROR, "spool: cannot read %s/%s: %s", s->dir, name, strerror(error));
	spool_lose(s, &(struct loss){.damaged = 1, .reasons = LOSS_DAMAGED});
}

static bool
read_all(struct spool *s, int64_t after, spool_take take, void *into)
{
	struct segment_reader r;
	struct frame frame;
	struct record record;
	bool more = true, good = true;

	for (int i = 0; i < s->count && more; i++) {
		struct segment *seg = &s->segment[i];
		if (seg->last <= after)
			continue;
		if (read_behind(s, i, after, &r)) {
			while (more && reader_next(&r, &frame)) {
				s->cursor[0] = (struct cursor){seg->base, after, r.frame_offset};
				after = s->handed = (int64_t) frame.number;
				if (!record_read(frame.payload, &record))
					reader_reject(&r);
				else
					more = take(into, after, frame.flags & FRAME_GOES_ON, &record);
			}
			reader_close(&r);
		}
		/* What comes after must not go before: it would be taken for all there is. */
		if (for_now(r.error))
			more = good = false;
		else if (r.error != 0)
			read_failed(s, seg, r.error);
		spool_lose(s, &(struct loss){.damaged = r.damaged, .reasons = LOSS_DAMAGED});
	}
	buffer_trim(&s->reading);
	return good;
}

/* What was on its way comes once more: what had to go of it meanwhile is lost. */
static void
lose_in_flight(struct spool *s)
{
	spool_lose(s, &s->in_flight);
	s->in_flight = (struct loss){0};
}

bool
spool_read(struct spool *s, int64_t after, spool_take take, void *into)
{
	if (after < s->handed)
		lose_in_flight(s);
	return read_all(s, after, take, into);
}

/* With the next sync that is due anyway, or one of its own. */
static void
sync_soon(struct spool *s)
{
	int64_t due = monotonic_ms() + SYNC_MS;

	if (due < s->sync_ms)
		s->sync_ms = due;
}

void
spool_ack(struct spool *s, int64_t number)
{
	if (s->uncertain) {
		s->uncertain = false;
		s->positions_unsaved = s->positions_dirty = true;
		sync_soon(s);
	}
	if (number > s->told)
		s->told = number;
	if (number <= s->acked)
		return;
	s->acked = number;
	if (number >= s->in_flight_to)
		s->in_flight = (struct loss){0};
	if (s->next <= number)
		s->next = number + 1;
	if (s->cursor[0].number <= number)
		s->cursor[1] = s->cursor[0];
	spool_remove_delivered(s, monotonic_ms());
}

struct passed {
	int64_t to;
	struct loss lost;
};

static bool
pass(void *into, int64_t number, bool group_goes_on, const struct record *r)
{
	struct passed *p = into;

	if (number <= p->to && r->kind != RECORD_POSITION)
		loss_count(&p->lost, r);
	return number < p->to;
}

void
spool_catch_up(struct spool *s, int64_t last_seq)
{
	struct passed p = {.to = last_seq, .lost.reasons = LOSS_NUMBERS};

	if (!s->found_uncertain)
		spool_read(s, s->acked, pass, &p);
	spool_lose(s, &p.lost);
	spool_ack(s, last_seq);
}

int64_t
spool_acked(const struct spool *s)
{
	return s->acked;
}

int64_t
spool_last(const struct spool *s)
{
	return s->count > 0 && s->segment[s->count - 1].last > s->acked ? s->segment[s->count - 1].last
																	: s->acked;
}

bool
spool_is_new(const struct spool *s)
{
	return s->is_new;
}

bool
spool_positions_lost(const struct spool *s)
{
	return s->uncertain;
}

bool
spool_is_behind(const struct spool *s, int64_t last_seq)
{
	return last_seq > s->found_last && last_seq < s->first_new;
}

void
spool_renumber(struct spool *s, int64_t number)
{
	int64_t more = number - s->acked, first = s->acked + 1;
	int i = s->count - 1;

	if (more <= 0)
		return;
	/* What was delivered of the first segment moves along, to numbers that count as delivered. The newest moves first: two never have the same. */
	for (; i >= 0 && spool_move_segment(s, &s->segment[i], more); i--)
		continue;
	for (; i >= 0; i--)
		spool_lose_segment(s, &s->segment[i], LOSS_DAMAGED);
	s->next += more;
	s->first_new += more;
	s->acked = number;
	s->handed = 0;
	lose_in_flight(s);
	memset(s->cursor, 0, sizeof s->cursor);
	if (s->newest_number >= first)
		s->newest_number += more;
	positions_renumber(&s->positions, first, more);
}

bool
spool_newest_metrics(struct spool *s, int64_t *number, struct record *r)
{
	if (s->newest_number <= s->acked ||
		!record_read((struct slice){s->newest.p, s->newest.p + s->newest_bytes}, r))
		return false;
	*number = s->newest_number;
	return true;
}

/* --- state */

static bool
take_time(void *into, int64_t number, bool group_goes_on, const struct record *r)
{
	*(int64_t *) into = r->timestamp_us;
	return false;
}

/* What waits. Numbers follow each other but where something was given up: then this is a little too much. */
static void
count_waiting(const struct spool *s, int64_t *all, int64_t *bytes)
{
	*all = *bytes = 0;
	for (int i = 0; i < s->count; i++) {
		const struct segment *seg = &s->segment[i];
		int64_t records = 0, waiting = seg->last - s->acked;
		for (int rank = 0; rank < RANKS; rank++)
			records += seg->records[rank];
		if (waiting <= 0 || records == 0)
			continue;
		if (waiting > records)
			waiting = records;
		*all += waiting;
		*bytes += seg->size * waiting / records;
	}
}

int64_t
spool_waiting_bytes(const struct spool *s)
{
	int64_t records, bytes;

	count_waiting(s, &records, &bytes);
	return bytes;
}

int64_t
spool_dropped(const struct spool *s)
{
	int64_t sum = 0;

	for (int rank = 0; rank < RANKS; rank++)
		sum += s->ever.records[rank];
	return sum;
}

void
spool_state(struct spool *s, struct spool_state *out)
{
	memset(out, 0, sizeof *out);
	count_waiting(s, &out->records, &out->bytes);
	if (out->records > 0) {
		struct cursor kept = s->cursor[0];
		int64_t handed = s->handed;
		read_all(s, s->acked, take_time, &out->oldest_us);
		s->cursor[0] = kept;
		s->handed = handed;
	}
	memcpy(out->dropped, s->ever.records, sizeof out->dropped);
	out->thinned = s->ever.thinned;
	out->damaged = s->ever.damaged;
	out->on_disk = !s->in_memory;
	if (s->in_memory)
		snprintf(out->problem, sizeof out->problem, "%s", s->problem_text);
	else if (s->low_disk)
		snprintf(out->problem, sizeof out->problem, "the disk of %.100s is nearly full", s->dir);
}

int64_t
spool_urgent_ms(const struct spool *s)
{
	return s->urgent_ms;
}

void
spool_not_urgent(struct spool *s)
{
	s->urgent_ms = NEVER;
}

/* --- housekeeping */

int64_t
spool_wake_ms(const struct spool *s)
{
	const int64_t due[] = {s->sync_ms, s->retry_ms, s->loss_ms, s->remove_ms};
	int64_t wake = NEVER;

	for (size_t i = 0; i < sizeof due / sizeof *due; i++)
		wake = due[i] < wake ? due[i] : wake;
	return wake;
}

void
spool_run(struct spool *s, int64_t now_ms)
{
	if (now_ms >= s->retry_ms)
		spool_back_to_disk(s, now_ms);
	if (now_ms >= s->sync_ms)
		spool_sync(s);
	if (now_ms >= s->remove_ms)
		spool_remove_delivered(s, now_ms);
	if (now_ms >= s->loss_ms)
		spool_say_loss(s, now_ms);
}

/* --- positions */

const char *
spool_position(const struct spool *s, const char *file)
{
	const struct position *p = s->uncertain ? NULL : positions_find(&s->positions, slice_of(file));

	return p ? p->state : NULL;
}

void
spool_positions(const struct spool *s, void (*each)(void *into, const char *file, const char *state),
				void *into)
{
	for (int i = 0; i < s->positions.count && !s->uncertain; i++)
		if (s->positions.entry[i].state)
			each(into, s->positions.entry[i].file, s->positions.entry[i].state);
}

void
spool_set_position(struct spool *s, const char *file, const char *state)
{
	struct slice text = state ? slice_of(state) : (struct slice){NULL, NULL};

	positions_set(&s->positions, slice_of(file), text, s->acked, false);
	s->positions_dirty = true;
	sync_soon(s);
}
