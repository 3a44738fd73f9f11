/* status.c: The state file, written and read. See status.h for what belongs here. */
#include "collector/status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "collector/log.h"
#include "collector/notify.h"
#include "collector/state_dir.h"
#include "collector/version.h"

#define STALE_S        60
#define MAX_FILE_BYTES 65536

/* --- writing */

static void
put_time(struct strbuf *b, const char *name, int64_t us)
{
	strbuf_printf(b, "%s: ", name);
	encode_timestamp(b, us);
	strbuf_putc(b, '\n');
}

/* Text of somebody else on one line. */
static void
put_text(struct strbuf *b, const char *name, const char *text)
{
	char line[400];

	slice_printable(slice_of(text), line, sizeof line);
	strbuf_printf(b, "%s: %s\n", name, line);
}

static void
put_number(struct strbuf *b, const char *name, int64_t n)
{
	strbuf_printf(b, "%s: %lld\n", name, (long long) n);
}

/* Of the oldest record that waits, seconds. */
static int64_t
lag_s(const struct spool_state *spool)
{
	int64_t us = spool->records > 0 ? clock_us(CLOCK_REALTIME) - spool->oldest_us : 0;

	return us > 0 ? us / 1000000 : 0;
}

static void
put_delivery(struct strbuf *b, const struct agent_view *a, const struct spool_state *spool, int64_t now_ms)
{
	static const char *const states[] = {[WRITER_DOWN] = "down",
										 [WRITER_CONNECTING] = "connecting",
										 [WRITER_IDLE] = "connected",
										 [WRITER_BUSY] = "connected"};
	static const char *const ranks[RANKS] = {"dropped_metrics", "dropped_log_lines", "dropped_warnings",
											 "dropped_errors_and_events"};
	const struct writer *w = a->writer;

	strbuf_printf(b, "database: %s\n", states[w->state]);
	if (w->delivered_ms)
		put_time(b, "last_flush", clock_us(CLOCK_REALTIME) - (now_ms - w->delivered_ms) * 1000);
	put_number(b, "lag_s", lag_s(spool));
	put_number(b, "rows_sent", w->rows_sent);
	put_number(b, "reconnects", w->reconnects);
	if (w->offset_known)
		put_number(b, "clock_offset_ms", w->offset_us / 1000);
	put_number(b, "spool_records", spool->records);
	put_number(b, "spool_bytes", spool->bytes);
	strbuf_printf(b, "spool_on_disk: %s\n", spool->on_disk ? "true" : "false");
	if (spool->problem[0])
		put_text(b, "spool_problem", spool->problem);
	for (int i = 0; i < RANKS; i++)
		put_number(b, ranks[i], spool->dropped[i]);
	put_number(b, "thinned", spool->thinned);
	put_number(b, "damaged", spool->damaged);
}

/* Each line of what a source says, with its name before it. */
static void
put_source(struct strbuf *b, const struct source_ops *ops, const void *source, int64_t now_ms)
{
	struct strbuf said = STRBUF_INIT;
	struct slice rest, line;
	char text[400];

	ops->describe(source, &said, now_ms);
	rest = (struct slice){said.data, said.data + said.len};
	while (said.data && slice_line(&rest, &line)) {
		slice_printable(line, text, sizeof text);
		strbuf_printf(b, "%s.%s\n", ops->name, text);
	}
	strbuf_free(&said);
}

static void
put_everything(struct strbuf *b, const struct agent_view *a, const struct spool_state *spool, int64_t now_ms)
{
	const struct options *o = a->env->options;
	int64_t problem_us;
	const char *problem = log_last_problem(&problem_us);

	put_text(b, "version", OBSERV_VERSION);
	put_number(b, "pid", getpid());
	put_text(b, "vps_name", o->vps_name);
	put_text(b, "app_name", o->app_name);
	put_text(b, "agent_id", a->agent_id);
	put_text(b, "config", o->config);
	put_time(b, "started", a->started_us);
	put_time(b, "written", clock_us(CLOCK_REALTIME));
	put_number(b, "written_us", clock_us(CLOCK_REALTIME));
	if (a->boot_id[0])
		put_text(b, "boot_id", a->boot_id);
	put_delivery(b, a, spool, now_ms);
	put_number(b, "stuck_helpers", desk_stuck(a->env->desk, now_ms));
	if (problem[0]) {
		put_text(b, "last_error", problem);
		put_time(b, "last_error_at", problem_us);
	}
	for (int i = 0; sources[i]; i++)
		if (a->source[i] && sources[i]->describe)
			put_source(b, sources[i], a->source[i], now_ms);
}

void
status_write(const struct agent_view *a, const struct spool_state *spool, int64_t now_ms)
{
	struct strbuf b = STRBUF_INIT;
	char path[STATE_PATH_MAX];

	put_everything(&b, a, spool, now_ms);
	/* Where it can't be written, `obs-agent status` finds that it is old. */
	state_dir_file(a->env->options, "status", path, sizeof path);
	state_file_replace(path, &b, 0644);
	strbuf_free(&b);
	notify_systemd("STATUS=%s, %lld records wait (%lld s)",
				   problem_active(&a->writer->problem) ? "the database does not take rows"
													   : "the database takes rows",
				   (long long) spool->records, (long long) lag_s(spool));
}

