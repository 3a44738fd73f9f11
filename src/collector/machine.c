/* machine.c: Ticks and rows. See machine.h for what belongs here. */
#include "collector/machine.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "collector/log.h"
#include "collector/sampler.h"
#include "core/adaptive.h"
#include "core/schedule.h"

#define FIRST_ROW_AFTER_MS 1000
#define GAP_INTERVALS      3

struct machine {
	const struct source_env *env;
	struct sampler sampler;
	struct adaptive adaptive; /* in use when the configuration says so */
	bool was_adaptive;
	int64_t interval_ms; /* until the next sample */
	bool first_planned;
	int64_t tick_ms;      /* monotonic */
	int64_t last_wall_ms; /* of the last sample */
	int64_t last_ms;      /* the same on the monotonic clock; 0: none yet */
	int64_t cpu_us;       /* that the sample has cost so far */
};

static bool
is_adaptive(const struct machine *m)
{
	return m->env->config->adaptive;
}

/* Ticks keep to the wall clock, so that a fleet stays spread; a clock that steps moves them, at most by an interval. */
static void
plan_tick(struct machine *m, int64_t now_ms)
{
	int64_t wall = clock_us(CLOCK_REALTIME) / 1000;

	m->tick_ms = now_ms +
				 next_tick_ms(wall, m->last_wall_ms, m->interval_ms,
							  splay_ms(m->env->options->vps_name, m->interval_ms)) -
				 wall;
}

/* Takes the interval from the configuration. */
static void
configure(struct machine *m, int64_t now_ms)
{
	int64_t longest = is_adaptive(m) ? ADAPTIVE_SLOWEST_MS : (int64_t) m->env->config->interval_s * 1000;

	if (is_adaptive(m) && !m->was_adaptive)
		adaptive_init(&m->adaptive, now_ms);
	m->was_adaptive = is_adaptive(m);
	m->interval_ms =
		is_adaptive(m) ? adaptive_interval_ms(&m->adaptive, m->env->hints->spool_filling, now_ms) : longest;
	m->sampler.max_gap_us = longest * 1000 * GAP_INTERVALS;
}

/* What systemd says that this machine is; container managers set it for everybody inside. */
static bool
is_lxc(void)
{
	const char *container = getenv("container");
	char text[16] = "";
	int fd = container ? -1 : open("/run/systemd/container", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, text, sizeof text - 1) > 0)
			text[strcspn(text, "\n")] = '\0';
		close(fd);
		container = text;
	}
	return container && strcmp(container, "lxc") == 0;
}

/* Inside LXC, lxcfs stands in for some files of /proc. Without it they are the host's. */
static void
warn_about_lxc(const struct machine *m)
{
	char path[600];
	struct statfs s;

	if (!is_lxc())
		return;
	snprintf(path, sizeof path, "%s/meminfo", m->sampler.reader.proc);
	if (statfs(path, &s) == 0 && s.f_type != FUSE_SUPER_MAGIC)
		log_line(LOG_LEVEL_WARNING,
				 "in an LXC container, but %s is not lxcfs's: memory and CPU are the host's; see "
				 "deploy/lxc.conf",
				 path);
}

static void *
machine_start(const struct source_env *env, int64_t now_ms)
{
	/* Static: large, and only what is used of it costs memory. */
	static struct machine machine;
	struct machine *m = &machine;

	m->env = env;
	m->last_wall_ms = INT64_MIN;
	if (sampler_init(&m->sampler, env->desk, env->options->proc_root, 0, now_ms)) {
		configure(m, now_ms);
		warn_about_lxc(m);
		return m;
	}
	log_line(LOG_LEVEL_ERROR, "%s has no file stat: not a /proc", m->sampler.reader.proc);
	return NULL;
}

static void
machine_reload(void *source, int64_t now_ms)
{
	struct machine *m = source;

	configure(m, now_ms);
	if (m->first_planned)
		plan_tick(m, now_ms);
}

/* The row as a record of RECORD_METRICS: what is not known is NULL. */
static void
put_row(struct machine *m, const struct row *row)
{
	struct strbuf text = STRBUF_INIT;
	struct record record;
	size_t begin[METRICS];

	record_init(&record, RECORD_METRICS, RANK_METRICS, row->timestamp_us);
	for (int i = 0; i < METRICS; i++) {
		begin[i] = text.len;
		encode_value(&text, row, i, "");
		strbuf_putc(&text, '\0');
	}
	for (int i = 0; i < METRICS && !text.failed; i++)
		record_set(&record, i, isfinite(row->value[i]) ? text.data + begin[i] : NULL);
	if (text.failed)
		log_line(LOG_LEVEL_ERROR, "out of memory: a sample is lost");
	else
		spool_add(m->env->spool, &record, SPOOL_LATER);
	strbuf_free(&text);
}

