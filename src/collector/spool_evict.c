/*
 * spool_evict.c: What goes when there is no room, in which order. See spool_parts.h for what belongs here.
 *
 * Segments are rewritten one at a time, oldest first: all are thinned before any metrics are dropped, and so on by rank. A round frees
 * more than was asked for, so that the next one is far away; what a round leaves small joins the segment before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collector/spool_parts.h"

#define TEMPORARY_FILE "segment.tmp"

/* The whole of a segment on disk at seg->memory: pages of their own, of which nothing stays in the heap. False and errno. */
static bool
load(struct spool *s, struct segment *seg)
{
	size_t size = (size_t) seg->size;
	int fd = segment_open(s->dir_fd, seg->base, false);

	if (fd < 0)
		return false;
	char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0);
	if (bytes == MAP_FAILED) {
		close(fd);
		errno = ENOMEM;
		return false;
	}
	errno = EIO; /* of a file that is shorter than it was */
	bool good = pread(fd, bytes, size, 0) == seg->size;
	int error = errno;
	close(fd);
	if (!good)
		munmap(bytes, size);
	errno = error;
	seg->memory = good ? bytes : NULL;
	return good;
}

/* Behind the frames of another segment; numbers count from that one's base. */
static bool
join(struct spool *s, struct segment *to, const struct segment *seg, bool on_disk)
{
	struct buffer b = {to->memory, to->allocated};
	size_t size;

	if (!on_disk && !buffer_reserve(&b, (size_t) (to->size + seg->size)))
		return false;
	for (int64_t at = 0; at < seg->size; at += (int64_t) size) {
		struct frame frame;
		size = frame_size(seg->memory + at);
		frame_read((struct slice){seg->memory + at, seg->memory + at + size}, &frame);
		frame_rewrite_head(seg->memory + at, frame.flags, frame.number + (uint64_t) (seg->base - to->base));
	}
	if (on_disk) {
		int fd = segment_open(s->dir_fd, to->base, false);
		/* A torn end of it would be cut off by the next start; what follows is still there then. */
		bool good = fd >= 0 && write_at(fd, seg->memory, (size_t) seg->size, to->size) && fdatasync(fd) == 0;
		int error = errno;
		if (fd >= 0)
			close(fd);
		errno = error;
		if (!good)
			return false;
	} else {
		to->memory = b.p;
		to->allocated = b.size;
		memcpy(to->memory + to->size, seg->memory, (size_t) seg->size);
	}
	to->size += seg->size;
	*(on_disk ? &s->disk_bytes : &s->memory_bytes) += seg->size;
	for (int rank = 0; rank < RANKS; rank++) {
		to->records[rank] += seg->records[rank];
		to->bytes[rank] += seg->bytes[rank];
	}
	to->last = seg->last > to->last ? seg->last : to->last;
	to->positions |= seg->positions;
	to->thinned &= seg->thinned || seg->records[RANK_METRICS] == 0;
	to->only_positions &= seg->only_positions;
	return true;
}

