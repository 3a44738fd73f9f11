/*
 * tail_remote.c: One question to the helper after the other: which files there are, where a new one begins, what is new in one. See
 * tail_remote.h for what belongs here.
 */
#include "collector/tail_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define END_BYTES 8192 /* of a file that begins at its end: its last line is looked for there */

static void
free_arrival(struct tail_remote *r)
{
	free(r->arrival[0].path);
	r->arrivals--;
	memmove(&r->arrival[0], &r->arrival[1], (size_t) r->arrivals * sizeof *r->arrival);
}

void
tail_remote_arrived(struct tail *t, int source, const char *path, const struct tail_stat *st, bool rotated)
{
	struct tail_remote *r = &t->remote;
	struct tail_arrival *more;

	for (int i = 0; i < r->arrivals; i++)
		if (r->arrival[i].stat.ino == st->ino && r->arrival[i].stat.dev == st->dev)
			return;
	more = realloc(r->arrival, (size_t) (r->arrivals + 1) * sizeof *more);
	if (!more)
		return;
	r->arrival = more;
	more[r->arrivals] = (struct tail_arrival){strdup(path), *st, source, rotated};
	r->arrivals += more[r->arrivals].path != NULL;
}

/* --- answers */

/* What rotation made of a file: more of one that is followed, or one that came and went between two lists. */
static void
found_rotated(struct tail *t, int source, const char *path, const struct tail_stat *st)
{
	struct tail_file *f = tail_file_find(t, st->dev, st->ino);
	char *copy = f && f->gone ? strdup(path) : NULL;

	if (!S_ISREG(st->mode))
		return;
	if (!f)
		tail_remote_arrived(t, source, path, st, true);
	if (!copy)
		return;
	free(f->path);
	f->path = copy;
	if (st->size != f->stat.size || st->mtime_ns != f->stat.mtime_ns) {
		f->at_end = false;
		f->due_ms = t->now_ms;
	}
}

/*
 * First what the pattern means, so that what it does not mean any more is known when rotated files are looked at. False: there was no
 * room for all of it.
 */
static bool
take_list(struct tail *t, const char *answer, size_t len, bool rotated)
{
	struct tail_listed listed;

	for (size_t at = 0; at + sizeof listed <= len; at += sizeof listed + listed.path_bytes) {
		const char *path = answer + at + sizeof listed;
		memcpy(&listed, answer + at, sizeof listed);
		if (listed.path_bytes == 0 || at + sizeof listed + listed.path_bytes > len ||
			path[listed.path_bytes - 1] != '\0')
			return false;
		if (path[0] == '\0')
			return false;
		if (listed.rotated != rotated)
			continue;
		if (rotated)
			found_rotated(t, t->remote.source, path, &listed.stat);
		else
			tail_found(t, t->remote.source, path, &listed.stat);
	}
	return true;
}

static void
say_cut(struct tail_pattern *p, bool cut)
{
	if (cut && !p->cut)
		log_line(LOG_LEVEL_WARNING,
				 "\"%s\" means more files on a network filesystem than can be listed: some are not read",
				 p->pattern);
	else if (!cut && p->cut)
		log_line(LOG_LEVEL_INFO, "all files of \"%s\" can be listed again", p->pattern);
	p->cut = cut;
}

static void
listed(struct tail *t, const char *answer, size_t len)
{
	struct tail_remote *r = &t->remote;
	struct tail_pattern *p = &t->pattern[r->source];

	t->scan++;
	p->files = p->odd = 0;
	bool whole = take_list(t, answer, len, false);
	say_cut(p, !whole);
	for (int i = 0; i < t->files && whole; i++) {
		struct tail_file *f = t->file[i];
		if (!f->remote || f->source != r->source || f->scan == t->scan || f->gone)
			continue;
		f->gone = f->final = true;
		f->grown_ms = f->due_ms = t->now_ms;
	}
	(void) take_list(t, answer, len, true);
	tail_say_missing(t, r->source);
	if (r->arrivals == 0)
		tail_pattern_done(t, r->source);
	if (r->arrivals == 0)
		r->listed_us = clock_us(CLOCK_REALTIME);
}

static void
take_piece(struct tail *t, const struct tail_piece *piece)
{
	struct tail_remote *r = &t->remote;
	struct tail_file *f;

	if (r->for_arrival) {
		if (piece->stat.dev == r->arrival[0].stat.dev && piece->stat.ino == r->arrival[0].stat.ino)
			tail_adopt_remote(t, &r->arrival[0], piece);
		int source = r->arrival[0].source;
		free_arrival(r);
		if (r->arrivals == 0) {
			tail_pattern_done(t, source);
			r->listed_us = clock_us(CLOCK_REALTIME);
		}
		return;
	}
	f = tail_file_find(t, r->dev, r->ino);
	if (!f || f->state != TAIL_READING)
		return;
	if (piece->stat.dev != r->dev || piece->stat.ino != r->ino) {
		f->at_end = true; /* its path leads to another file: the next list tells where it is */
		return;
	}
	f->piece = piece;
	tail_read_piece(t, f);
	f->piece = NULL;
}

