/* tail.c: The source that follows log files: whose turn it is, what wakes it, what it says about itself. See tail.h for its parts. */
#include "collector/tail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "collector/tail_parts.h"
#include "common/strbuf.h"

#define ZONES_PERIOD_MS 900000

static void *
resize(void *arg, void *p, size_t size)
{
	if (size > 0)
		return realloc(p, size);
	free(p);
	return NULL;
}

void
tail_pattern_key(const struct tail_pattern *p, char *key, size_t size)
{
	char printable[4096];

	slice_printable(slice_of(p->pattern), printable, sizeof printable);
	snprintf(key, size, "pattern %s", printable);
}

/* --- configuration */

/* Seconds east of UTC, now. NULL: the machine's zone. */
static int32_t
zone_offset(const char *name)
{
	char *saved = getenv("TZ") ? strdup(getenv("TZ")) : NULL;
	time_t now = time(NULL);
	struct tm local = {0};

	if (name)
		setenv("TZ", name, 1);
	tzset();
	localtime_r(&now, &local);
	if (name && saved)
		setenv("TZ", saved, 1);
	else if (name)
		unsetenv("TZ");
	tzset();
	free(saved);
	return (int32_t) local.tm_gmtoff;
}

static void
apply_pattern(struct tail *t, struct tail_file *f)
{
	f->lines.level = t->pattern[f->source].level;
	f->lines.zone_s = t->pattern[f->source].zone_s;
	f->lines.zone_given = t->pattern[f->source].zone_given;
}

/* Summer time begins and ends while the agent runs. */
static void
refresh_zones(struct tail *t)
{
	for (int i = 0; i < t->patterns; i++)
		t->pattern[i].zone_s = zone_offset(t->env->config->logs[i].timezone);
	for (int i = 0; i < t->files; i++)
		apply_pattern(t, t->file[i]);
	t->zones_ms = t->now_ms;
}

static void
refresh_marks(struct tail *t)
{
	char key[4200];

	for (int i = 0; i < t->patterns; i++) {
		tail_pattern_key(&t->pattern[i], key, sizeof key);
		t->pattern[i].marked = spool_position(t->env->spool, key) != NULL;
	}
}

static void
free_patterns(struct tail_pattern *p, int count)
{
	for (int i = 0; i < count; i++) {
		free(p[i].pattern);
		free(p[i].level);
	}
	free(p);
}

static bool
read_config(struct tail *t)
{
	const struct config *c = t->env->config;
	struct tail_pattern *fresh = calloc((size_t) c->log_count + 1, sizeof *fresh);

	for (int i = 0; fresh && i < c->log_count; i++) {
		fresh[i].pattern = strdup(c->logs[i].pattern);
		fresh[i].level = strdup(c->logs[i].level ? c->logs[i].level : "info");
		fresh[i].zone_given = c->logs[i].timezone != NULL;
		if (!fresh[i].pattern || !fresh[i].level) {
			free_patterns(fresh, i + 1);
			fresh = NULL;
			break;
		}
		for (int old = 0; old < t->patterns; old++)
			if (strcmp(t->pattern[old].pattern, fresh[i].pattern) == 0)
				fresh[i].scanned = t->pattern[old].scanned;
	}
	if (!fresh) {
		log_line(LOG_LEVEL_ERROR, "out of memory: log files are not read");
		return false;
	}
	tail_remote_forget(t);
	/* Files of patterns that went are let go; their positions stay. */
	for (int i = t->files - 1; i >= 0; i--) {
		struct tail_file *f = t->file[i];
		int now = 0;
		while (now < c->log_count && strcmp(fresh[now].pattern, t->pattern[f->source].pattern) != 0)
			now++;
		if (now < c->log_count)
			f->source = now;
		else
			tail_file_remove(t, f, false);
	}
	free_patterns(t->pattern, t->patterns);
	t->pattern = fresh;
	t->patterns = c->log_count;
	refresh_marks(t);
	refresh_zones(t);
	return true;
}

/* --- life */

