/*
 * tail_adopt.c: Where reading begins in a file that was not followed so far. See tail_parts.h.
 *
 * In this order: a position that is known for its device and inode, when the contents agree; one for its inode alone (device numbers
 * change over a restart of the machine); a copy of a file that was truncated, which goes on where that one stood; else its end when
 * the pattern is looked at for the first time ever, and its beginning at any other time.
 */
#include "collector/tail_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define FORGET_AFTER_S  (30 * 86400)
#define BEFORE_VALID_MS 600000

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool
same_directory(const char *a, const char *b)
{
	size_t len = (size_t) (base_name(a) - a);

	return len == (size_t) (base_name(b) - b) && memcmp(a, b, len) == 0;
}

bool
tail_is_rotated(const char *path, const char *other)
{
	return same_directory(path, other) && tail_is_rotated_name(base_name(path), base_name(other));
}

static void
mark_used(struct tail *t, uint64_t dev, uint64_t ino)
{
	for (int i = 0; i < t->stored_count; i++)
		if (t->stored[i].position.ino == ino && t->stored[i].position.dev == dev)
			t->stored[i].used = true;
}

/* --- positions */

enum known { KNOWN, CHANGED, DAMAGED, UNKNOWN };

static enum known
known_by_key(struct tail *t, struct tail_file *f)
{
	struct tail_position p = {.dev = f->stat.dev, .ino = f->stat.ino};
	char key[TAIL_KEY_BYTES];

	tail_position_key(&p, key);
	const char *state = spool_position(t->env->spool, key);
	if (!state)
		return UNKNOWN;
	mark_used(t, p.dev, p.ino);
	if (!tail_position_read(state, &p, NULL, 0))
		return DAMAGED;
	if (p.offset <= f->first_size && tail_file_verify(f, &p)) {
		tail_file_resume(t, f, &p);
		f->stored = p.offset;
		return KNOWN;
	}
	f->before = p;
	f->before_ms = t->now_ms;
	return CHANGED;
}

static bool
known_by_inode(struct tail *t, struct tail_file *f)
{
	for (int i = 0; i < t->stored_count; i++) {
		struct tail_stored *s = &t->stored[i];
		if (s->used || s->position.ino != f->stat.ino || s->position.offset > f->first_size)
			continue;
		if (s->position.head.len == 0 ? strcmp(s->path, f->path) != 0 : !tail_file_verify(f, &s->position))
			continue;
		s->used = true;
		tail_file_resume(t, f, &s->position);
		return true;
	}
	return false;
}

/* --- copies */

static bool
has_head(const struct tail_file *f, struct tail_print head)
{
	char bytes[TAIL_HEAD_BYTES];
	ssize_t got = tail_file_pread(f, bytes, head.len, 0);

	return head.len > 0 && got >= 0 && tail_head_matches(head, (struct slice){bytes, bytes + got});
}

/* Whether the file begins with what the position remembers; a copy that is shorter than that is known by its head. */
static bool
continues(const struct tail_file *f, const struct tail_position *p)
{
	return p->offset > 0 && (f->stat.size >= p->offset ? tail_file_verify(f, p) : has_head(f, p->head));
}

/* Whether the bytes before `offset` are the same in both. */
static bool
same_before(const struct tail_file *a, const struct tail_file *b, int64_t offset)
{
	char x[TAIL_MARK_BYTES], y[TAIL_MARK_BYTES];
	size_t len = offset < TAIL_MARK_BYTES ? (size_t) offset : TAIL_MARK_BYTES;

	return tail_file_pread(a, x, len, offset - (int64_t) len) == (ssize_t) len &&
		   tail_file_pread(b, y, len, offset - (int64_t) len) == (ssize_t) len && memcmp(x, y, len) == 0;
}

static bool
is_truncated(const struct tail_file *g)
{
	struct stat s;

	return fstat(g->fd, &s) < 0 || s.st_size < g->at.offset || !tail_file_verify(g, &g->at);
}

/* Whether the file was a part of the other one up to `offset`: too short for its head, but compared before that was truncated. */
static bool
was_copied(const struct tail_file *f, const struct tail_file *g, int64_t offset)
{
	return f->copied > 0 && f->stat.size <= offset && tail_is_rotated(g->path, f->path);
}

