/* tail_find.c: Which files the patterns mean now, and which are not there any more. See tail_parts.h. */
#include "collector/tail_parts.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"

#define FILE_CLOCK_US 20000 /* times of files are that coarse: a tick of the kernel, with room to spare */

void
tail_list_problem(struct tail *t, const char *path, const char *what, int error)
{
	t->scan_problems++;
	problem_occurred(&t->list_problem, LOG_LEVEL_WARNING, t->now_ms, path, "log file \"%s\" %s: %s", path,
					 what, strerror(error));
}

static bool
is_pattern(const char *path)
{
	return strpbrk(path, "*?[") != NULL;
}

/* A rotated file that a pattern still means: nobody completes its last line. One that is given its name back goes on. */
static void
now_called(struct tail *t, struct tail_file *f, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return;
	if (tail_is_rotated(f->path, path)) {
		f->final = true;
		f->grown_ms = t->now_ms;
	} else if (tail_is_rotated(path, f->path))
		f->final = false;
	free(f->path);
	f->path = copy;
}

void
tail_found(struct tail *t, int source, const char *path, const struct tail_stat *st)
{
	struct tail_file *f = tail_file_find(t, st->dev, st->ino);

	t->pattern[source].files++;
	if (!S_ISREG(st->mode)) {
		t->pattern[source].odd++;
		return;
	}
	/* An inode is used again at once: what rotation deletes, compressed, gives its own to the new file. */
	if (f && f->state == TAIL_IGNORED && (st->size != f->stat.size || st->mtime_ns != f->stat.mtime_ns)) {
		tail_file_remove(t, f, false);
		f = NULL;
	}
	if (!f && t->pattern[source].remote)
		tail_remote_arrived(t, source, path, st, false);
	else if (!f)
		tail_adopt(t, source, path, st);
	if (!f)
		return;
	if (f->scan == t->scan)
		return; /* by another name, or another pattern */
	f->scan = t->scan;
	if (f->gone)
		f->gone = f->final = false; /* it is back */
	if (strcmp(f->path, path) != 0)
		now_called(t, f, path);
	if (f->fd < 0 && f->state == TAIL_READING &&
		(st->size != f->stat.size || st->mtime_ns != f->stat.mtime_ns)) {
		f->stat.mtime_ns = -1;
		f->at_end = false;
		f->due_ms = t->now_ms;
	}
}

/* A wildcard or a link that meets a network filesystem on its way: it is not followed, and said so. */
static bool
is_refused(struct tail *t, const char *path)
{
	if (!tail_mounts_may_hang(&t->mounts, path))
		return false;
	tail_list_problem(
		t, path, "is on a network filesystem, and needs a pattern that begins with its directory", EREMOTE);
	errno = EREMOTE;
	return true;
}

/* Whoever writes into a directory of logs can put a link there; the agent may read what he may not: its password. */
static bool
is_own_secret(const struct tail *t, const struct stat *s)
{
	const char *own = t->env->options->config;
	struct stat c;

	return own && stat(own, &c) == 0 && c.st_ino == s->st_ino && c.st_dev == s->st_dev;
}

/* One path of a pattern. */
static void
look_at(struct tail *t, int source, const char *path)
{
	struct stat s;

	if (is_refused(t, path))
		return;
	if (stat(path, &s) < 0) {
		/* A link that leads nowhere, a loop, a directory that may not be entered: said. A file that is not there yet: it may come. */
		struct stat link;
		int error = errno;
		if (error != ENOENT || (lstat(path, &link) == 0 && S_ISLNK(link.st_mode)))
			tail_list_problem(t, path, "cannot be found", error);
		return;
	}
	if (is_own_secret(t, &s)) {
		tail_list_problem(t, path, "is the configuration of obs-agent, and is not read", EPERM);
		return;
	}
	struct tail_stat st = tail_stat_of(&s);
	tail_found(t, source, path, &st);
}

/* glob() tells of directories that it cannot read through a function without an argument. */
static struct tail *globbing;

static int
glob_problem(const char *path, int error)
{
	if (error != ENOENT && error != ENOTDIR && error != EREMOTE)
		tail_list_problem(globbing, path, "is a directory that cannot be read", error);
	return 0;
}

/* What glob() does with directories, but for those that are refused. */

static void *
local_opendir(const char *path)
{
	return is_refused(globbing, path) ? NULL : opendir(path);
}

static struct dirent *
local_readdir(void *d)
{
	return readdir(d);
}

static void
local_closedir(void *d)
{
	closedir(d);
}

static int
local_lstat(const char *restrict path, struct stat *restrict s)
{
	return is_refused(globbing, path) ? -1 : lstat(path, s);
}

