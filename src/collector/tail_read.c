/*
 * tail_read.c: New bytes of a file: to lines, to entries, to a group of records with the position that they lead to. See tail_parts.h.
 *
 * A chunk is read together with the mark, the bytes before the offset: one pread() both checks that the file is still the one that was
 * read so far and brings what is new. An end without newline is left in the file, and read again when there is more.
 */
#include "collector/tail_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define ROOM_PER_CHUNK (4 * TAIL_CHUNK_BYTES) /* what a group may become in the spool: context, frames */
/* A group is full: short lines take much more room as records. */
#define GROUP_RECORDS 1000
#define GROUP_BYTES   (2 * TAIL_CHUNK_BYTES)
#define REFUSALS_MAX  10 /* tries of a group that the spool has no room for */

/* --- entries */

static void
put_entry(void *into, const struct log_entry *e)
{
	struct tail *t = into;
	struct record r;

	tail_group_begin(t);
	t->group_entries = true;
	record_init(&r, RECORD_LOG, record_rank_of_level(e->level), e->timestamp_us);
	r.field[LINE_LEVEL] = e->level;
	r.field[LINE_MESSAGE] = e->message;
	r.field[LINE_CONTEXT] = e->context;
	r.field[LINE_LOGGER] = e->logger;
	record_set(&r, LINE_SOURCE, t->source);
	t->group_records++;
	t->group_bytes += record_size(&r);
	spool_put(t->env->spool, &r);
}

/* After a line that began at `start` and ends at `end`: what is held back is always the last lines, see log_lines_pending(). */
static void
keep_safe(struct tail_file *f, struct tail_spot start, struct tail_spot end)
{
	uint32_t pending = log_lines_pending(&f->lines);

	if (pending <= 1)
		f->safe = pending == 0 ? end : start;
}

/* --- lines */

/* Where in the file a chunk in the buffer lies, and how far it was taken. */
struct walk {
	const char *start; /* of the buffer: the mark's bytes */
	const char *p, *end;
	int64_t offset;   /* of `p` */
	const char *safe; /* nothing before it is held back; NULL: as before this chunk */
	int64_t read_us;
	size_t max_line;
};

static struct tail_spot
spot_at(const struct walk *w, const char *point)
{
	return (struct tail_spot){w->offset + (point - w->p), tail_mark_at(w->start, point), false};
}

/* Where reading stands. */
static struct tail_spot
spot_here(const struct tail_file *f)
{
	return (struct tail_spot){f->at.offset, f->at.mark, f->at.skipping};
}

/* Before anything of the file is given out. */
static void
begin_turn(struct tail *t, const struct tail_file *f)
{
	slice_printable(slice_of(f->path), t->source, sizeof t->source);
}

static void
step(struct walk *w, const char *to)
{
	w->offset += to - w->p;
	w->p = to;
}

static void
feed(struct tail *t, struct tail_file *f, struct slice text, int64_t bytes, unsigned flags, int64_t read_us)
{
	struct log_line line = {text, flags, bytes};

	if (flags & LOG_LINE_TRUNCATED)
		t->lines_cut++;
	t->lines_read++;
	log_lines_feed(&f->lines, &line, read_us, put_entry, t);
}

/* The beginning of a line that is too long is kept, its end is looked for. */
static void
begin_cut(struct tail_file *f, struct walk *w)
{
	size_t len = tail_cut((struct slice){w->p, w->end}, w->max_line);

	f->cut = malloc(len + 1);
	if (!f->cut)
		return; /* tried again at the next look */
	memcpy(f->cut, w->p, len);
	f->cut_len = len;
	f->cut_bytes = w->end - w->p;
	f->cut_start = spot_at(w, w->p);
	step(w, w->end);
}

static void
end_cut(struct tail *t, struct tail_file *f, unsigned flags, struct tail_spot end, int64_t read_us)
{
	char *text = f->cut;

	f->cut = NULL;
	feed(t, f, (struct slice){text, text + f->cut_len}, f->cut_bytes, LOG_LINE_TRUNCATED | flags, read_us);
	keep_safe(f, f->cut_start, end);
	free(text);
}