enum copy { NO_COPY, COPY_OF_TRUNCATED, COPY_OF_LIVE };

/* A copy goes on where its original stood, but not before that one was truncated: until then the original has all of it. */
static enum copy
find_original(struct tail *t, const struct tail_file *f, struct tail_position *out)
{
	for (int i = 0; i < t->files; i++) {
		struct tail_file *g = t->file[i];
		if (g == f || g->state == TAIL_IGNORED || g->remote || f->remote)
			continue;
		if (g->before.offset > 0 && t->now_ms - g->before_ms < BEFORE_VALID_MS &&
			(continues(f, &g->before) || was_copied(f, g, g->before.offset))) {
			*out = g->before;
			return COPY_OF_TRUNCATED;
		}
		if (!tail_is_rotated(g->path, f->path) || g->state != TAIL_READING || g->at.offset == 0 ||
			tail_file_open(t, g) != 0)
			continue;
		*out = g->at;
		if (is_truncated(g)) {
			if (continues(f, &g->at) || was_copied(f, g, g->at.offset)) {
				/* The copy begins behind what is held back of the original: that is given out before. */
				tail_read_finish(t, g);
				*out = g->at;
				out->skipping |= g->cut != NULL;
				return COPY_OF_TRUNCATED;
			}
		} else if (f->stat.size >= g->at.offset ? tail_file_verify(f, &g->at)
												: same_before(f, g, f->stat.size))
			return COPY_OF_LIVE; /* or the beginning of one, still empty perhaps */
	}
	for (int i = 0; i < t->stored_count; i++) {
		struct tail_stored *s = &t->stored[i];
		if (!s->used && !f->remote && tail_is_rotated(s->path, f->path) && continues(f, &s->position)) {
			*out = s->position;
			return COPY_OF_LIVE; /* its original comes later in this scan */
		}
	}
	return NO_COPY;
}

static bool
known_as_copy(struct tail *t, struct tail_file *f)
{
	struct tail_position p;
	bool waited = f->state == TAIL_COPY;

	switch (find_original(t, f, &p)) {
	case NO_COPY:
		return false;
	case COPY_OF_TRUNCATED:
		if (p.offset > f->stat.size)
			tail_file_begin(t, f, f->stat.size);
		else
			tail_file_resume(t, f, &p);
		break;
	case COPY_OF_LIVE:
		if (f->stat.size != f->copied)
			f->adopted_ms = t->now_ms; /* still being made: of a large file that takes its time */
		if (!waited || t->now_ms - f->adopted_ms < TAIL_COPY_WAIT_MS) {
			f->state = TAIL_COPY;
			f->copied = f->stat.size;
			return true;
		}
		tail_file_begin(t, f, tail_file_last_line(f, f->stat.size));
		break;
	}
	f->final = true;
	return true;
}

/* --- deciding */

static void
begin_at_end(struct tail *t, struct tail_file *f)
{
	tail_file_begin(t, f, tail_file_last_line(f, f->first_size));
}

static void
position_is_damaged(struct tail *t, struct tail_file *f)
{
	char path[512];
	struct strbuf data = STRBUF_INIT;

	slice_printable(slice_of(f->path), path, sizeof path);
	strbuf_puts(&data, "{\"reason\": \"position_damaged\", \"file\": ");
	strbuf_json_string(&data, path);
	strbuf_puts(&data, "}");
	log_line(LOG_LEVEL_WARNING,
			 "how far \"%s\" has been read is not known any more (damaged): it is read from its end on",
			 path);
	tail_put_event(t, "data_lost", "the position of a log file was damaged; the file is read from its end on",
				   data.data);
	strbuf_free(&data);
	begin_at_end(t, f);
}

