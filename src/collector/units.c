/*
 * units.c: The source `units`: states of systemd's units.
 *
 * Belongs here: running systemctl, which units are told of one by one. Does not belong here: what it prints (core/units.h).
 *
 * systemctl is run once a minute, and a second time when the units that are told of have changed or five minutes have passed: a child
 * that is killed when it is not done in time. D-Bus by a library would cost the agent its memory, for what happens once a minute.
 */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/child.h"
#include "collector/log.h"
#include "collector/proc_files.h"
#include "collector/sample_sources.h"
#include "collector/samples.h"
#include "collector/ticks.h"
#include "core/units.h"

#define ROUND_S         60
#define ANSWER_MS       10000
#define REPEAT_MS       300000 /* what does not change is told that often */
#define UNITS_MAX       200
#define ANSWER_MAX      (1024 * 1024)
#define UNIT_NAME_BYTES 256 /* of systemd */

enum unit_metric { UNIT_IS_ACTIVE, UNIT_RESTARTS, UNIT_METRICS };

static const struct sample_metric metrics[UNIT_METRICS] = {
	[UNIT_IS_ACTIVE] = {"unit_active", SAMPLE_GAUGE},
	[UNIT_RESTARTS] = {"unit_restarts_total", SAMPLE_COUNTER},
};

struct unit {
	char name[UNIT_NAME_BYTES];
	enum unit_state state, told_state;
	int64_t restarts, told_ms; /* told_ms 0: never */
	bool seen, left_out;       /* left_out: static, and nobody asked for it */
	uint32_t sent;
};

enum step { STEP_IDLE, STEP_LIST, STEP_SHOW };

struct units {
	const struct source_env *env;
	char systemd_dir[PROC_PATH_MAX];
	struct ticks ticks;
	enum step step;
	pid_t pid;
	int fd; /* -1: none runs */
	int64_t give_up_ms, show_ms;
	int64_t round_us;
	struct strbuf answer;
	struct unit *unit[UNITS_MAX];
	int count;
	int64_t states[UNIT_STATES], told_states[UNIT_STATES];
	int64_t states_ms;      /* when the counts were told */
	bool missing, too_many; /* systemd is not running here */
	struct problem problem;
};

/* ---- systemctl */

static void
end_child(struct units *s)
{
	if (s->fd < 0)
		return;
	kill(s->pid, SIGKILL); /* not waited for: the agent ignores SIGCHLD */
	close(s->fd);
	s->fd = -1;
}

static void
fail(struct units *s, const char *why, int64_t now_ms)
{
	problem_occurred(&s->problem, LOG_LEVEL_WARNING, now_ms, why, "units: systemctl: %s", why);
	end_child(s);
	s->step = STEP_IDLE;
}

static void
ask(struct units *s, char *const argv[], enum step step, int64_t now_ms)
{
	s->step = step;
	s->give_up_ms = now_ms + ANSWER_MS;
	strbuf_reset(&s->answer);
	s->fd = child_start(argv, &s->pid);
	if (s->fd < 0)
		fail(s, strerror(errno), now_ms);
}

static void
ask_list(struct units *s, int64_t now_ms)
{
	static char *const argv[] = {"systemctl", "list-units",  "--all",      "--full",
								 "--plain",   "--no-legend", "--no-pager", NULL};

	s->round_us = clock_us(CLOCK_REALTIME);
	ask(s, argv, STEP_LIST, now_ms);
}

/* ---- which are told of */

static bool
is_wanted(const struct units *s, const struct unit_line *line, const char *name)
{
	const struct text_list *patterns = &s->env->config->unit_patterns;
	bool wanted = patterns->count == 0 && fnmatch("*.service", name, 0) == 0;

	for (int i = 0; i < patterns->count && !wanted; i++)
		wanted = fnmatch(patterns->item[i], name, 0) == 0;
	return wanted && !slice_equals(line->load, "not-found");
}

static struct unit *
find_unit(struct units *s, struct slice name)
{
	for (int i = 0; i < s->count; i++)
		if (slice_equals(name, s->unit[i]->name))
			return s->unit[i];
	return NULL;
}