/* A line whose newline is at `newline`. */
static void
whole_line(struct tail *t, struct tail_file *f, struct walk *w, const char *newline)
{
	struct slice text = {w->p, newline};
	int64_t bytes = newline - w->p;
	size_t len = tail_cut(text, w->max_line);

	/* The hole that copytruncate leaves before a writer that keeps its own offset. */
	while (text.p < text.end && *text.p == '\0')
		text.p++;
	if (text.p > w->p)
		len = tail_cut(text, w->max_line);
	bool cut = (int64_t) len < text.end - text.p;
	text.end = text.p + len;
	feed(t, f, text, bytes, cut ? LOG_LINE_TRUNCATED : 0, w->read_us);
	if (log_lines_pending(&f->lines) <= 1)
		w->safe = log_lines_pending(&f->lines) == 0 ? newline + 1 : w->p;
}

/* The rest of a line that was too long, and is counted only. */
static void
pass_over(struct tail *t, struct tail_file *f, struct walk *w)
{
	const char *newline = memchr(w->p, '\n', (size_t) (w->end - w->p));
	const char *to = newline ? newline : w->end;

	f->cut_bytes += to - w->p;
	step(w, newline ? newline + 1 : w->end);
	if (!newline)
		return;
	if (f->cut) {
		end_cut(t, f, 0, spot_at(w, w->p), w->read_us);
		w->safe = NULL;
	}
	f->at.skipping = false;
}

static bool
group_is_full(const struct tail *t)
{
	return t->group_records >= GROUP_RECORDS || t->group_bytes >= GROUP_BYTES;
}

static void
take_lines(struct tail *t, struct tail_file *f, struct walk *w)
{
	while (w->p < w->end && !group_is_full(t)) {
		if (f->cut || f->at.skipping) {
			pass_over(t, f, w);
			continue;
		}
		const char *newline = memchr(w->p, '\n', (size_t) (w->end - w->p));
		if (newline) {
			whole_line(t, f, w, newline);
			step(w, newline + 1);
			continue;
		}
		const char *text = w->p;
		while (text < w->end && *text == '\0')
			text++;
		step(w, text); /* NULs are no line */
		if ((size_t) (w->end - w->p) <= w->max_line)
			break;
		begin_cut(f, w);
		if (!f->cut)
			break;
	}
	f->at.offset = w->offset;
	f->at.mark = tail_mark_at(w->start, w->p);
	if (log_lines_pending(&f->lines) == 0 && !f->cut)
		f->safe = spot_here(f);
	else if (w->safe)
		f->safe = spot_at(w, w->safe);
}

/* --- chunks */

/* Room for a mark, the longest line that is kept, its newline; and for a chunk when lines are short. */
static bool
have_buffer(struct tail *t)
{
	size_t line = (size_t) t->env->config->max_line_bytes + 5;
	size_t size = TAIL_MARK_BYTES + (line > TAIL_CHUNK_BYTES ? line : TAIL_CHUNK_BYTES);

	if (t->buffer_size == size)
		return true;
	free(t->buffer);
	t->buffer = malloc(size);
	t->buffer_size = t->buffer ? size : 0;
	return t->buffer != NULL;
}

/* A record that is larger than the spool holds up everything behind it: it goes. */
static void
give_up(struct tail *t, struct tail_file *f, int64_t bytes)
{
	struct strbuf data = STRBUF_INIT;

	strbuf_printf(&data, "{\"reason\": \"larger_than_spool\", \"bytes\": %" PRId64 ", \"file\": ", bytes);
	strbuf_json_string(&data, t->source);
	strbuf_puts(&data, "}");
	log_line(LOG_LEVEL_WARNING, "\"%s\": %" PRId64 " bytes are lost: they do not fit into the spool",
			 t->source, bytes);
	tail_put_event(t, "data_lost", "log lines were lost: they do not fit into the spool", data.data);
	tail_put_position(t, f);
	tail_group_end(t);
	strbuf_free(&data);
	t->data_lost += bytes;
	f->refusals = 0;
}

/* The group goes to the spool with the position. False: the spool gave it up; reading goes back to where it was safe. */
static bool
commit(struct tail *t, struct tail_file *f, struct tail_spot before)
{
	int64_t stored = f->stored;

	if (t->group_open || f->safe.offset != f->stored)
		tail_put_position(t, f);
	if (tail_group_end(t)) {
		f->refusals = 0;
		return true;
	}
	if (++f->refusals >= REFUSALS_MAX && f->safe.offset > before.offset) {
		give_up(t, f, f->safe.offset - before.offset);
		return true;
	}
	f->stored = stored;
	f->safe = before;
	f->at.offset = before.offset;
	f->at.mark = before.mark;
	f->at.skipping = before.skipping;
	free(f->cut);
	f->cut = NULL;
	log_lines_free(&f->lines);
	struct log_lines fresh = f->lines;
	log_lines_init(&f->lines, &t->space);
	f->lines.level = fresh.level;
	f->lines.zone_s = fresh.zone_s;
	f->lines.zone_given = fresh.zone_given;
	f->at_end = false;
	f->stat.mtime_ns = -1;
	f->due_ms = t->now_ms + 1000;
	return false;
}

