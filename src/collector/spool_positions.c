/* spool_positions.c: Positions of log files. See spool_positions.h for what belongs here. */
#include "collector/spool_positions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hash.h"

#define TEMPORARY_FILE POSITIONS_FILE ".tmp"

static void
forget(struct positions *p, int i)
{
	free(p->entry[i].file);
	free(p->entry[i].state);
	free(p->entry[i].safe);
	p->entry[i] = p->entry[--p->count];
}

void
positions_free(struct positions *p)
{
	while (p->count > 0)
		forget(p, p->count - 1);
	free(p->entry);
	*p = (struct positions){NULL};
}

static char *
copy(struct slice s)
{
	return s.p ? strndup(s.p, (size_t) (s.end - s.p)) : NULL;
}

static int
find(const struct positions *p, struct slice file)
{
	uint64_t hash;

	if (file.p == NULL)
		return -1;
	hash = hash_span(HASH_SEED, file.p, (size_t) (file.end - file.p));
	for (int i = 0; i < p->count; i++)
		if (p->entry[i].hash == hash && slice_equals(file, p->entry[i].file))
			return i;
	return -1;
}

const struct position *
positions_find(const struct positions *p, struct slice file)
{
	int i = find(p, file);

	return i < 0 ? NULL : &p->entry[i];
}

/* An entry for a file that is not known yet; -1: no memory. */
static int
add(struct positions *p, struct slice file)
{
	if (p->count == POSITIONS_MAX) {
		int oldest = 0;
		for (int i = 1; i < p->count; i++)
			if (p->entry[i].number < p->entry[oldest].number)
				oldest = i;
		forget(p, oldest);
	}
	if (p->count == p->allocated) {
		int more = p->allocated > 0 ? 2 * p->allocated : 8;
		struct position *entry = realloc(p->entry, (size_t) more * sizeof *entry);
		if (entry == NULL)
			return -1;
		p->entry = entry;
		p->allocated = more;
	}
	char *name = copy(file);
	if (name == NULL)
		return -1;
	p->entry[p->count] = (struct position){
		.hash = hash_span(HASH_SEED, file.p, (size_t) (file.end - file.p)),
		.file = name,
	};
	return p->count++;
}

bool
positions_set(struct positions *p, struct slice file, struct slice state, int64_t number, bool in_memory)
{
	int i = find(p, file);

	if (file.p == NULL || (i < 0 && state.p == NULL) || (i >= 0 && p->entry[i].number > number))
		return true;
	if (i < 0 && (i = add(p, file)) < 0)
		return false;
	struct position *e = &p->entry[i];
	char *text = copy(state);
	if (text == NULL && state.p != NULL)
		return false;
	if (in_memory && !e->in_memory) {
		e->safe = e->state;
		e->safe_number = e->number;
		e->in_memory = true;
	} else
		free(e->state);
	e->state = text;
	e->number = number;
	if (text == NULL && !e->in_memory)
		forget(p, i);
	return true;
}

void
positions_safe(struct positions *p)
{
	for (int i = p->count - 1; i >= 0; i--) {
		struct position *e = &p->entry[i];
		free(e->safe);
		e->safe = NULL;
		e->in_memory = false;
		if (e->state == NULL)
			forget(p, i);
	}
}

void
positions_renumber(struct positions *p, int64_t first, int64_t more)
{
	for (int i = 0; i < p->count; i++)
		if (p->entry[i].number >= first)
			p->entry[i].number += more;
}

/* A frame at `offset`; its size, or 0 and errno. */
static size_t
write_frame(int fd, int64_t offset, struct buffer *b, const struct record *r, uint8_t flags, int64_t number)
{
	size_t payload = r ? record_size(r) : 0;

	if (!buffer_reserve(b, FRAME_HEAD + payload)) {
		errno = ENOMEM;
		return 0;
	}
	if (r)
		record_write(r, b->p + FRAME_HEAD);
	frame_write_head(b->p, flags, (uint64_t) number, payload);
	return write_at(fd, b->p, FRAME_HEAD + payload, offset) ? FRAME_HEAD + payload : 0;
}

static bool
write_all(const struct positions *p, int fd)
{
	struct buffer b = {NULL, 0};
	struct record r;
	int64_t offset = 0;
	size_t n = 1;

	for (int i = 0; i < p->count && n > 0; i++) {
		const struct position *e = &p->entry[i];
		const char *state = e->in_memory ? e->safe : e->state;
		if (state == NULL)
			continue;
		record_init(&r, RECORD_POSITION, RANK_KEEP, 0);
		record_set(&r, POSITION_FILE, e->file);
		record_set(&r, POSITION_STATE, state);
		n = write_frame(fd, offset, &b, &r, FRAME_GOES_ON, e->in_memory ? e->safe_number : e->number);
		offset += (int64_t) n;
	}
	n = n > 0 ? write_frame(fd, offset, &b, NULL, 0, 0) : 0;
	int error = errno;
	free(b.p);
	errno = error;
	return n > 0;
}

bool
positions_save(const struct positions *p, int dir_fd)
{
	int fd = openat(dir_fd, TEMPORARY_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	bool good = write_all(p, fd) && fsync(fd) == 0;
	int error = errno;
	close(fd);
	if (good && renameat(dir_fd, TEMPORARY_FILE, dir_fd, POSITIONS_FILE) == 0)
		return fsync(dir_fd) == 0;
	error = good ? errno : error;
	unlinkat(dir_fd, TEMPORARY_FILE, 0);
	errno = error;
	return false;
}

bool
positions_load(struct positions *p, int dir_fd, struct buffer *buffer)
{
	/* A file of frames like a segment's, but read whole: it is small. */
	int fd = openat(dir_fd, POSITIONS_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	struct frame frame;
	struct record r;
	bool ended = false, good = true;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 64 << 20 ||
		!buffer_reserve(buffer, (size_t) st.st_size + 1) ||
		(n = pread(fd, buffer->p, (size_t) st.st_size, 0)) < 0) {
		close(fd);
		return false;
	}
	close(fd);
	struct slice rest = {buffer->p, buffer->p + n};
	while (rest.p < rest.end) {
		enum frame_found found = frame_read(rest, &frame);
		if (found == FRAME_WHOLE && !(ended = !(frame.flags & FRAME_GOES_ON)) &&
			record_read(frame.payload, &r) && r.kind == RECORD_POSITION)
			good &= positions_set(p, r.field[POSITION_FILE], r.field[POSITION_STATE], (int64_t) frame.number,
								  false);
		else if (!ended)
			good = false;
		size_t left = (size_t) (rest.end - rest.p);
		size_t skip = found == FRAME_WHOLE || found == FRAME_DAMAGED ? frame.size : frame_search(rest);
		rest.p += skip < left ? skip : left;
	}
	buffer_trim(buffer);
	return good && ended;
}