static int
local_stat(const char *restrict path, struct stat *restrict s)
{
	return is_refused(globbing, path) ? -1 : stat(path, s);
}

static void
expand(struct tail *t, int source)
{
	glob_t found = {.gl_opendir = local_opendir,
					.gl_readdir = local_readdir,
					.gl_closedir = local_closedir,
					.gl_lstat = local_lstat,
					.gl_stat = local_stat};

	globbing = t;
	if (glob(t->pattern[source].pattern, t->mounts.count > 0 ? GLOB_ALTDIRFUNC : 0, glob_problem, &found) ==
		0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			look_at(t, source, found.gl_pathv[i]);
	globfree(&found);
}

static void
watch_directory_of(struct tail *t, const char *path)
{
	char directory[4096];
	const char *slash = strrchr(path, '/');

	if (slash && slash - path < (long) sizeof directory) {
		snprintf(directory, sizeof directory, "%.*s", (int) (slash - path + 1), path);
		tail_watch_directory(&t->watch, directory);
	}
}

/* New files are seen sooner; directories beyond the first few are looked at each TAIL_RESCAN_MS all the same. */
static void
watch_directories(struct tail *t)
{
	const char *last = "";
	int watched = 0;

	for (int i = 0; i < t->patterns; i++)
		if (!is_pattern(t->pattern[i].pattern) && !t->pattern[i].remote)
			watch_directory_of(t, t->pattern[i].pattern);
	for (int i = 0; i < t->files && watched < TAIL_MAX_OPEN; i++) {
		const char *path = t->file[i]->path, *slash = strrchr(path, '/');
		size_t len = slash ? (size_t) (slash - path) + 1 : 0;
		if (t->file[i]->remote)
			continue;
		if (len > 0 && strncmp(last, path, len) == 0 && !strchr(last + len, '/'))
			continue;
		watch_directory_of(t, path);
		last = path;
		watched++;
	}
}

void
tail_say_missing(struct tail *t, int source)
{
	struct tail_pattern *p = &t->pattern[source];

	if (p->files > 0)
		p->missing = false;
	else if (!p->missing) {
		p->missing = true;
		log_line(LOG_LEVEL_INFO, "no file matches \"%s\" yet", p->pattern);
	}
}

/* A file that its path does not lead to any more. */
static void
now_gone(struct tail *t, struct tail_file *f, int64_t since_us)
{
	f->gone = f->final = true;
	f->grown_ms = t->now_ms;
	f->due_ms = t->now_ms;
	tail_adopt_siblings(t, f->source, f->path, since_us);
}

void
tail_pattern_done(struct tail *t, int source)
{
	struct tail_pattern *p = &t->pattern[source];
	char key[4200];

	p->scanned = true;
	if (p->marked || !t->database_known)
		return;
	tail_pattern_key(p, key, sizeof key);
	tail_put_mark(t, key, "looked at");
	p->marked = true;
}

/* Positions of what was taken up, and that the patterns were looked at, in one group: all of it or nothing. */
static void
write_down(struct tail *t)
{
	for (int i = 0; i < t->patterns; i++)
		if (!t->pattern[i].remote)
			tail_pattern_done(t, i);
	bool kept = tail_group_end(t);
	for (int i = 0; i < t->patterns && !kept; i++)
		t->pattern[i].marked &= t->pattern[i].remote;
	for (int i = 0; i < t->files && !kept; i++)
		t->file[i]->stored = -1;
}

void
tail_scan(struct tail *t)
{
	int64_t since_us = t->scanned_us - FILE_CLOCK_US;
	bool first = !t->first_scan_done;

	t->scan++;
	t->scan_problems = 0;
	t->scanned_us = clock_us(CLOCK_REALTIME);
	tail_mounts_read(&t->mounts, t->env->options->proc_root);
	for (int i = 0; i < t->patterns; i++) {
		t->pattern[i].remote = tail_mounts_may_hang(&t->mounts, t->pattern[i].pattern);
		if (t->pattern[i].remote)
			continue;
		t->pattern[i].files = t->pattern[i].odd = 0;
		if (is_pattern(t->pattern[i].pattern))
			expand(t, i);
		else {
			int files = t->files;
			look_at(t, i, t->pattern[i].pattern);
			/* A file that came and went between two looks. */
			if (!first && (t->files > files || t->pattern[i].files == 0))
				tail_adopt_siblings(t, i, t->pattern[i].pattern, since_us);
		}
		tail_say_missing(t, i);
	}
	/* Those that were rotated away: by index, the list grows on the way. */
	for (int i = 0; i < t->files; i++) {
		struct tail_file *f = t->file[i];
		if (f->scan != t->scan && !f->gone && !f->remote)
			now_gone(t, f, since_us);
		else if (f->before.offset > 0 && f->before_ms >= t->scan_ms)
			tail_adopt_siblings(t, f->source, f->path,
								INT64_MAX); /* truncated: the copy has what was unread */
		/* In one group with the copy's. */
		if (f->copy_first && f->state == TAIL_READING)
			tail_put_position(t, f);
		f->copy_first = false;
	}
	tail_adopt_waiting(t);
	if (!t->first_scan_done) {
		tail_adopt_stored(t);
		t->first_scan_done = true;
	}
	write_down(t);
	watch_directories(t);
	if (t->scan_problems == 0)
		problem_over(&t->list_problem, t->now_ms, "all log files can be read again");
	t->scan_ms = t->now_ms;
}

/* --- files that are gone */

static bool
path_is_taken(const struct tail *t, const struct tail_file *gone)
{
	for (int i = 0; i < t->files; i++)
		if (!t->file[i]->gone && strcmp(t->file[i]->path, gone->path) == 0)
			return true;
	return false;
}

/* That the files at this path were seen now keeps what is closed here from being taken for new after a restart. */
static void
freshen(struct tail *t, const char *path)
{
	for (int i = 0; i < t->files; i++)
		if (!t->file[i]->gone && t->file[i]->state == TAIL_READING && strcmp(t->file[i]->path, path) == 0)
			tail_put_position(t, t->file[i]);
}

static void
drop_file(struct tail *t, struct tail_file *f, const char *why)
{
	int64_t lost = f->stat.size - f->at.offset;
	struct strbuf data = STRBUF_INIT;
	char path[512], message[300];

	tail_read_finish(t, f);
	slice_printable(slice_of(f->path), path, sizeof path);
	snprintf(message, sizeof message, "log lines were lost: %s", why);
	strbuf_printf(&data, "{\"reason\": \"deleted_log_file\", \"bytes\": %lld, \"file\": ", (long long) lost);
	strbuf_json_string(&data, path);
	strbuf_puts(&data, "}");
	log_line(LOG_LEVEL_WARNING, "\"%s\": %s; %lld bytes are lost", path, why, (long long) lost);
	tail_put_event(t, "data_lost", message, data.data);
	strbuf_free(&data);
	t->data_lost += lost;
	tail_file_remove(t, f, true);
	tail_group_end(t);
}

/* Files that are deleted but held open take room on the disk that nobody sees: the oldest go first. */
static void
limit_pinned(struct tail *t)
{
	int64_t pinned = 0, limit = (int64_t) t->env->config->pinned_max_mb << 20;
	struct tail_file *oldest = NULL;
	struct statvfs s;

	for (int i = 0; i < t->files; i++) {
		struct tail_file *f = t->file[i];
		if (!f->gone || f->fd < 0 || f->stat.links > 0)
			continue;
		pinned += f->stat.disk_bytes;
		if (!oldest || f->adopted_ms < oldest->adopted_ms)
			oldest = f;
	}
	if (!oldest)
		return;
	if (fstatvfs(oldest->fd, &s) == 0) {
		int64_t tenth = ((int64_t) s.f_bavail * (int64_t) s.f_frsize + pinned) / 10;
		limit = tenth < limit ? tenth : limit;
	}
	if (pinned <= limit)
		return;
	if (oldest->at_end && oldest->stat.size <= oldest->at.offset) {
		tail_read_finish(t, oldest);
		tail_file_remove(t, oldest, true);
		tail_group_end(t);
	} else
		drop_file(t, oldest, "a deleted file was held open and took too much room (log_deleted_max_mb)");
}

void
tail_close_gone(struct tail *t)
{
	for (int i = t->files - 1; i >= 0; i--) {
		struct tail_file *f = t->file[i];
		struct stat s;
		if (f->gone && f->fd >= 0 && fstat(f->fd, &s) == 0) {
			f->stat.links = (uint32_t) s.st_nlink;
			f->stat.disk_bytes = (int64_t) s.st_blocks * 512;
		}
		int64_t quiet_ms = t->now_ms - f->grown_ms;
		if (!f->gone || quiet_ms < TAIL_DELETED_MS || (f->stat.links > 0 && quiet_ms < TAIL_RENAMED_MS))
			continue;
		if (f->state == TAIL_READING && f->fd >= 0 && (!f->at_end || f->stat.size > f->at.offset))
			continue;
		if (f->state == TAIL_READING && f->fd < 0 && f->stat.size > f->at.offset) {
			drop_file(t, f, "a rotated file could not be found again");
			continue;
		}
		tail_read_finish(t, f);
		freshen(t, f->path);
		/* Not there for a while, like a directory that is not mounted: its position is kept. */
		tail_file_remove(t, f, f->stat.links == 0 || path_is_taken(t, f));
		tail_group_end(t);
	}
	limit_pinned(t);
}