/* --- reading */

static bool
read_file(const struct options *o, struct strbuf *out)
{
	char path[STATE_PATH_MAX], block[4096];
	ssize_t got = 0;

	state_dir_file(o, "status", path, sizeof path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	while (out->len < MAX_FILE_BYTES && (got = read(fd, block, sizeof block)) > 0)
		strbuf_add(out, block, (size_t) got);
	int error = errno;
	close(fd);
	errno = error;
	return got == 0 && out->len > 0;
}

/* Splits "NAME: VALUE". */
static bool
split(struct slice line, struct slice *name, struct slice *value)
{
	const char *colon = memmem(line.p, (size_t) (line.end - line.p), ": ", 2);

	if (!colon)
		return false;
	*name = (struct slice){line.p, colon};
	*value = (struct slice){colon + 2, line.end};
	return true;
}

static bool
find(const struct strbuf *file, const char *wanted, char *out, size_t size)
{
	struct slice rest = {file->data, file->data + file->len}, line, name, value;

	while (slice_line(&rest, &line))
		if (split(line, &name, &value) && slice_equals(name, wanted))
			return slice_copy(value, out, size);
	return false;
}

bool
status_previous(const struct options *o, const char *name, char *value, size_t size)
{
	struct strbuf file = STRBUF_INIT;
	bool found = read_file(o, &file) && find(&file, name, value, size);

	strbuf_free(&file);
	return found;
}

/* An agent that runs has locked its identity; where that can't be seen its process id has to do. */
static bool
is_running(const struct options *o, const struct strbuf *file)
{
	char path[STATE_PATH_MAX], text[24];
	int64_t pid;

	state_dir_file(o, "agent_id", path, sizeof path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		bool locked = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
		close(fd);
		return locked;
	}
	return find(file, "pid", text, sizeof text) && slice_to_i64(slice_of(text), &pid) && pid > 1 &&
		   (kill((pid_t) pid, 0) == 0 || errno == EPERM);
}

/* A number as JSON has them: without zeros in front. */
static bool
is_json_number(struct slice s)
{
	int64_t n;

	if (s.p < s.end && *s.p == '-')
		s.p++;
	return slice_to_i64(s, &n) && (*s.p != '0' || s.end - s.p == 1);
}

/* Names are text whatever they look like. */
static void
json_value(struct strbuf *b, struct slice name, struct slice value)
{
	bool text = slice_equals(name, "vps_name") || slice_equals(name, "app_name");

	if (!text && (is_json_number(value) || slice_equals(value, "true") || slice_equals(value, "false")))
		strbuf_add(b, value.p, (size_t) (value.end - value.p));
	else
		encode_json_text(b, value);
}

/* {"running": …, NAME: VALUE, …, "sources": {SOURCE: [LINE, …]}} */
static void
print_json(struct strbuf *b, bool running, const struct strbuf *file)
{
	struct slice rest = {file->data, file->data + file->len}, line, name, value, source = {NULL, NULL};
	bool in_sources = false;

	strbuf_printf(b, "{\"running\": %s", running ? "true" : "false");
	while (slice_line(&rest, &line)) {
		const char *dot = memchr(line.p, '.', (size_t) (line.end - line.p));
		if (!split(line, &name, &value))
			continue;
		if (!dot || dot >= name.end) {
			if (in_sources)
				continue; /* they come last */
			strbuf_puts(b, ", ");
			encode_json_text(b, name);
			strbuf_puts(b, ": ");
			json_value(b, name, value);
			continue;
		}
		struct slice of = {line.p, dot};
		if (!source.p || slice_compare(source, of) != 0) {
			strbuf_puts(b, source.p ? "], " : ", \"sources\": {");
			encode_json_text(b, of);
			strbuf_puts(b, ": [");
			source = of;
			in_sources = true;
		} else
			strbuf_puts(b, ", ");
		encode_json_text(b, (struct slice){dot + 1, line.end});
	}
	strbuf_puts(b, in_sources ? "]}}\n" : "}\n");
}

int
status_run(const struct options *o)
{
	struct strbuf file = STRBUF_INIT, out = STRBUF_INIT;
	char path[STATE_PATH_MAX], text[24];
	int64_t written_us = 0, age_s;

	if (!read_file(o, &file)) {
		state_dir_file(o, "status", path, sizeof path);
		log_line(LOG_LEVEL_ERROR, "no state of an agent in %s: %s", path,
				 errno == ENOENT ? "it has not run, or has other --vps-name, --app-name or --state-dir"
								 : strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	if (find(&file, "written_us", text, sizeof text))
		slice_to_i64(slice_of(text), &written_us);
	age_s = (clock_us(CLOCK_REALTIME) - written_us) / 1000000;
	bool running = is_running(o, &file), stale = running && age_s > STALE_S;
	if (o->json)
		print_json(&out, running && !stale, &file);
	else
		strbuf_printf(&out, "running: %s, as of %lld s ago\n%s",
					  stale     ? "hangs (the process is there, but does not write its state)"
					  : running ? "yes"
								: "no",
					  (long long) age_s, file.data);
	bool printed = !out.failed && write(STDOUT_FILENO, out.data, out.len) == (ssize_t) out.len;
	strbuf_free(&out);
	strbuf_free(&file);
	return printed && running && !stale ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}