/* Puts what is left in the file's place. False and errno. */
static bool
replace(struct spool *s, const struct segment *seg)
{
	char name[SEGMENT_NAME_SIZE];
	int fd = openat(s->dir_fd, TEMPORARY_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	segment_name(seg->base, name);
	bool good = write_at(fd, seg->memory, (size_t) seg->size, 0) && fdatasync(fd) == 0;
	int error = errno;
	close(fd);
	if (good && renameat(s->dir_fd, TEMPORARY_FILE, s->dir_fd, name) == 0)
		return true;
	error = good ? errno : error;
	unlinkat(s->dir_fd, TEMPORARY_FILE, 0);
	errno = error;
	return false;
}

/* Whether what is left of a segment fits into the one before it. */
static bool
joins(const struct spool *s, int i, int64_t size)
{
	const struct segment *to = i > 0 ? &s->segment[i - 1] : NULL;

	return to && i < s->count - 1 && (to->memory != NULL) == (s->segment[i].memory != NULL) &&
		   to->size + size <= (to->memory ? MEMORY_SEGMENT_BYTES : s->segment_bytes);
}

/* `gone`: the segment is no more. */
static bool
shrink_in_memory(struct spool *s, int i, enum spool_level level, struct sifted *out, bool *gone)
{
	struct segment *seg = &s->segment[i];
	int64_t before = seg->size;

	if (!spool_sift(s, seg, level, out))
		return false;
	s->memory_bytes -= before - seg->size;
	*gone = (seg->size == 0 && i < s->count - 1) ||
			(joins(s, i, seg->size) && join(s, &s->segment[i - 1], seg, false));
	return true;
}

/* A segment that can't be read: all of it is lost. */
static bool
give_up(struct spool *s, int i, int error)
{
	const struct segment *seg = &s->segment[i];

	log_line(LOG_LEVEL_ERROR, "spool: cannot read segment %016llx in %s: %s", (unsigned long long) seg->base,
			 s->dir, strerror(error));
	spool_lose_segment(s, seg, LOSS_DAMAGED);
	s->positions_dirty |= seg->positions;
	return spool_remove_file(s, seg);
}

/* False and errno: the segment is as it was. */
static bool
shrink_on_disk(struct spool *s, int i, enum spool_level level, struct sifted *out, bool *gone)
{
	struct segment seg = s->segment[i];
	size_t size = (size_t) seg.size;
	bool good;

	if (i == s->count - 1)
		spool_end_segment(s);
	*out = (struct sifted){0};
	if (!load(s, &seg))
		return errno != ENOMEM && errno != EMFILE && errno != ENFILE && (*gone = give_up(s, i, errno));
	errno = ENOMEM;
	good = spool_sift(s, &seg, level, out);
	if (!good || seg.size == s->segment[i].size)
		*gone = false;
	else if (seg.size == 0 && i < s->count - 1)
		*gone = true;
	else if (joins(s, i, seg.size))
		*gone = good = join(s, &s->segment[i - 1], &seg, true);
	else
		good = replace(s, &seg);
	int error = errno;
	munmap(seg.memory, size);
	errno = error;
	if (!good)
		return false;
	if (*gone)
		spool_remove_file(s, &s->segment[i]);
	else {
		seg.memory = NULL;
		seg.allocated = 0;
		s->disk_bytes -= s->segment[i].size - seg.size;
		s->segment[i] = seg;
	}
	return true;
}

/* Takes out of a segment what goes at that level. `gone`: there is one segment less. False: it can't be done. */
static bool
shrink(struct spool *s, int i, enum spool_level level, bool *gone)
{
	int64_t base = s->segment[i].base;
	bool memory = s->segment[i].memory != NULL;
	struct sifted sifted;

	*gone = false;
	if (memory ? !shrink_in_memory(s, i, level, &sifted, gone)
			   : !shrink_on_disk(s, i, level, &sifted, gone)) {
		if (!memory && errno != ENOMEM)
			spool_disk_failed(s, "make room", errno);
		return false;
	}
	for (int c = 0; c < 2; c++)
		if (s->cursor[c].base == base)
			s->cursor[c] = (struct cursor){0};
	if (*gone)
		spool_forget_segments(s, i, 1);
	sifted.lost.reasons = memory ? LOSS_MEMORY_FULL : s->low_disk ? LOSS_DISK_LOW : LOSS_SPOOL_FULL;
	sifted.in_flight.reasons = sifted.lost.reasons;
	spool_lose(s, &sifted.lost);
	spool_lose(s, &sifted.damaged);
	loss_add(&s->in_flight, &sifted.in_flight);
	if (sifted.in_flight_to > s->in_flight_to)
		s->in_flight_to = sifted.in_flight_to;
	return true;
}

static bool
has_some(const struct segment *seg, enum spool_level level)
{
	return seg->records[spool_level_rank[level]] > 0 && !(level == SPOOL_THIN && seg->thinned) &&
		   !(level == SPOOL_DROP_KEEP && seg->only_positions);
}

int64_t
spool_limit(const struct spool *s)
{
	return s->in_memory ? MEMORY_BYTES : s->low_disk ? s->low_limit : s->max_bytes;
}

bool
spool_make_room(struct spool *s, int64_t bytes, enum record_rank rank)
{
	bool memory = s->in_memory, gone;
	const int64_t *used = memory ? &s->memory_bytes : &s->disk_bytes;
	int64_t limit = spool_limit(s),
			wanted = limit - bytes - (limit / 8 < SEGMENT_BYTES ? limit / 8 : SEGMENT_BYTES);

	if (*used + bytes <= limit)
		return true;
	for (int level = 0; level < SPOOL_LEVELS && spool_level_rank[level] <= rank; level++)
		for (int i = 0; i < s->count; i += !gone) {
			gone = false;
			if (!has_some(&s->segment[i], (enum spool_level) level) ||
				(s->segment[i].memory != NULL) != memory)
				continue;
			if (!shrink(s, i, (enum spool_level) level, &gone))
				return false;
			if (*used <= wanted)
				return true;
		}
	return *used + bytes <= limit;
}
