/* machine.c: Ticks and rows. See machine.h for what belongs here. */
#include "collector/machine.h"

#include <math.h>
#include <stdlib.h>

#include "collector/clock.h"
#include "collector/encode.h"
#include "collector/log.h"
#include "collector/sampler.h"
#include "core/schedule.h"

#define FIRST_ROW_AFTER_MS 1000
#define GAP_INTERVALS      3

struct machine {
	const struct source_env *env;
	struct sampler sampler;
	bool first_planned;
	int64_t tick_ms;      /* monotonic */
	int64_t last_wall_ms; /* of the last sample */
	int64_t last_ms;      /* the same on the monotonic clock; 0: none yet */
};

static int64_t
interval_ms(const struct machine *m)
{
	return (int64_t) m->env->config->interval_s * 1000;
}

/* Ticks keep to the wall clock, so that a fleet stays spread; a clock that steps moves them, at most by an interval. */
static void
plan_tick(struct machine *m, int64_t now_ms)
{
	int64_t wall = clock_us(CLOCK_REALTIME) / 1000;

	m->tick_ms = now_ms +
				 next_tick_ms(wall, m->last_wall_ms, interval_ms(m),
							  splay_ms(m->env->options->vps_name, interval_ms(m))) -
				 wall;
}

static void *
machine_start(const struct source_env *env, int64_t now_ms)
{
	/* Static: large, and only what is used of it costs memory. */
	static struct machine machine;
	struct machine *m = &machine;

	m->env = env;
	m->last_wall_ms = INT64_MIN;
	if (sampler_init(&m->sampler, env->desk, env->options->proc_root, interval_ms(m) * 1000 * GAP_INTERVALS,
					 now_ms))
		return m;
	log_line(LOG_LEVEL_ERROR, "%s has no file stat: not a /proc", m->sampler.reader.proc);
	return NULL;
}

static void
machine_reload(void *source, int64_t now_ms)
{
	struct machine *m = source;

	m->sampler.max_gap_us = interval_ms(m) * 1000 * GAP_INTERVALS;
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

static void
machine_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct machine *m = source;
	struct row row;

	if (sampler_run(&m->sampler, now_ms, &row))
		put_row(m, &row);
	if (!m->sampler.started)
		return;
	if (!m->first_planned) {
		m->first_planned = true;
		m->tick_ms = now_ms + FIRST_ROW_AFTER_MS;
	}
	if (now_ms < m->tick_ms)
		return;
	sampler_tick(&m->sampler, now_ms);
	m->last_wall_ms = clock_us(CLOCK_REALTIME) / 1000;
	m->last_ms = now_ms;
	plan_tick(m, now_ms);
	if (sampler_run(&m->sampler, now_ms, &row))
		put_row(m, &row);
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

	strbuf_printf(out, "interval: %d s\n", m->env->config->interval_s);
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
