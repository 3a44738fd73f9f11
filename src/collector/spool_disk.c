/* spool_disk.c: The spool's writing: to the last segment, to memory when that fails, and away with what was delivered. See spool_parts.h for what belongs here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/spool_parts.h"
#include "collector/waiting.h"

#define RETRY_MS     30000
#define SAVE_EACH_MS 1000
#define FREE_MIN     0.05 /* of the disk stays free */
void
spool_disk_failed(struct spool *s, const char *doing, int error)
{
	int64_t now_ms = monotonic_ms();

	if (!problem_active(&s->problem))
		snprintf(s->problem_text, sizeof s->problem_text, "cannot %s in %.60s: %s", doing, s->dir,
				 strerror(error));
	problem_occurred(&s->problem, LOG_LEVEL_ERROR, now_ms, strerror(error),
					 "spool: cannot %s in %s: %s; going on in memory (%d kB), next try in %d s", doing,
					 s->dir, strerror(error), MEMORY_BYTES >> 10, RETRY_MS / 1000);
	if (!s->in_memory)
		spool_is_unsafe(s);
	s->in_memory = true;
	s->retry_ms = now_ms + RETRY_MS;
}

/* --- syncing */

static void
sync_later(struct spool *s)
{
	if (s->sync_ms == NEVER)
		s->sync_ms = monotonic_ms() + SYNC_MS;
}

/* The last segment's bytes are on the disk for good, and its name. A failure of that is said, and no reason to stop writing. */
static bool
sync_files(struct spool *s)
{
	bool good = (s->fd < 0 || fdatasync(s->fd) == 0) && (!s->directory_dirty || fsync(s->dir_fd) == 0);

	if (good) {
		s->directory_dirty = false;
		problem_over(&s->sync_problem, monotonic_ms(), "spool: it can be synced again");
	} else
		problem_occurred(&s->sync_problem, LOG_LEVEL_WARNING, monotonic_ms(), strerror(errno),
						 "spool: cannot sync %s: %s", s->dir, strerror(errno));
	return good;
}

/* Positions that are synced before the rows they speak of would lose the rows in a power failure: files first. */
static bool
save_positions(struct spool *s)
{
	if (s->dir_fd < 0 || !sync_files(s))
		return false;
	if (!positions_save(&s->positions, s->dir_fd)) {
		problem_occurred(&s->positions_problem, LOG_LEVEL_WARNING, monotonic_ms(), strerror(errno),
						 "spool: cannot write %s/" POSITIONS_FILE ": %s", s->dir, strerror(errno));
		return false;
	}
	problem_over(&s->positions_problem, monotonic_ms(), "spool: positions of log files are written again");
	if (s->positions_unsaved && !s->in_memory)
		spool_is_safe(s);
	s->positions_unsaved = false;
	s->positions_dirty = false;
	s->saved_ms = monotonic_ms();
	return true;
}

void
spool_sync(struct spool *s)
{
	s->sync_ms = NEVER;
	if (s->positions_dirty)
		save_positions(s);
	else if (s->dir_fd >= 0)
		sync_files(s);
	spool_look_at_disk(s);
}

void
spool_look_at_disk(struct spool *s)
{
	struct statvfs fs;
	bool low = s->dir_fd >= 0 && fstatvfs(s->dir_fd, &fs) == 0 && fs.f_blocks > 0 &&
			   (double) fs.f_bavail < (double) fs.f_blocks * FREE_MIN;

	if (low) {
		/* It does not grow: what there is may stay, and what one segment in memory would be. */
		int64_t now = s->disk_bytes > MEMORY_BYTES ? s->disk_bytes : MEMORY_BYTES;
		s->low_limit = s->low_disk && s->low_limit < now ? s->low_limit : now;
		if (s->low_limit > s->max_bytes)
			s->low_limit = s->max_bytes;
		problem_occurred(&s->low_problem, LOG_LEVEL_WARNING, monotonic_ms(), "low",
						 "spool: less than %d %% of the disk of %s is free: the spool does not grow any more",
						 (int) (100 * FREE_MIN), s->dir);
	} else
		problem_over(&s->low_problem, monotonic_ms(), "spool: there is room on the disk again");
	s->low_disk = low;
}

void
spool_end_segment(struct spool *s)
{
	if (s->fd < 0)
		return;
	sync_files(s);
	close(s->fd);
	s->fd = -1;
}

/* --- writing */