/* The file was truncated, or another one was written over it: what was unread in it is gone, unless there is a copy. */
static void
restart(struct tail *t, struct tail_file *f)
{
	struct tail_spot before = f->safe;

	t->truncations++;
	f->at.skipping |= f->cut != NULL;
	f->before = f->at;
	f->before_ms = t->now_ms;
	log_lines_flush(&f->lines, INT64_MAX, put_entry, t);
	if (f->cut)
		end_cut(t, f, LOG_LINE_UNTERMINATED, f->safe, clock_us(CLOCK_REALTIME));
	log_lines_flush(&f->lines, INT64_MAX, put_entry, t);
	f->safe = spot_here(f);
	if (!commit(t, f, before)) {
		f->before.offset = 0;
		return;
	}
	f->at = (struct tail_position){.dev = f->at.dev, .ino = f->at.ino};
	f->safe = (struct tail_spot){0};
	f->at_end = false;
	f->stored = f->remote ? -1 : f->stored;
	/* Where it stood stays written down until the copy, which may have the rest, has been looked for. */
	f->copy_first = !f->remote;
	t->scan_hinted = true;
	if (tail_may_be_copy(t, f)) {
		/* A backup that is written anew, of a file whose lines are known. */
		f->state = TAIL_COPY;
		f->adopted_ms = t->now_ms;
		f->first_size = f->stat.size;
	}
}

/* The head grows until it has its full length. */
static void
grow_head(struct tail_file *f)
{
	char bytes[TAIL_HEAD_BYTES];

	if (f->at.head.len == TAIL_HEAD_BYTES || f->stat.size <= f->at.head.len)
		return;
	ssize_t got = tail_file_pread(f, bytes, sizeof bytes, 0);
	if (got > (ssize_t) f->at.head.len)
		f->at.head = tail_print_of((struct slice){bytes, bytes + got});
}

/* `len` bytes of the file from the mark on are in the buffer. False: it is not the file that was read so far, or the spool is full. */
static bool
take_chunk(struct tail *t, struct tail_file *f, size_t len, bool at_end)
{
	const char *start = t->buffer + f->at.mark.len;
	size_t max_line = (size_t) t->env->config->max_line_bytes;
	struct walk w = {t->buffer,
					 start,
					 t->buffer + len,
					 f->at.offset,
					 NULL,
					 clock_us(CLOCK_REALTIME),
					 f->remote && max_line > TAIL_REMOTE_LINE_MAX ? TAIL_REMOTE_LINE_MAX : max_line};
	struct tail_spot before = f->safe;

	if (len < f->at.mark.len || !tail_mark_matches(f->at.mark, (struct slice){t->buffer, start})) {
		restart(t, f);
		return false;
	}
	if (f->at.offset == 0 && tail_is_compressed((struct slice){start, w.end})) {
		f->state = TAIL_IGNORED;
		tail_file_close(t, f);
		return false;
	}
	grow_head(f);
	take_lines(t, f, &w);
	f->at_end = at_end && !group_is_full(t);
	return commit(t, f, before);
}

/* A chunk without data: on to the next, so that a hole takes no time. */
static bool
jump_hole(struct tail_file *f)
{
	off_t data = lseek(f->fd, f->at.offset, SEEK_DATA);

	if (data < 0)
		data = errno == ENXIO ? f->stat.size : -1;
	if (data < f->at.offset + 2 * TAIL_CHUNK_BYTES)
		return false;
	f->at.offset = data;
	f->at.mark = tail_print_of((struct slice){"", ""});
	if (log_lines_pending(&f->lines) == 0 && !f->cut)
		f->safe = spot_here(f);
	return true;
}

