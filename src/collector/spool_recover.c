/* spool_recover.c: What a spool finds in its directory: segments, damage, torn ends, positions. See spool_parts.h for what belongs here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/spool_parts.h"

#define ASIDE_FILE "segment.damaged"

/* Moves a file that can't be used out of the way; the last one is kept for people to look at. */
static void
move_aside(struct spool *s, const char *name, const char *why)
{
	if (renameat(s->dir_fd, name, s->dir_fd, ASIDE_FILE) == 0)
		log_line(LOG_LEVEL_WARNING, "spool: %s/%s %s: moved to " ASIDE_FILE, s->dir, name, why);
	else
		log_line(LOG_LEVEL_WARNING, "spool: %s/%s %s, and cannot be moved: %s", s->dir, name, why,
				 strerror(errno));
}

/* --- finding segments */

static int
by_base(const void *a, const void *b)
{
	int64_t x = ((const struct segment *) a)->base, y = ((const struct segment *) b)->base;

	return (x > y) - (x < y);
}

static bool
list_segments(struct spool *s)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int64_t base;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((entry = readdir(dir)) != NULL)
		if (segment_base(entry->d_name, &base) && spool_new_segment(s, base) == NULL)
			break;
	closedir(dir);
	if (s->count > 1)
		qsort(s->segment, (size_t) s->count, sizeof *s->segment, by_base);
	return true;
}

/* --- reading one */

/* What one segment gave. */
struct finding {
	int64_t whole_to; /* end of the last whole group */
	bool other_version;
	int64_t damaged;
	int error;
};

/* Counts the frames of groups that are whole; those of the last group are noted when its end has been seen. */
static void
scan(struct spool *s, struct segment *seg, int64_t previous, struct finding *f)
{
	struct segment_reader r;
	struct frame frame;
	struct buffer group = {NULL, 0};
	size_t used = 0;

	*f = (struct finding){0};
	if (reader_open(&r, s->dir_fd, seg, &s->reading, 0, previous)) {
		while (reader_next(&r, &frame)) {
			/* A group is kept until its end has been seen: what is of a torn one was never there. */
			if (!buffer_reserve(&group, used + frame.size))
				break;
			char *at = memcpy(group.p + used, frame.payload.p - FRAME_HEAD, frame.size);
			frame_rewrite_head(at, frame.flags, frame.number);
			used += frame.size;
			if (frame.flags & FRAME_GOES_ON)
				continue;
			for (size_t i = 0; i < used; i += frame.size) {
				frame_read((struct slice){group.p + i, group.p + used}, &frame);
				spool_note(s, seg, &frame);
			}
			used = 0;
			f->whole_to = r.frame_offset + (int64_t) frame.size;
		}
		reader_close(&r);
	}
	f->other_version = r.other_version;
	f->damaged = r.damaged;
	f->error = r.error;
	free(group.p);
}

/* False: there is nothing (more) of this segment. */
static bool
recover_segment(struct spool *s, struct segment *seg, int64_t previous)
{
	char name[SEGMENT_NAME_SIZE];
	struct finding found;
	struct stat st;

	segment_name(seg->base, name);
	if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)) {
		move_aside(s, name, "is no file");
		return false;
	}
	seg->size = st.st_size;
	scan(s, seg, previous, &found);
	/* What is behind a place that can't be read is lost with it. */
	if (found.error != 0) {
		found.damaged++;
		log_line(LOG_LEVEL_ERROR, "spool: cannot read %s/%s: %s", s->dir, name, strerror(found.error));
	}
	spool_lose(s, &(struct loss){.damaged = found.damaged, .reasons = LOSS_DAMAGED});
	/* Positions may be gone with it, while their lines were delivered. */
	s->uncertain |= found.damaged > 0;
	if (found.whole_to == 0 && (found.damaged > 0 || found.other_version)) {
		move_aside(s, name, found.other_version ? "is of another version of obs-agent" : "holds no record");
		return false;
	}
	if (found.damaged > 0)
		log_line(LOG_LEVEL_WARNING, "spool: %s/%s is damaged: %lld places passed over", s->dir, name,
				 (long long) found.damaged);
	if (found.whole_to < seg->size) {
		int fd = segment_open(s->dir_fd, seg->base, false);
		/* Where that can't be done the rest is overwritten or read again, to the same end. */
		if (fd >= 0) {
			if (ftruncate(fd, found.whole_to) == 0)
				s->directory_dirty = true;
			close(fd);
		}
		seg->size = found.whole_to;
	}
	s->disk_bytes += seg->size;
	return true;
}

/* Segments that hold nothing go, but for the last, whose name says which number comes next. */
static void
recover_segments(struct spool *s)
{
	int kept = 0;
	int64_t previous = 0;
	char name[SEGMENT_NAME_SIZE];

	for (int i = 0; i < s->count; i++) {
		struct segment seg = s->segment[i];
		if (s->next < seg.base)
			s->next = seg.base;
		if (!recover_segment(s, &seg, previous))
			continue;
		if (seg.size == 0 && i < s->count - 1) {
			segment_name(seg.base, name);
			unlinkat(s->dir_fd, name, 0);
			continue;
		}
		if (seg.last >= s->next)
			s->next = seg.last + 1;
		if (seg.last > previous)
			previous = seg.last;
		s->segment[kept++] = seg;
	}
	s->count = kept;
	buffer_trim(&s->reading);
}

/* False and errno. */
static bool
open_directory(struct spool *s)
{
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return false;
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return false;
	if (!list_segments(s)) {
		int error = errno;
		close(s->dir_fd);
		s->dir_fd = -1;
		errno = error;
		return false;
	}
	s->is_new = s->count == 0 && faccessat(s->dir_fd, POSITIONS_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	if (!positions_load(&s->positions, s->dir_fd, &s->reading)) {
		s->uncertain = true;
		spool_lose(s, &(struct loss){.damaged = 1, .reasons = LOSS_DAMAGED});
		move_aside(s, POSITIONS_FILE, "is damaged");
	}
	recover_segments(s);
	spool_begin_running(s);
	s->found_last = s->next > 0 ? s->next - 1 : 0;
	return true;
}

void
spool_recover(struct spool *s)
{
	if (open_directory(s))
		return;
	s->is_new = true;
	spool_disk_failed(s, "open the directory", errno);
}

bool
spool_recover_late(struct spool *s)
{
	struct segment *ours = s->segment;
	int count = s->count;
	int64_t next = s->next, first = count > 0 ? ours[0].base : next;

	s->segment = NULL;
	s->count = s->allocated = 0;
	s->next = 0;
	bool opened = open_directory(s), in_order = s->next <= first && s->acked == s->first_new - 1;
	int error = errno;
	/* What is found after newer records were delivered has been passed over for good. */
	for (int i = 0; i < s->count && !in_order; i++) {
		spool_lose_segment(s, &s->segment[i], LOSS_DAMAGED);
		spool_remove_file(s, &s->segment[i]);
	}
	if (!in_order)
		spool_forget_segments(s, 0, s->count);
	/* A greeting before may have said what of it was delivered. */
	if (s->count > 0)
		s->acked = s->told > s->segment[0].base - 1 ? s->told : s->segment[0].base - 1;
	for (int i = 0; i < count; i++) {
		struct segment *seg = spool_new_segment(s, ours[i].base);
		if (seg)
			*seg = ours[i];
	}
	free(ours);
	s->next = next;
	errno = error;
	return opened;
}