static struct segment *
last_segment(struct spool *s)
{
	return s->count > 0 ? &s->segment[s->count - 1] : NULL;
}

/* A new file behind the others; NULL and errno. */
static struct segment *
next_segment(struct spool *s)
{
	int fd = segment_open(s->dir_fd, s->next, true);

	/* What is there under that name is nothing that could be read; the next number is as good. */
	if (fd < 0 && errno == EEXIST)
		fd = segment_open(s->dir_fd, ++s->next, true);
	if (fd < 0)
		return NULL;
	struct segment *seg = spool_new_segment(s, s->next);
	if (seg == NULL) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	spool_end_segment(s);
	s->fd = fd;
	s->directory_dirty = true;
	spool_look_at_disk(s);
	return seg;
}

/* The segment on disk that takes `bytes` more; NULL and errno. */
static struct segment *
segment_for(struct spool *s, size_t bytes)
{
	struct segment *seg = last_segment(s);

	if (seg && !seg->memory && (seg->size == 0 || seg->size + (int64_t) bytes <= s->segment_bytes)) {
		if (s->fd < 0)
			s->fd = segment_open(s->dir_fd, seg->base, false);
		return s->fd < 0 ? NULL : seg;
	}
	return next_segment(s);
}

/* Gives the frames of the group their numbers in that segment. */
static void
number_group(struct spool *s, const struct segment *seg)
{
	uint64_t number = (uint64_t) (s->next - seg->base);
	size_t size;

	for (size_t at = 0; at < s->group_bytes; at += size, number++) {
		size = frame_size(s->group.p + at);
		frame_rewrite_head(s->group.p + at, at + size < s->group_bytes ? FRAME_GOES_ON : 0, number);
	}
}

/* The group is in that segment. */
static void
note_group(struct spool *s, struct segment *seg)
{
	for (size_t at = 0; at < s->group_bytes;) {
		char *p = s->group.p + at;
		size_t size = frame_size(p);
		struct frame frame = {
			.number = (uint64_t) s->next++, .size = size, .payload = {p + FRAME_HEAD, p + size}};
		spool_note(s, seg, &frame);
		at += size;
	}
	seg->size += (int64_t) s->group_bytes;
	*(seg->memory ? &s->memory_bytes : &s->disk_bytes) += (int64_t) s->group_bytes;
}

static bool
store_on_disk(struct spool *s)
{
	struct segment *seg = s->dir_fd < 0 ? NULL : segment_for(s, s->group_bytes);

	if (seg == NULL) {
		spool_disk_failed(s, "open a segment", s->dir_fd < 0 ? ENOENT : errno);
		return false;
	}
	number_group(s, seg);
	if (!write_at(s->fd, s->group.p, s->group_bytes, seg->size)) {
		int error = errno;
		/* What has been written of it is overwritten by the next group, or cut off by the next start. */
		if (ftruncate(s->fd, seg->size) < 0)
			error = errno;
		spool_disk_failed(s, "write", error);
		return false;
	}
	note_group(s, seg);
	sync_later(s);
	return true;
}

static bool
store_in_memory(struct spool *s)
{
	struct segment *seg = last_segment(s);

	if (seg == NULL || !seg->memory || seg->size + (int64_t) s->group_bytes > MEMORY_SEGMENT_BYTES) {
		spool_end_segment(s);
		/* A file that was made but could not be written has that name. */
		if (seg && seg->base == s->next)
			s->next++;
		seg = spool_new_segment(s, s->next);
		if (seg == NULL)
			return false;
	}
	struct buffer b = {seg->memory, seg->allocated};
	if (!buffer_reserve(&b, (size_t) seg->size + s->group_bytes)) {
		if (seg->memory == NULL)
			spool_forget_segments(s, s->count - 1, 1);
		return false;
	}
	seg->memory = b.p;
	seg->allocated = b.size;
	number_group(s, seg);
	memcpy(seg->memory + seg->size, s->group.p, s->group_bytes);
	note_group(s, seg);
	return true;
}

bool
spool_store(struct spool *s, enum record_rank rank)
{
	int64_t bytes = (int64_t) s->group_bytes;

	/* Where making room on disk fails, the spool is in memory. */
	if (!s->in_memory && spool_make_room(s, bytes, rank) && store_on_disk(s))
		return true;
	return s->in_memory && spool_make_room(s, bytes, rank) && store_in_memory(s);
}