/* A unit that was never seen running is not told of before it runs, unless it was asked for: most services are of that kind. */
static struct unit *
add_unit(struct units *s, const char *name, enum unit_state state)
{
	if (state == UNIT_INACTIVE && s->env->config->unit_patterns.count == 0)
		return NULL;
	struct unit *u = s->count < UNITS_MAX ? calloc(1, sizeof *u) : NULL;
	if (!u) {
		s->too_many = true;
		return NULL;
	}
	snprintf(u->name, sizeof u->name, "%s", name);
	u->restarts = -1;
	s->unit[s->count++] = u;
	s->show_ms = 0; /* its properties are not known */
	return u;
}

static void
take_list(struct units *s, struct slice text)
{
	struct unit_line line;
	char name[UNIT_NAME_BYTES];

	s->too_many = false;
	memset(s->states, 0, sizeof s->states);
	for (int i = 0; i < s->count; i++)
		s->unit[i]->seen = false;
	while (next_unit(&text, &line)) {
		enum unit_state state = unit_state(line.active);
		s->states[state]++;
		if (!slice_copy(line.name, name, sizeof name) || !is_wanted(s, &line, name))
			continue;
		struct unit *u = find_unit(s, line.name);
		if (!u)
			u = add_unit(s, name, state);
		if (!u)
			continue;
		u->seen = true;
		u->state = state;
	}
}

/* NRestarts and whether a unit is static, of those that are told of. */
static void
ask_show(struct units *s, int64_t now_ms)
{
	char *argv[UNITS_MAX + 6];
	int n = 0;

	argv[n++] = "systemctl";
	argv[n++] = "show";
	argv[n++] = "--no-pager";
	argv[n++] = "--property=Id,UnitFileState,NRestarts";
	argv[n++] = "--";
	for (int i = 0; i < s->count; i++)
		argv[n++] = s->unit[i]->name;
	argv[n] = NULL;
	s->show_ms = now_ms + REPEAT_MS;
	ask(s, argv, STEP_SHOW, now_ms);
}

static void
take_properties(struct units *s, struct slice text)
{
	struct unit_properties p;

	while (next_unit_properties(&text, &p)) {
		struct unit *u = find_unit(s, p.id);
		if (!u)
			continue;
		u->restarts = p.restarts;
		u->left_out = slice_equals(p.file_state, "static") && s->env->config->unit_patterns.count == 0;
	}
}

/* ---- what is told */

static void
tell_states(struct units *s, struct samples *samples, int64_t now_ms)
{
	if (s->states_ms && now_ms - s->states_ms < REPEAT_MS &&
		memcmp(s->states, s->told_states, sizeof s->states) == 0)
		return;
	for (int i = 0; i < UNIT_STATES; i++)
		samples_put(samples, "units", (double) s->states[i], SAMPLE_GAUGE, "state", unit_state_names[i],
					SAMPLES_NO_MORE);
	memcpy(s->told_states, s->states, sizeof s->states);
	s->states_ms = now_ms;
}

static void
tell_unit(struct unit *u, struct samples *samples, int64_t now_ms)
{
	struct series_label label = {slice_of("unit"), slice_of(u->name)};
	const double value[UNIT_METRICS] = {
		[UNIT_IS_ACTIVE] = u->state == UNIT_ACTIVE || u->state == UNIT_RELOADING,
		[UNIT_RESTARTS] = u->restarts < 0 ? (double) NAN : (double) u->restarts,
	};

	if (!u->seen) {
		samples_put_thing(samples, metrics, UNIT_METRICS, NULL, &u->sent, &label, 1);
		return;
	}
	if (u->left_out || (u->told_ms && u->told_state == u->state && now_ms - u->told_ms < REPEAT_MS))
		return;
	samples_put_thing(samples, metrics, UNIT_METRICS, value, &u->sent, &label, 1);
	u->told_state = u->state;
	u->told_ms = now_ms;
}

static void
tell(struct units *s, int64_t now_ms)
{
	struct samples samples = SAMPLES_INIT;
	int kept = 0;

	s->step = STEP_IDLE;
	samples_begin(&samples, s->env->spool, s->round_us);
	tell_states(s, &samples, now_ms);
	for (int i = 0; i < s->count; i++) {
		tell_unit(s->unit[i], &samples, now_ms);
		if (s->unit[i]->seen)
			s->unit[kept++] = s->unit[i];
		else
			free(s->unit[i]);
	}
	s->count = kept;
	samples_end(&samples);
	strbuf_free(&s->answer);
}