static void
answered(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	struct tail *t = into;
	struct tail_remote *r = &t->remote;
	struct tail_piece piece;

	t->now_ms = now_ms;
	problem_over(&r->hangs, now_ms, "log files on network filesystems answer again");
	if (error) {
		problem_occurred(&r->odd, LOG_LEVEL_WARNING, now_ms, r->argument,
						 "log file \"%s\" cannot be read: %s",
						 strchr(r->argument, '/') ? strchr(r->argument, '/') : r->argument, strerror(error));
		if (r->ask.question == ASK_LOG_READ && r->for_arrival)
			free_arrival(r);
	} else if (r->ask.question == ASK_LOG_LIST)
		listed(t, answer, len);
	else if (len >= sizeof piece) {
		memcpy(&piece, answer, sizeof piece);
		if (sizeof piece + piece.head_bytes + piece.bytes == len)
			take_piece(t, (const struct tail_piece *) answer); /* the desk's buffer is aligned */
		problem_over(&r->odd, now_ms, "log files on network filesystems can be read again");
	}
	tail_group_end(t);
}

/* --- questions */

static bool
put(struct tail *t, enum helper_question question, int64_t from, const char *path)
{
	struct tail_remote *r = &t->remote;
	int len = question == ASK_LOG_READ
				  ? snprintf(r->argument, sizeof r->argument, "%" PRId64 " %s", from > 0 ? from : 0, path)
				  : snprintf(r->argument, sizeof r->argument, "%s", path);

	if (len >= (int) sizeof r->argument) {
		tail_list_problem(t, path, "cannot be asked for", ENAMETOOLONG);
		return false;
	}
	r->ask.question = question;
	r->ask.argument = r->argument;
	r->ask.answered = answered;
	r->ask.into = t;
	desk_put(t->env->desk, &r->ask, t->now_ms);
	return true;
}

/* A file that begins where a position says, or at its end. False: it waits for the database's positions. */
static bool
ask_for_arrival(struct tail *t)
{
	struct tail_remote *r = &t->remote;
	const struct tail_arrival *a = &r->arrival[0];
	struct tail_position p = {.dev = a->stat.dev, .ino = a->stat.ino};
	char key[TAIL_KEY_BYTES];

	if (!t->database_known && !t->pattern[a->source].marked)
		return false;
	tail_position_key(&p, key);
	const char *state = spool_position(t->env->spool, key);
	int64_t from =
		state && tail_position_read(state, &p, NULL, 0) ? p.offset - p.mark.len : a->stat.size - END_BYTES;
	r->for_arrival = true;
	if (!put(t, ASK_LOG_READ, from, a->path))
		free_arrival(r);
	return true;
}

static bool
ask_for_list(struct tail *t)
{
	int due = -1;

	for (int i = 0; i < t->patterns; i++)
		if (t->pattern[i].remote && t->now_ms - t->pattern[i].listed_ms >= TAIL_RESCAN_MS &&
			(due < 0 || t->pattern[i].listed_ms < t->pattern[due].listed_ms))
			due = i;
	if (due < 0)
		return false;
	t->pattern[due].listed_ms = t->now_ms;
	t->remote.source = due;
	return put(t, ASK_LOG_LIST, 0, t->pattern[due].pattern);
}

static bool
ask_for_file(struct tail *t)
{
	for (int i = 0; i < t->files; i++) {
		struct tail_file *f = t->file[(t->cursor + i) % t->files];
		if (!f->wanted)
			continue;
		f->wanted = false;
		t->remote.for_arrival = false;
		t->remote.dev = f->stat.dev;
		t->remote.ino = f->stat.ino;
		return put(t, ASK_LOG_READ, f->at.offset - f->at.mark.len, f->path);
	}
	return false;
}

void
tail_remote_run(struct tail *t)
{
	struct tail_remote *r = &t->remote;

	if (r->ask.waiting) {
		if (t->now_ms - r->ask.since_ms >= DESK_SILENCE_MS)
			problem_occurred(&r->hangs, LOG_LEVEL_WARNING, t->now_ms, r->argument,
							 "\"%s\" does not answer: log files on network filesystems wait",
							 strchr(r->argument, '/'));
		return;
	}
	if (r->arrivals > 0 && ask_for_arrival(t))
		return;
	if (!ask_for_list(t))
		ask_for_file(t);
}

void
tail_remote_forget(struct tail *t)
{
	struct tail_remote *r = &t->remote;

	desk_forget(t->env->desk, &r->ask);
	while (r->arrivals > 0)
		free_arrival(r);
	free(r->arrival);
	r->arrival = NULL;
}

void
tail_remote_describe(const struct tail *t, struct strbuf *out)
{
	if (problem_active(&t->remote.hangs))
		strbuf_puts(out, "does not answer: log files on a network filesystem\n");
}