static void
stop(void *source, int64_t now_ms)
{
	struct tail *t = source;

	t->now_ms = now_ms;
	tail_group_end(t);
	/* Lines that are held back stay in their files: their positions were not passed. */
	while (t->files > 0)
		tail_file_remove(t, t->file[t->files - 1], false);
	tail_drop_stored(t);
	free_patterns(t->pattern, t->patterns);
	tail_watch_close(&t->watch);
	tail_remote_forget(t);
	tail_mounts_free(&t->mounts);
	log_workspace_free(&t->space);
	free(t->file);
	free(t->buffer);
	free(t);
}

static void *
start(const struct source_env *env, int64_t now_ms)
{
	struct tail *t = env->config->log_count > 0 ? calloc(1, sizeof *t) : NULL;

	if (!t) {
		if (env->config->log_count > 0)
			log_line(LOG_LEVEL_ERROR, "out of memory: log files are not read");
		return NULL;
	}
	t->env = env;
	t->now_ms = now_ms;
	t->database_known = env->database_known;
	t->scanned_us = clock_us(CLOCK_REALTIME);
	t->scan_ms = now_ms - TAIL_RESCAN_MS;
	log_workspace_init(&t->space, (struct log_memory){resize, NULL});
	tail_watch_open(&t->watch);
	if (!read_config(t)) {
		stop(t, now_ms);
		return NULL;
	}
	tail_load_stored(t);
	return t;
}

static void
reload(void *source, int64_t now_ms)
{
	struct tail *t = source;

	t->now_ms = now_ms;
	read_config(t);
	t->scan_hinted = true;
}

/* --- turns */

static void
take_hint(void *into, int watch)
{
	struct tail *t = into;

	for (int i = 0; i < t->files && watch >= 0; i++) {
		struct tail_file *f = t->file[i];
		if (f->watch != watch)
			continue;
		f->watch = -1; /* it was for one event */
		int64_t due_ms = t->now_ms - f->looked_ms >= TAIL_HOLD_OFF_MS
							 ? t->now_ms
							 : (t->now_ms / TAIL_HOLD_OFF_MS + 1) * TAIL_HOLD_OFF_MS;
		if (due_ms < f->due_ms)
			f->due_ms = due_ms;
		return;
	}
	t->scan_hinted = true;
}

static int64_t
scan_due_ms(const struct tail *t)
{
	return t->scan_ms + (t->scan_hinted ? TAIL_HINTED_MS : TAIL_RESCAN_MS);
}

static int64_t
take_turn(struct tail *t, struct tail_file *f)
{
	bool rest = f->final && f->stat.size > f->at.offset; /* its last line, without newline */
	bool partial = f->remote ? f->cut || rest : rest && !f->gone;
	if (f->fd < 0 && f->at_end && f->stat.mtime_ns >= 0 && !partial) {
		f->due_ms = t->now_ms + TAIL_QUIET_MS; /* closed, and the last scan saw nothing new */
		tail_read_held(t, f);
		return 0;
	}
	if (f->remote) {
		f->wanted = true;
		f->due_ms = t->now_ms + TAIL_QUIET_MS;
		return 0;
	}
	int error = tail_file_open(t, f);
	if (error == 0)
		return tail_read(t, f);
	f->due_ms = t->now_ms + TAIL_ACTIVE_MS;
	if (error == ENOENT || error == ESTALE)
		t->scan_hinted = true;
	else if (error != EMFILE) {
		f->due_ms = t->now_ms + TAIL_QUIET_MS;
		tail_list_problem(t, f->path, "cannot be read", error);
	}
	return 0;
}

static void
take_turns(struct tail *t)
{
	int64_t bytes = 0;
	int taken = 0, passed = 0;

	for (; passed < t->files && bytes < TAIL_RUN_BYTES && taken < TAIL_RUN_FILES; passed++) {
		if (t->cursor >= t->files)
			t->cursor = 0;
		struct tail_file *f = t->file[t->cursor++];
		if (f->state != TAIL_READING || f->copy_first || f->due_ms > t->now_ms)
			continue;
		bytes += take_turn(t, f);
		tail_group_end(t);
		taken++;
	}
}

static void
learn_from_database(struct tail *t)
{
	t->database_known = true;
	tail_load_stored(t);
	refresh_marks(t);
	t->first_scan_done = false;
	t->scan_ms = t->now_ms - TAIL_RESCAN_MS;
}