/* The sample is complete: it goes to the spool, and says how soon the next is wanted. */
static void
take_row(struct machine *m, const struct row *row, int64_t now_ms)
{
	struct source_hints *hints = m->env->hints;

	put_row(m, row);
	if (m->cpu_us > hints->cycle_cpu_us_max)
		hints->cycle_cpu_us_max = m->cpu_us;
	if (!is_adaptive(m))
		return;
	struct adaptive_hints now = {.boost = hints->boost_until_ms > now_ms,
								 .check_failed = hints->check_failed_ms > m->last_ms,
								 .spool_filling = hints->spool_filling,
								 .cpu_us = m->cpu_us};
	int64_t interval = adaptive_sample(&m->adaptive, row, &now, now_ms);
	if (interval != m->interval_ms) {
		m->interval_ms = interval;
		plan_tick(m, now_ms);
	}
}

/* Goes on with the sample, and counts what that costs. */
static void
go_on(struct machine *m, bool tick, int64_t now_ms)
{
	int64_t before = clock_us(CLOCK_THREAD_CPUTIME_ID);
	struct row row;

	if (tick) {
		m->cpu_us = 0;
		sampler_tick(&m->sampler, now_ms);
	}
	bool complete = sampler_run(&m->sampler, now_ms, &row);
	m->cpu_us += clock_us(CLOCK_THREAD_CPUTIME_ID) - before;
	if (complete)
		take_row(m, &row, now_ms);
}

/* What can't wait for the next sample: somebody begins to watch, a check fails. */
static void
hurry(struct machine *m, int64_t now_ms)
{
	const struct source_hints *hints = m->env->hints;
	bool boost = hints->boost_until_ms > now_ms, failed = hints->check_failed_ms > m->last_ms;

	if (!is_adaptive(m) || !m->first_planned || (!boost && !failed))
		return;
	bool fast = m->adaptive.step == 0;
	/* Also where it is fast already: the quiet minutes begin anew. */
	adaptive_hurry(&m->adaptive, boost ? "the database asks for it" : "a check failed", now_ms);
	if (fast)
		return;
	m->interval_ms = adaptive_interval_ms(&m->adaptive, hints->spool_filling, now_ms);
	plan_tick(m, now_ms);
}

static void
machine_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct machine *m = source;

	if (sampler_waits(&m->sampler))
		go_on(m, false, now_ms);
	if (!m->sampler.started)
		return;
	if (!m->first_planned) {
		m->first_planned = true;
		m->tick_ms = now_ms + FIRST_ROW_AFTER_MS;
	}
	hurry(m, now_ms);
	if (now_ms < m->tick_ms)
		return;
	m->last_wall_ms = clock_us(CLOCK_REALTIME) / 1000;
	m->last_ms = now_ms;
	plan_tick(m, now_ms);
	go_on(m, true, now_ms);
}

static void
machine_wait(const void *source, struct waiting *w)
{
	const struct machine *m = source;

	waiting_until(w, sampler_wake_ms(&m->sampler));
	if (m->first_planned)
		waiting_until(w, m->tick_ms);
}

static void
machine_stop(void *source, int64_t now_ms)
{
	struct machine *m = source;
	struct row row;

	if (sampler_finish(&m->sampler, &row))
		put_row(m, &row);
}

static void
machine_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct machine *m = source;

	strbuf_printf(out, "interval: %lld s", (long long) m->interval_ms / 1000);
	if (is_adaptive(m))
		strbuf_printf(out, " (adaptive%s%s)", m->adaptive.reason ? ": " : "",
					  m->adaptive.reason ? m->adaptive.reason : "");
	strbuf_putc(out, '\n');
	if (m->last_ms)
		strbuf_printf(out, "last sample: %lld s ago\n", (long long) ((now_ms - m->last_ms) / 1000));
	if (problem_active(&m->sampler.hung))
		strbuf_puts(out, "problem: the filesystem of / does not answer\n");
	if (m->sampler.topology.too_many)
		strbuf_puts(out, "problem: more network interfaces or disks than can be counted\n");
}

const struct source_ops machine_source = {
	.name = "machine",
	.start = machine_start,
	.reload = machine_reload,
	.run = machine_run,
	.wait = machine_wait,
	.stop = machine_stop,
	.describe = machine_describe,
};