/* ---- rounds */

static void
begin_round(struct units *s, int64_t now_ms)
{
	/* As sd_booted(3) tells. */
	s->missing = access(s->systemd_dir, F_OK) < 0;
	if (!s->missing)
		ask_list(s, now_ms);
}

/* systemctl has said all it had to say. */
static void
take_answer(struct units *s, int64_t now_ms)
{
	struct slice text = {s->answer.data, s->answer.data + s->answer.len};
	enum step step = s->step;

	close(s->fd);
	s->fd = -1;
	if (s->answer.len == 0 || s->answer.failed) {
		fail(s, "it gave no answer", now_ms);
		return;
	}
	problem_over(&s->problem, now_ms, "systemctl answers again");
	if (step == STEP_LIST)
		take_list(s, text);
	else
		take_properties(s, text);
	if (step == STEP_LIST && now_ms >= s->show_ms && s->count > 0)
		ask_show(s, now_ms);
	else
		tell(s, now_ms);
}

static void
read_answer(struct units *s, int64_t now_ms)
{
	char part[4096];
	ssize_t got = 0;

	while (s->answer.len < ANSWER_MAX && (got = read(s->fd, part, sizeof part)) > 0)
		strbuf_add(&s->answer, part, (size_t) got);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		end_child(s);
	take_answer(s, now_ms);
}

static void
units_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct units *s = source;

	if (ticks_due(&s->ticks, s->env->options->vps_name, ROUND_S, now_ms) && s->step == STEP_IDLE)
		begin_round(s, now_ms);
	if (s->fd >= 0)
		read_answer(s, now_ms);
	if (s->fd >= 0 && now_ms >= s->give_up_ms)
		fail(s, "it did not answer in time", now_ms);
}

static void
units_wait(const void *source, struct waiting *w)
{
	const struct units *s = source;

	waiting_until(w, s->ticks.due_ms);
	waiting_fd(w, s->fd, POLLIN);
	if (s->fd >= 0)
		waiting_until(w, s->give_up_ms);
}

static void *
units_start(const struct source_env *env, int64_t now_ms)
{
	struct units *s = env->config->units ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	s->fd = -1;
	snprintf(s->systemd_dir, sizeof s->systemd_dir, "%s/run/systemd/system",
			 env->options->proc_root ? env->options->proc_root : "");
	s->ticks.due_ms = now_ms;
	return s;
}

/* Patterns may be others: what does not match any more ends with the next round, which begins at once. */
static void
units_reload(void *source, int64_t now_ms)
{
	struct units *s = source;

	s->ticks.due_ms = s->env->config->units ? now_ms : NEVER;
	s->show_ms = 0;
	if (s->env->config->units)
		return;
	end_child(s);
	for (int i = 0; i < s->count; i++)
		s->unit[i]->seen = false;
	s->round_us = clock_us(CLOCK_REALTIME);
	s->states_ms = now_ms;
	memcpy(s->told_states, s->states, sizeof s->states);
	tell(s, now_ms);
}

static void
units_stop(void *source, int64_t now_ms)
{
	struct units *s = source;

	end_child(s);
	strbuf_free(&s->answer);
	for (int i = 0; i < s->count; i++)
		free(s->unit[i]);
	free(s);
}

static void
units_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct units *s = source;

	if (s->missing) {
		strbuf_puts(out, "systemd: not running here\n");
		return;
	}
	strbuf_printf(out, "units: %lld active, %lld failed\ntold one by one: %d\n",
				  (long long) s->states[UNIT_ACTIVE], (long long) s->states[UNIT_FAILED], s->count);
	if (problem_active(&s->problem))
		strbuf_puts(out, "problem: systemctl does not answer\n");
	if (s->too_many)
		strbuf_printf(out, "problem: more than %d units match, the others are left out\n", UNITS_MAX);
}

const struct source_ops units_source = {
	.name = "units",
	.start = units_start,
	.reload = units_reload,
	.run = units_run,
	.wait = units_wait,
	.stop = units_stop,
	.describe = units_describe,
};