static void
run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct tail *t = source;

	t->now_ms = now_ms;
	if (waiting_ready(w, t->watch.fd))
		tail_watch_read(&t->watch, take_hint, t);
	if (t->env->database_known && !t->database_known)
		learn_from_database(t);
	if (now_ms - t->zones_ms >= ZONES_PERIOD_MS)
		refresh_zones(t);
	if (now_ms >= scan_due_ms(t)) {
		t->scan_hinted = false;
		tail_scan(t);
		tail_close_gone(t);
	}
	take_turns(t);
	tail_remote_run(t);
}

static void
wait(const void *source, struct waiting *w)
{
	const struct tail *t = source;

	waiting_fd(w, t->watch.fd, POLLIN);
	waiting_until(w, scan_due_ms(t));
	for (int i = 0; i < t->files; i++)
		if (t->file[i]->state == TAIL_READING && !t->file[i]->copy_first)
			waiting_until(w, t->file[i]->due_ms);
}

/* --- for people */

/* Bytes that are in files and not in the spool yet. */
static int64_t
lag_bytes(const struct tail *t)
{
	int64_t lag = 0;

	for (int i = 0; i < t->files; i++) {
		const struct tail_file *f = t->file[i];
		if (f->state == TAIL_READING && f->stat.size > f->safe.offset)
			lag += f->stat.size - f->safe.offset;
	}
	return lag;
}

static void
measure(const void *source, struct samples *s, int64_t now_ms)
{
	const struct tail *t = source;

	samples_put(s, "observ_agent_open_log_files", t->open, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_put(s, "observ_agent_log_lag_bytes", (double) lag_bytes(t), SAMPLE_GAUGE, SAMPLES_NO_MORE);
	/* What is hardly ever there is no daily bread: an idle agent sends little. */
	if (t->scan_problems > 0)
		samples_put(s, "observ_agent_log_file_problems", t->scan_problems, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	if (t->lines_cut > 0)
		samples_put(s, "observ_agent_log_lines_truncated_total", (double) t->lines_cut, SAMPLE_COUNTER,
					SAMPLES_NO_MORE);
	if (t->data_lost > 0)
		samples_put(s, "observ_agent_log_lost_bytes_total", (double) t->data_lost, SAMPLE_COUNTER,
					SAMPLES_NO_MORE);
}

static void
describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct tail *t = source;
	int gone = 0, ignored = 0, held = 0, odd = 0;

	for (int i = 0; i < t->files; i++) {
		const struct tail_file *f = t->file[i];
		gone += f->gone;
		ignored += f->state == TAIL_IGNORED;
		held += f->state == TAIL_WAITING || f->state == TAIL_COPY;
	}
	for (int i = 0; i < t->patterns; i++) {
		odd += t->pattern[i].odd;
		if (t->pattern[i].files == 0)
			strbuf_printf(out, "nothing matches: %s\n", t->pattern[i].pattern);
		if (t->pattern[i].cut)
			strbuf_printf(out, "too many to be listed: %s\n", t->pattern[i].pattern);
	}
	strbuf_printf(out, "files: %d\nopen: %d\nlag_bytes: %lld\n", t->files - gone - ignored, t->open,
				  (long long) lag_bytes(t));
	strbuf_printf(out, "rotated, still read: %d\ncompressed, ignored: %d\nno regular files: %d\n", gone,
				  ignored, odd);
	strbuf_printf(out, "lines: %lld\nlines_truncated: %lld\ntruncated files: %lld\nlost_bytes: %lld\n",
				  (long long) t->lines_read, (long long) t->lines_cut, (long long) t->truncations,
				  (long long) t->data_lost);
	if (held > 0)
		strbuf_printf(out, "waiting: %d (for the database's positions, or for the end of a copy)\n", held);
	if (t->scan_problems > 0)
		strbuf_printf(out, "cannot be read: %d, see the log\n", t->scan_problems);
	tail_remote_describe(t, out);
	if (t->room_missing)
		strbuf_puts(out, "paused: the spool has no room, lines wait in their files\n");
}

const struct source_ops tail_source = {"logs", start, reload, run, wait, stop, describe, measure};