bool
spool_move_segment(struct spool *s, struct segment *seg, int64_t more)
{
	char from[SEGMENT_NAME_SIZE], to[SEGMENT_NAME_SIZE];

	segment_name(seg->base, from);
	segment_name(seg->base + more, to);
	if (!seg->memory && renameat(s->dir_fd, from, s->dir_fd, to) < 0) {
		log_line(LOG_LEVEL_ERROR, "spool: cannot rename %s/%s: %s", s->dir, from, strerror(errno));
		return false;
	}
	seg->base += more;
	seg->last += more;
	s->directory_dirty = true;
	return true;
}

/* --- from memory to disk */

/* False and errno. */
static bool
write_out(struct spool *s, struct segment *seg)
{
	char name[SEGMENT_NAME_SIZE];
	int fd = segment_open(s->dir_fd, seg->base, true);

	segment_name(seg->base, name);
	/* Written by half at another time, and could not be taken away then. */
	if (fd < 0 && errno == EEXIST && unlinkat(s->dir_fd, name, 0) == 0)
		fd = segment_open(s->dir_fd, seg->base, true);
	if (fd < 0)
		return false;
	bool good = write_at(fd, seg->memory, (size_t) seg->size, 0) && fdatasync(fd) == 0;
	int error = errno;
	close(fd);
	if (!good) {
		unlinkat(s->dir_fd, name, 0);
		errno = error;
		return false;
	}
	free(seg->memory);
	seg->memory = NULL;
	seg->allocated = 0;
	s->memory_bytes -= seg->size;
	s->disk_bytes += seg->size;
	s->directory_dirty = true;
	return true;
}

void
spool_back_to_disk(struct spool *s, int64_t now_ms)
{
	s->retry_ms = NEVER;
	if (s->dir_fd < 0 && !spool_recover_late(s)) {
		spool_disk_failed(s, "open the directory", errno);
		return;
	}
	for (int i = 0; i < s->count; i++)
		if (s->segment[i].memory && !write_out(s, &s->segment[i])) {
			spool_disk_failed(s, "write", errno);
			return;
		}
	positions_safe(&s->positions);
	if (s->in_memory && !s->positions_unsaved)
		spool_is_safe(s);
	s->in_memory = false;
	s->problem_text[0] = '\0';
	problem_over(&s->problem, now_ms, "spool: writing to disk again");
	sync_later(s);
}

/* --- what was delivered */

bool
spool_remove_file(struct spool *s, const struct segment *seg)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(seg->base, name);
	return unlinkat(s->dir_fd, name, 0) == 0 || errno == ENOENT;
}

/* The first segments that are delivered whole; of the last one only when it is worth a new file, which is made first. */
static int
delivered_segments(struct spool *s)
{
	int n = 0;

	while (n < s->count && s->segment[n].last <= s->acked)
		n++;
	if (n == 0 || n < s->count)
		return n;
	const struct segment *seg = last_segment(s);
	if (seg->memory)
		return n;
	if (seg->size < BIG_BYTES || s->in_memory)
		return n - 1;
	return next_segment(s) ? n : n - 1;
}

/*
 * Whether delivered segments with positions may go: those are saved, or, where that can't be done (a full disk, which these
 * segments may fill), the next start has to ask the database for them.
 */
static bool
may_go(struct spool *s)
{
	if (save_positions(s))
		return true;
	if (!spool_is_unsafe(s))
		return false;
	s->positions_unsaved = s->positions_dirty = true;
	return true;
}

void
spool_remove_delivered(struct spool *s, int64_t now_ms)
{
	int n = delivered_segments(s), removed = 0;
	bool saved = false;

	s->remove_ms = NEVER;
	for (; removed < n; removed++) {
		const struct segment *seg = &s->segment[removed];
		if (seg->memory)
			continue;
		/* Writing the positions is four syncs: not for each segment of a burst, unless there is little room. */
		if (seg->positions && !saved && now_ms < s->saved_ms + SAVE_EACH_MS &&
			s->disk_bytes < s->max_bytes / 4) {
			s->remove_ms = s->saved_ms + SAVE_EACH_MS;
			break;
		}
		if ((seg->positions && !saved && !(saved = may_go(s))) || !spool_remove_file(s, seg))
			break;
	}
	spool_forget_segments(s, 0, removed);
	/* Memory is given back even where files stay. */
	for (int i = s->count - 1; i >= 0; i--)
		if (s->segment[i].memory && s->segment[i].last <= s->acked)
			spool_forget_segments(s, i, 1);
	if (s->memory_bytes == 0)
		positions_safe(&s->positions);
}