/* A file that nothing is known about. False: it has no place here. */
static bool
decide_unknown(struct tail *t, struct tail_file *f, int64_t since_us)
{
	const struct tail_pattern *pattern = &t->pattern[f->source];
	bool first = !pattern->marked && !pattern->scanned;

	if (f->gone) {
		if (f->first_mtime_us < since_us)
			return false;
		tail_file_begin(t, f, 0);
	} else if (first && !t->database_known) {
		f->state = TAIL_WAITING;
		f->at_end = true;
	} else if (first && !t->env->config->logs[f->source].from_beginning)
		begin_at_end(t, f);
	else
		tail_file_begin(t, f, 0);
	return true;
}

static bool
decide(struct tail *t, struct tail_file *f, int64_t since_us)
{
	enum known known = known_by_key(t, f);

	if (known == DAMAGED)
		position_is_damaged(t, f);
	else if (known != KNOWN && !(known == UNKNOWN && known_by_inode(t, f)) && !known_as_copy(t, f) &&
			 !decide_unknown(t, f, since_us))
		return false;
	if (f->state == TAIL_READING) {
		f->due_ms = t->now_ms;
		if (f->stored < 0)
			tail_put_position(t, f);
	}
	return true;
}

static void
adopt(struct tail *t, int source, const char *path, const struct tail_stat *st, bool gone, int64_t since_us,
	  const struct tail_piece *piece)
{
	char head[8];
	struct tail_file *f = tail_file_new(t, source, path, st);

	if (!f)
		return;
	f->gone = f->final = gone;
	f->remote = piece != NULL;
	f->piece = piece;
	f->first_mtime_us = st->mtime_ns / 1000;
	f->lines.level = t->pattern[source].level;
	f->lines.zone_s = t->pattern[source].zone_s;
	f->lines.zone_given = t->pattern[source].zone_given;
	int error = tail_file_open(t, f);
	if (error) {
		if (error != ESTALE && error != ENOENT && error != EMFILE)
			tail_list_problem(t, path, "cannot be read", error);
		tail_file_remove(t, f, false);
		return;
	}
	ssize_t got = tail_file_pread(f, head, sizeof head, 0);
	if (got > 0 && tail_is_compressed((struct slice){head, head + got})) {
		f->state = TAIL_IGNORED;
		f->stat = *st;
		tail_file_close(t, f);
	} else if (!decide(t, f, since_us)) {
		tail_file_remove(t, f, false);
		return;
	}
	f->piece = NULL;
}

void
tail_adopt(struct tail *t, int source, const char *path, const struct tail_stat *st)
{
	adopt(t, source, path, st, false, 0, NULL);
}

void
tail_adopt_remote(struct tail *t, const struct tail_arrival *a, const struct tail_piece *piece)
{
	adopt(t, a->source, a->path, &a->stat, a->rotated, t->remote.listed_us, piece);
}

bool
tail_may_be_copy(const struct tail *t, const struct tail_file *f)
{
	for (int i = 0; i < t->files; i++)
		if (tail_is_rotated(t->file[i]->path, f->path) && t->file[i]->state == TAIL_READING)
			return true;
	return false;
}

/* What looked like a copy: it is one, its original still has everything, or it is a file of its own. */
static void
settle_copy(struct tail *t, struct tail_file *f)
{
	if (!known_as_copy(t, f))
		tail_file_begin(t, f, 0);
	if (f->state != TAIL_READING)
		return;
	f->due_ms = t->now_ms;
	tail_put_position(t, f);
}

void
tail_adopt_waiting(struct tail *t)
{
	for (int i = 0; i < t->files; i++) {
		struct tail_file *f = t->file[i];
		struct stat s;
		if (f->state != TAIL_COPY && !(f->state == TAIL_WAITING && t->database_known))
			continue;
		if (tail_file_open(t, f) != 0 || fstat(f->fd, &s) < 0)
			continue;
		f->stat = tail_stat_of(&s);
		if (f->state == TAIL_COPY) {
			settle_copy(t, f);
			continue;
		}
		/* A pattern that was looked at by then is not what it was when the file was first seen. */
		bool scanned = t->pattern[f->source].scanned;
		t->pattern[f->source].scanned = false;
		decide(t, f, 0);
		t->pattern[f->source].scanned = scanned;
	}
}

/* --- what rotation made of a file */

