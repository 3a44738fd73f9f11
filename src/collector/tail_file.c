/* tail_file.c: One file: its descriptor, what it contains where, and the list of all of them. See tail_parts.h. */
#include "collector/tail_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
make_room(struct tail *t)
{
	if (t->files < t->room)
		return true;
	int room = t->room ? t->room * 2 : 16;
	struct tail_file **more = realloc(t->file, (size_t) room * sizeof *more);
	if (!more)
		return false;
	t->file = more;
	t->room = room;
	return true;
}

struct tail_file *
tail_file_new(struct tail *t, int source, const char *path, const struct tail_stat *st)
{
	if (t->files >= TAIL_MAX_FILES) {
		problem_occurred(&t->limit_problem, LOG_LEVEL_WARNING, t->now_ms, "files",
						 "more than %d log files: \"%s\" and others are not read", TAIL_MAX_FILES, path);
		return NULL;
	}
	struct tail_file *f = make_room(t) ? calloc(1, sizeof *f) : NULL;
	if (!f || !(f->path = strdup(path))) {
		free(f);
		return NULL;
	}
	f->fd = f->watch = -1;
	f->source = source;
	f->stat = *st;
	f->stat.mtime_ns = -1; /* not looked at yet */
	f->first_size = st->size;
	f->stored = -1;
	f->scan = t->scan;
	f->pause_ms = TAIL_ACTIVE_MS;
	f->due_ms = f->grown_ms = f->adopted_ms = t->now_ms;
	log_lines_init(&f->lines, &t->space);
	t->file[t->files++] = f;
	return f;
}

void
tail_file_close(struct tail *t, struct tail_file *f)
{
	if (f->fd < 0)
		return;
	tail_watch_forget(&t->watch, f->watch);
	f->watch = -1;
	close(f->fd);
	f->fd = -1;
	t->open--;
}

void
tail_file_remove(struct tail *t, struct tail_file *f, bool forget)
{
	char key[TAIL_KEY_BYTES];

	if (forget && f->stored >= 0) {
		tail_position_key(&f->at, key);
		tail_put_mark(t, key, NULL);
	}
	tail_file_close(t, f);
	for (int i = 0; i < t->files; i++)
		if (t->file[i] == f) {
			memmove(&t->file[i], &t->file[i + 1], (size_t) (t->files - i - 1) * sizeof *t->file);
			t->files--;
			if (t->cursor > i)
				t->cursor--;
			break;
		}
	log_lines_free(&f->lines);
	free(f->cut);
	free(f->path);
	free(f);
}

struct tail_file *
tail_file_find(struct tail *t, uint64_t dev, uint64_t ino)
{
	for (int i = 0; i < t->files; i++) {
		int at = (t->lookup + i) % t->files;
		if (t->file[at]->stat.ino == ino && t->file[at]->stat.dev == dev) {
			t->lookup = at + 1;
			return t->file[at];
		}
	}
	return NULL;
}

/* How much an open file is missed when it is closed: one that is gone can't be opened again. */
static int
need_of(const struct tail_file *f)
{
	return f->gone ? f->at_end ? 2 : 3 : f->at_end ? 0 : 1;
}

/* Which file to close for another; the longest quiet first. NULL: none can be missed. */
static struct tail_file *
least_needed(struct tail *t)
{
	struct tail_file *best = NULL;

	for (int i = 0; i < t->files; i++) {
		struct tail_file *f = t->file[i];
		if (f->fd < 0 || need_of(f) == 3)
			continue;
		if (!best || need_of(f) < need_of(best) ||
			(need_of(f) == need_of(best) && f->grown_ms < best->grown_ms))
			best = f;
	}
	return best;
}

int
tail_file_open(struct tail *t, struct tail_file *f)
{
	struct stat s;

	if (f->fd >= 0)
		return 0;
	if (f->remote)
		return f->piece ? 0 : ESTALE;
	if (t->open >= TAIL_MAX_OPEN) {
		struct tail_file *other = least_needed(t);
		if (!other)
			return EMFILE;
		tail_file_close(t, other);
	}
	/* Not blocking: the path may be a FIFO by now. */
	int fd = open(f->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode) || s.st_ino != f->stat.ino || s.st_dev != f->stat.dev) {
		close(fd);
		return ESTALE;
	}
	f->fd = fd;
	t->open++;
	return 0;
}