/* One chunk of a local file; bytes read. 0: there is no more, or not now. */
static int64_t
read_chunk(struct tail *t, struct tail_file *f)
{
	size_t mark = f->at.mark.len;
	ssize_t got;

	got = tail_file_pread(f, t->buffer, t->buffer_size, f->at.offset - (int64_t) mark);
	if (got < 0) {
		problem_occurred(&t->open_problem, LOG_LEVEL_WARNING, t->now_ms, f->path,
						 "log file \"%s\" cannot be read: %s", f->path, strerror(errno));
		f->due_ms = t->now_ms + TAIL_QUIET_MS;
		return -1;
	}
	int64_t before = f->at.offset;
	if (!take_chunk(t, f, (size_t) got, (size_t) got < t->buffer_size))
		return -1;
	if (!f->at_end && t->buffer[got - 1] == '\0' && jump_hole(f))
		return 1;
	return f->at.offset - before;
}

/* --- turns */

/* What has no newline, and will get none: the file is gone. */
static void
take_unterminated(struct tail *t, struct tail_file *f)
{
	struct tail_spot before = f->safe;
	int64_t wall_us = clock_us(CLOCK_REALTIME);

	if (f->cut) {
		f->at.skipping = true;
		end_cut(t, f, LOG_LINE_UNTERMINATED, spot_here(f), wall_us);
	} else if (f->final && f->stat.size > f->at.offset && !f->at.skipping) {
		size_t mark = f->at.mark.len;
		ssize_t got = tail_file_pread(f, t->buffer, t->buffer_size, f->at.offset - (int64_t) mark);
		const char *start = t->buffer + mark, *end = t->buffer + got;
		if (got <= (ssize_t) mark || !tail_mark_matches(f->at.mark, (struct slice){t->buffer, start}))
			return;
		struct walk w = {t->buffer, start, end, f->at.offset, NULL, wall_us, 0};
		feed(t, f, (struct slice){start, end}, end - start, LOG_LINE_UNTERMINATED, wall_us);
		keep_safe(f, spot_at(&w, start), spot_at(&w, end));
		f->at.mark = tail_mark_at(t->buffer, end);
		f->at.offset += end - start;
	} else
		return;
	commit(t, f, before);
}

void
tail_read_finish(struct tail *t, struct tail_file *f)
{
	struct tail_spot before = f->safe;

	if (f->state != TAIL_READING)
		return;
	begin_turn(t, f);
	log_lines_flush(&f->lines, INT64_MAX, put_entry, t);
	f->safe = f->cut ? f->cut_start : spot_here(f);
	commit(t, f, before);
}

/* Nothing was written for so long that a line is finished, whenever it was read: an agent that is started often gets on, too. */
static bool
was_idle(const struct tail_file *f, int64_t wall_us)
{
	return f->at_end && !f->remote && wall_us - f->stat.mtime_ns / 1000 >= LOG_IDLE_US;
}

void
tail_read_held(struct tail *t, struct tail_file *f)
{
	struct tail_spot before = f->safe;
	int64_t wall_us = clock_us(CLOCK_REALTIME), due_us = log_lines_due_us(&f->lines);

	if (due_us == INT64_MAX)
		return;
	/* A clock that was set back is no reason to hold a line for longer. */
	if (due_us - wall_us > 2 * LOG_JOIN_MAX_US)
		wall_us = INT64_MAX;
	else if (was_idle(f, wall_us) && due_us - wall_us <= LOG_IDLE_US)
		wall_us = due_us;
	begin_turn(t, f);
	log_lines_flush(&f->lines, wall_us, put_entry, t);
	if (log_lines_pending(&f->lines) == 0) {
		f->safe = f->cut ? f->cut_start : spot_here(f);
		commit(t, f, before);
		return;
	}
	tail_group_end(t);
	due_us = log_lines_due_us(&f->lines) - clock_us(CLOCK_REALTIME);
	if (due_us / 1000 + 1 < f->due_ms - t->now_ms)
		f->due_ms = t->now_ms + (due_us > 0 ? due_us / 1000 + 1 : 1);
}

/* inotify tells of the next change. What was written since the last look, before the watch was there, it does not tell of. */
static void
watch(struct tail *t, struct tail_file *f)
{
	struct stat s;

	if (f->fd < 0 || f->watch >= 0 || (f->watch = tail_watch_file(&t->watch, f->fd)) < 0 ||
		fstat(f->fd, &s) < 0)
		return;
	struct tail_stat now = tail_stat_of(&s);
	if (now.size != f->stat.size || now.mtime_ns != f->stat.mtime_ns)
		f->due_ms = t->now_ms;
}

/*
 * When to look again. Looks at several files fall together. A file that is being written is looked at TAIL_HOLD_OFF_MS later, and
 * watched when there was nothing new then: a watch for each look would wake the agent a second time for the same lines.
 */