static void
adopt_sibling(struct tail *t, int source, const char *path, int64_t since_us)
{
	struct stat s;

	if (lstat(path, &s) < 0 || !S_ISREG(s.st_mode))
		return;
	struct tail_stat st = tail_stat_of(&s);
	struct tail_file *known = tail_file_find(t, st.dev, st.ino);
	if (!known)
		adopt(t, source, path, &st, true, since_us, NULL);
	else if (known->gone && known->fd < 0 && known->state == TAIL_READING) {
		char *copy = strdup(path);
		if (!copy)
			return;
		free(known->path);
		known->path = copy;
		known->stat.mtime_ns = -1;
		known->at_end = false;
		known->due_ms = t->now_ms;
	}
}

void
tail_adopt_siblings(struct tail *t, int source, const char *path, int64_t since_us)
{
	if (t->pattern[source].remote)
		return;
	/* Copies: the path may be that of a file which gets another one on the way. */
	char *other = NULL, *base = strdup(base_name(path));
	char *directory = strndup(path, (size_t) (base_name(path) - path));
	DIR *d = directory && base ? opendir(directory[0] ? directory : ".") : NULL;
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		if (!tail_is_rotated_name(base, e->d_name) || asprintf(&other, "%s%s", directory, e->d_name) < 0)
			continue;
		adopt_sibling(t, source, other, since_us);
		free(other);
	}
	if (d)
		closedir(d);
	free(base);
	free(directory);
}

/* --- positions of former runs */

static void
load_one(void *into, const char *file, const char *state)
{
	static char path[4 * 4096];
	struct tail *t = into;
	struct tail_stored s = {.used = false};

	if (!state || !tail_position_read(state, &s.position, path, sizeof path))
		return;
	struct tail_stored *more = realloc(t->stored, (size_t) (t->stored_count + 1) * sizeof *more);
	if (!more)
		return;
	t->stored = more;
	if ((s.path = strdup(path)) != NULL)
		t->stored[t->stored_count++] = s;
}

void
tail_drop_stored(struct tail *t)
{
	for (int i = 0; i < t->stored_count; i++)
		free(t->stored[i].path);
	free(t->stored);
	t->stored = NULL;
	t->stored_count = 0;
}

void
tail_load_stored(struct tail *t)
{
	tail_drop_stored(t);
	spool_positions(t->env->spool, load_one, t);
}

static int
source_of(const struct tail *t, const char *path)
{
	for (int i = 0; i < t->patterns; i++)
		if (strcmp(t->pattern[i].pattern, path) == 0 ||
			fnmatch(t->pattern[i].pattern, path, FNM_PATHNAME | FNM_PERIOD) == 0)
			return i;
	return -1;
}

static const struct tail_file *
file_at(const struct tail *t, const char *path)
{
	for (int i = 0; i < t->files; i++)
		if (!t->file[i]->gone && strcmp(t->file[i]->path, path) == 0)
			return t->file[i];
	return NULL;
}

/* When a file at that path was looked at last. */
static int64_t
last_seen_s(const struct tail *t, const char *path)
{
	int64_t last = 0;

	for (int i = 0; i < t->stored_count; i++)
		if (strcmp(t->stored[i].path, path) == 0 && t->stored[i].position.seen_s > last)
			last = t->stored[i].position.seen_s;
	return last;
}

/* Files that were rotated away while the agent was not there: the ones that are known, and what was written after they were seen last. */
void
tail_adopt_stored(struct tail *t)
{
	int64_t wall_s = clock_us(CLOCK_REALTIME) / 1000000;

	for (int i = 0; i < t->stored_count; i++) {
		struct tail_stored *s = &t->stored[i];
		char key[TAIL_KEY_BYTES];
		int source = source_of(t, s->path);
		if (s->used)
			continue;
		if (source >= 0)
			tail_adopt_siblings(t, source, s->path,
								file_at(t, s->path) ? last_seen_s(t, s->path) * 1000000 : INT64_MAX);
		if (s->used || s->position.seen_s >= wall_s - FORGET_AFTER_S)
			continue;
		tail_position_key(&s->position, key);
		tail_put_mark(t, key, NULL);
	}
}