/* From what the helper answered: the head, or the bytes from `from` on. */
static ssize_t
read_piece(const struct tail_piece *piece, char *out, size_t size, int64_t offset)
{
	const char *bytes = (const char *) (piece + 1);
	int64_t start = 0, length = piece->head_bytes;

	if (offset >= piece->from && offset <= piece->from + piece->bytes) {
		bytes += piece->head_bytes;
		start = piece->from;
		length = piece->bytes;
	}
	if (offset < start || offset > start + length) {
		errno = EIO;
		return -1;
	}
	if ((int64_t) size > start + length - offset)
		size = (size_t) (start + length - offset);
	memcpy(out, bytes + (offset - start), size);
	return (ssize_t) size;
}

ssize_t
tail_file_pread(const struct tail_file *f, char *out, size_t size, int64_t offset)
{
	size_t done = 0;

	if (f->remote && f->piece)
		return read_piece(f->piece, out, size, offset);
	while (done < size) {
		ssize_t got = pread(f->fd, out + done, size - done, offset + (int64_t) done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t) got;
	}
	return (ssize_t) done;
}

bool
tail_file_verify(const struct tail_file *f, const struct tail_position *p)
{
	char bytes[TAIL_HEAD_BYTES];
	ssize_t got = tail_file_pread(f, bytes, p->head.len, 0);

	if (got < 0 || !tail_head_matches(p->head, (struct slice){bytes, bytes + got}))
		return false;
	got = tail_file_pread(f, bytes, p->mark.len, p->offset - p->mark.len);
	return got >= 0 && tail_mark_matches(p->mark, (struct slice){bytes, bytes + got});
}

static void
stand_at(struct tail_file *f)
{
	f->safe = (struct tail_spot){f->at.offset, f->at.mark, f->at.skipping};
	f->at_end = false;
	f->stat.mtime_ns = -1;
	free(f->cut);
	f->cut = NULL;
}

void
tail_file_begin(struct tail *t, struct tail_file *f, int64_t offset)
{
	char bytes[TAIL_HEAD_BYTES];
	int64_t back = offset < TAIL_MARK_BYTES ? offset : TAIL_MARK_BYTES;
	ssize_t got;

	f->at = (struct tail_position){.dev = f->stat.dev, .ino = f->stat.ino, .offset = offset};
	got = tail_file_pread(f, bytes, offset < TAIL_HEAD_BYTES ? (size_t) offset : TAIL_HEAD_BYTES, 0);
	f->at.head = tail_print_of((struct slice){bytes, bytes + (got > 0 ? got : 0)});
	got = tail_file_pread(f, bytes, (size_t) back, offset - back);
	f->at.mark = tail_print_of((struct slice){bytes, bytes + (got > 0 ? got : 0)});
	/* In the middle of a line: nobody wants its second half. */
	f->at.skipping = got > 0 && bytes[got - 1] != '\n';
	f->state = TAIL_READING;
	stand_at(f);
}

void
tail_file_resume(struct tail *t, struct tail_file *f, const struct tail_position *p)
{
	f->at = *p;
	f->at.dev = f->stat.dev;
	f->at.ino = f->stat.ino;
	f->state = TAIL_READING;
	stand_at(f);
}

int64_t
tail_file_last_line(const struct tail_file *f, int64_t size)
{
	static char bytes[8192];
	int64_t start = size;

	for (int i = 0; i < 8 && start > 0; i++) {
		size_t len = start < (int64_t) sizeof bytes ? (size_t) start : sizeof bytes;
		ssize_t got = tail_file_pread(f, bytes, len, start - (int64_t) len);
		if (got != (ssize_t) len)
			return size;
		const char *newline = memrchr(bytes, '\n', len);
		if (newline)
			return start - (int64_t) len + (newline - bytes) + 1;
		start -= (int64_t) len;
	}
	return start == 0 ? 0 : size;
}