static void
plan(struct tail *t, struct tail_file *f, bool news)
{
	if (!f->at_end) {
		f->due_ms = t->now_ms;
		return;
	}
	int64_t partial_ms = f->grown_ms + TAIL_PARTIAL_MS;
	f->pause_ms = !news ? f->pause_ms + TAIL_ACTIVE_MS : f->remote ? TAIL_ACTIVE_MS : TAIL_HOLD_OFF_MS;
	if (f->pause_ms > TAIL_QUIET_MS)
		f->pause_ms = TAIL_QUIET_MS;
	f->due_ms = (t->now_ms + f->pause_ms) / TAIL_HOLD_OFF_MS * TAIL_HOLD_OFF_MS;
	if ((f->cut || (f->final && f->stat.size > f->at.offset)) && partial_ms > t->now_ms &&
		partial_ms < f->due_ms)
		f->due_ms = partial_ms;
	f->looked_ms = t->now_ms;
	if (!news)
		watch(t, f);
}

static bool
has_room(struct tail *t, struct tail_file *f)
{
	t->room_missing = spool_room(t->env->spool) < ROOM_PER_CHUNK;
	if (t->room_missing) {
		f->due_ms = t->now_ms + 1000;
		problem_occurred(&t->spool_problem, LOG_LEVEL_WARNING, t->now_ms, "full",
						 "the spool has no room for log lines: they wait in their files");
	} else
		problem_over(&t->spool_problem, t->now_ms, "there is room for log lines again");
	return !t->room_missing;
}

/* Takes note of what stat() says now; whether there is news. */
static bool
look(struct tail *t, struct tail_file *f, const struct tail_stat *fresh)
{
	bool news = fresh->size != f->stat.size || fresh->mtime_ns != f->stat.mtime_ns;

	f->stat = *fresh;
	if (news)
		f->grown_ms = t->now_ms;
	return news;
}

/* After a look that was not cut short. */
static void
look_done(struct tail *t, struct tail_file *f, bool news)
{
	if (f->stored < 0 && !commit(t, f, f->safe))
		return;
	plan(t, f, news);
	if (f->at_end && t->now_ms - f->grown_ms >= TAIL_PARTIAL_MS)
		take_unterminated(t, f);
	tail_read_held(t, f);
}

/* There is something to read, but no room for it: to be found again. */
static void
leave(struct tail_file *f)
{
	f->stat.mtime_ns = -1;
	f->at_end = false;
}

int64_t
tail_read(struct tail *t, struct tail_file *f)
{
	struct stat s;
	int64_t total = 0, got = 0;

	if (fstat(f->fd, &s) < 0 || !have_buffer(t)) {
		f->due_ms = t->now_ms + TAIL_QUIET_MS;
		return 0;
	}
	struct tail_stat fresh = tail_stat_of(&s);
	bool news = look(t, f, &fresh);
	begin_turn(t, f);
	if (news || !f->at_end) {
		if (!has_room(t, f)) {
			leave(f);
			return 0;
		}
		if (f->stat.size < f->at.offset) {
			restart(t, f);
			return 0;
		}
		while (total < TAIL_TURN_BYTES && (got = read_chunk(t, f)) > 0) {
			total += got;
			if (f->at_end || spool_room(t->env->spool) < ROOM_PER_CHUNK)
				break;
		}
		if (got < 0) /* begun again, refused or unreadable: due_ms says when */
			return total;
	}
	look_done(t, f, news);
	return total;
}

void
tail_read_piece(struct tail *t, struct tail_file *f)
{
	const struct tail_piece *piece = f->piece;
	size_t len = piece->bytes;

	if (!have_buffer(t))
		return;
	bool news = look(t, f, &piece->stat);
	begin_turn(t, f);
	if (news || !f->at_end) {
		if (!has_room(t, f)) {
			leave(f);
			return;
		}
		if (f->stat.size < f->at.offset) {
			restart(t, f);
			return;
		}
		if (piece->from != f->at.offset - f->at.mark.len)
			return; /* asked for before it was begun again */
		if (len > t->buffer_size)
			len = t->buffer_size;
		memcpy(t->buffer, (const char *) (piece + 1) + piece->head_bytes, len);
		if (!take_chunk(t, f, len, piece->from + (int64_t) len >= f->stat.size))
			return;
	}
	look_done(t, f, news);
}
