/* spool_segment.c: One segment: names, files, reading. See spool_segment.h for what belongs here. */
#include "collector/spool_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES  (32 << 10)
#define KEPT_BYTES  (64 << 10)
#define NAME_DIGITS 16
#define BASE_MAX    (INT64_C(1) << 61)

bool
buffer_reserve(struct buffer *b, size_t size)
{
	if (size <= b->size)
		return true;
	size_t wanted = b->size > 0 ? b->size : 4096;
	while (wanted < size)
		wanted *= 2;
	char *p = realloc(b->p, wanted);
	if (p == NULL)
		return false;
	*b = (struct buffer){p, wanted};
	return true;
}

void
buffer_trim(struct buffer *b)
{
	if (b->size <= KEPT_BYTES)
		return;
	free(b->p);
	*b = (struct buffer){NULL, 0};
}

void
segment_name(int64_t base, char name[SEGMENT_NAME_SIZE])
{
	snprintf(name, SEGMENT_NAME_SIZE, "%016" PRIx64 ".seg", (uint64_t) base);
}

bool
segment_base(const char *name, int64_t *base)
{
	uint64_t n = 0;

	for (int i = 0; i < NAME_DIGITS; i++) {
		const char *digits = "0123456789abcdef", *digit;
		if (name[i] == '\0' || (digit = strchr(digits, name[i])) == NULL)
			return false;
		n = n << 4 | (uint64_t) (digit - digits);
	}
	if (strcmp(name + NAME_DIGITS, ".seg") != 0 || n == 0 || n > BASE_MAX)
		return false;
	*base = (int64_t) n;
	return true;
}

void
segment_count(struct segment *seg, const struct frame *frame)
{
	enum record_kind kind = (enum record_kind) frame->payload.p[0];
	enum record_rank rank = (enum record_rank) frame->payload.p[1];

	seg->records[rank]++;
	seg->bytes[rank] += (int32_t) frame->size;
	seg->positions |= kind == RECORD_POSITION;
	seg->thinned &= kind != RECORD_METRICS;
	seg->only_positions &= kind == RECORD_POSITION;
	if ((int64_t) frame->number > seg->last)
		seg->last = (int64_t) frame->number;
}

int
segment_open(int dir_fd, int64_t base, bool create)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(base, name);
	if (create)
		return openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == EROFS || errno == EACCES))
		fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd;
}

bool
write_at(int fd, const char *bytes, size_t size, int64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, bytes, size, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return false;
		}
		bytes += n;
		size -= (size_t) n;
		offset += n;
	}
	return true;
}

bool
reader_open(struct segment_reader *r, int dir_fd, struct segment *seg, struct buffer *buffer, int64_t offset,
			int64_t previous)
{
	*r = (struct segment_reader){.seg = seg, .buffer = buffer, .fd = -1, .previous = previous};
	if (seg->memory) {
		r->bytes = seg->memory;
		r->length = (size_t) seg->size;
		r->at = (size_t) offset;
		return true;
	}
	r->offset = offset;
	r->fd = segment_open(dir_fd, seg->base, false);
	r->error = r->fd < 0 ? errno : 0;
	return r->fd >= 0;
}

void
reader_close(struct segment_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
}

/* Has at least `need` bytes from the present place on; false when the segment ends before. */
static bool
fill(struct segment_reader *r, size_t need)
{
	size_t have = r->length - r->at;

	if (have >= need)
		return true;
	if (r->seg->memory || r->offset + (int64_t) (r->at + need) > r->seg->size)
		return false;
	if (!buffer_reserve(r->buffer, need > READ_BYTES ? need : READ_BYTES)) {
		r->error = ENOMEM;
		return false;
	}
	/* The buffer may have moved, and what it holds begins at its start. */
	r->bytes = r->buffer->p;
	memmove(r->bytes, r->bytes + r->at, have);
	r->offset += (int64_t) r->at;
	r->at = 0;
	r->length = have;
	while (r->length < need) {
		int64_t from = r->offset + (int64_t) r->length, left = r->seg->size - from;
		size_t room = r->buffer->size - r->length;
		ssize_t n = pread(r->fd, r->bytes + r->length, left < (int64_t) room ? (size_t) left : room, from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r->error = n < 0 ? errno : 0;
			return false;
		}
		r->length += (size_t) n;
	}
	return true;
}

/* Counts damage, each place once. */
static void
damaged_at(struct segment_reader *r, int64_t offset)
{
	if (offset < r->seg->damage_seen)
		return;
	r->damaged++;
	r->seg->damage_seen = offset + 1;
}

void
reader_reject(struct segment_reader *r)
{
	damaged_at(r, r->frame_offset);
}

static void
pass_over(struct segment_reader *r, size_t bytes)
{
	if (!r->in_damage)
		damaged_at(r, r->offset + (int64_t) r->at);
	r->at += bytes < r->length - r->at ? bytes : r->length - r->at;
}

/* Whether the numbers and the first bytes can be those of a record. */
static bool
is_record(const struct frame *frame)
{
	return frame->number <= INT64_MAX / 2 && frame->payload.end - frame->payload.p > 2 &&
		   (unsigned char) frame->payload.p[1] < RANKS;
}

bool
reader_next(struct segment_reader *r, struct frame *frame)
{
	for (;;) {
		if (r->at == r->length && !fill(r, 1))
			return false;
		struct slice rest = {r->bytes + r->at, r->bytes + r->length};
		enum frame_found found = frame_read(rest, frame);
		switch (found) {
		case FRAME_CUT:
			if (!fill(r, frame->size))
				return false;
			continue;
		case FRAME_NONE:
			pass_over(r, frame_search(rest));
			r->in_damage = true;
			continue;
		case FRAME_VERSION:
			r->other_version = true;
			pass_over(r, frame->size);
			break;
		case FRAME_DAMAGED:
			pass_over(r, frame->size);
			break;
		case FRAME_WHOLE:
			frame->number += (uint64_t) r->seg->base;
			if (!is_record(frame)) {
				pass_over(r, frame->size);
				break;
			}
			r->frame_offset = r->offset + (int64_t) r->at;
			r->at += frame->size;
			r->in_damage = false;
			/* Twice the same record is no damage: a crash while segments were merged leaves that. */
			if ((int64_t) frame->number <= r->previous)
				continue;
			r->previous = (int64_t) frame->number;
			return true;
		}
		r->in_damage = false;
	}
}
