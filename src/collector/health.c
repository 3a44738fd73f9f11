/*
 * health.c: Which target has its turn, what becomes of the results. See health.h.
 *
 * Belongs here: slots, at most four attempts at once, the immediate retry, breakers, rounds and doubt, the life of the source.
 * Does not belong here: attempts (health_probe.h), what a target keeps (health_target.h), rows (health_rows.h), the file (health_state.h).
 */
#include "collector/health.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/health_rows.h"
#include "collector/health_state.h"
#include "collector/log.h"
#include "collector/state_dir.h"
#include "core/self_doubt.h"

#define MAX_AT_ONCE      4
#define ROUND_WAIT_MS    10000 /* a failed check waits this long for the others, at most */
#define ROUND_GAP_MS     1000  /* who begins within this is of the same round */
#define SAVE_INTERVAL_MS 1000
#define SAVE_RETRY_MS    30000
#define SYSTEMD_DIR      "/run/systemd/system"

struct health {
	const struct source_env *env;
	struct health_target *targets;
	int count;
	struct probe_tools tools;
	struct probe probes[MAX_AT_ONCE];
	int epoll_fd;    /* libcurl's descriptor and those of the probes: one for the loop */
	int64_t last_us; /* of a row: no two have the same time */

	bool doubting;
	int64_t doubt_since_us;
	int64_t round_end_ms; /* NEVER: nothing is held */

	bool dirty; /* the state file is behind */
	int64_t saved_ms;
	struct problem save_problem;
	char state_path[640], systemd_dir[640];
};

static int64_t
row_time_us(struct health *h)
{
	int64_t now_us = clock_us(CLOCK_REALTIME);

	/* A clock that was set back is followed: at once, or the row would be far off. */
	if (now_us <= h->last_us && h->last_us - now_us < 1000000)
		now_us = h->last_us + 1;
	h->last_us = now_us;
	return now_us;
}

/* --- the state file */

static void
save(struct health *h, int64_t now_ms)
{
	h->dirty = !health_state_save(h->state_path, h->targets, h->count, now_ms);
	h->saved_ms = h->dirty ? now_ms + SAVE_RETRY_MS - SAVE_INTERVAL_MS : now_ms;
	if (!h->dirty)
		problem_over(&h->save_problem, now_ms, "the state of health checks can be written again");
	else
		problem_occurred(&h->save_problem, LOG_LEVEL_WARNING, now_ms, "write",
						 "%s cannot be written (%s): open breakers are forgotten by a restart", h->state_path,
						 strerror(errno));
}

static void
note_breaker(struct health *h, struct health_target *t)
{
	char text[BREAKER_TEXT_SIZE];

	breaker_write(&t->breaker, INT64_MAX, text); /* without the pause that is left, which always changes */
	if (strcmp(text, t->saved) != 0) {
		memcpy(t->saved, text, sizeof text);
		h->dirty = true;
	}
}

/* --- rounds: failures wait for those of the others */

/* The result counts: for the breaker, and as a row. */
static void
settle(struct health *h, struct health_target *t, bool inconclusive, int64_t now_ms)
{
	enum breaker_state before = t->breaker.state;

	t->held = false;
	t->doubted = inconclusive;
	/* What this machine is to blame for, and what it can't do, says nothing about the target. */
	inconclusive = inconclusive || t->result.failure == HEALTH_NOT_TRIED;
	if (t->good)
		breaker_succeeded(&t->breaker, &t->rules);
	else if (!inconclusive)
		breaker_failed(&t->breaker, &t->rules, now_ms, (uint32_t) random());
	target_plan_retry(t, now_ms);
	note_breaker(h, t);
	if ((before == BREAKER_CLOSED) != (t->breaker.state == BREAKER_CLOSED))
		log_line(t->good ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "health check %s: the breaker is %s",
				 t->check->name, breaker_state_name(t->breaker.state));
	if (!t->good)
		h->env->hints->check_failed_ms = now_ms;
	health_row(h->env->spool, t, &t->result, t->begun_us, inconclusive);
}

/* Whether it will have a result in this round. */
static bool
is_pending(const struct health_target *t, int64_t now_ms)
{
	int64_t soon = now_ms + ROUND_GAP_MS;

	if (!target_is_remote(t) || t->part != ROUND_NONE)
		return false;
	if (t->breaker.state == BREAKER_OPEN)
		return t->probe || t->try_ms <= soon;
	return t->probe || t->try_ms <= soon || t->slot_ms <= soon;
}

static struct doubt_round
count_round(const struct health *h, int64_t now_ms)
{
	struct doubt_round round = {0};

	for (int i = 0; i < h->count; i++) {
		const struct health_target *t = &h->targets[i];
		round.answered += t->part == ROUND_ANSWERED;
		round.lost += t->part == ROUND_LOST;
		round.recovered = round.recovered || (t->part == ROUND_ANSWERED && t->doubted);
		round.pending += is_pending(t, now_ms);
	}
	return round;
}

static void
change_doubt(struct health *h, const struct doubt_round *round, bool before)
{
	int64_t now_us = row_time_us(h);

	if (h->doubting == before)
		return;
	health_event(h->env->spool, round->lost, round->lost + round->answered, now_us,
				 before ? h->doubt_since_us : 0);
	h->doubt_since_us = now_us;
	log_line(h->doubting ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
			 h->doubting
				 ? "%d of %d health checks got no answer at once: their failures are marked inconclusive"
				 : "health checks get answers again (%d of %d did not)",
			 round->lost, round->lost + round->answered);
}

/* Decides about what is held as soon as that is possible; `force`: now. */
static void
judge_round(struct health *h, bool force, int64_t now_ms)
{
	struct doubt_round round = count_round(h, now_ms);
	bool before = h->doubting;

	if (round.answered + round.lost == 0)
		return;
	round.over = force || now_ms >= h->round_end_ms;
	enum doubt_verdict verdict = doubt_judge(&round, &h->doubting);
	if (verdict == DOUBT_UNDECIDED)
		return;
	change_doubt(h, &round, before);
	h->round_end_ms = NEVER;
	for (int i = 0; i < h->count; i++) {
		struct health_target *t = &h->targets[i];
		if (t->held)
			settle(h, t, verdict == DOUBT_INCONCLUSIVE, now_ms);
		else if (t->part == ROUND_ANSWERED)
			t->doubted = false;
		if (round.pending == 0 || force)
			t->part = ROUND_NONE;
	}
}

/* --- attempts */

static void
finish(struct health *h, struct health_target *t, int64_t now_ms)
{
	t->result = t->probe->result;
	probe_end(t->probe);
	t->probe = NULL;
	t->tried = true;
	t->good = t->result.failure == HEALTH_GOOD;
	if (!target_is_remote(t)) {
		settle(h, t, false, now_ms);
		return;
	}
	t->part = t->result.lost ? ROUND_LOST : ROUND_ANSWERED;
	if (!t->result.lost) {
		bool doubted = t->doubted;
		settle(h, t, false, now_ms);
		t->doubted = doubted; /* until the round has been told */
		return;
	}
	t->held = true;
	if (h->round_end_ms == NEVER)
		h->round_end_ms = now_ms + ROUND_WAIT_MS;
}

static void
begin(struct health *h, struct health_target *t, struct probe *probe, int64_t now_ms)
{
	breaker_allows(&t->breaker, now_ms); /* an open one whose pause is over is half-open from now on */
	t->try_ms = NEVER;
	t->retried = false;
	t->begun_us = row_time_us(h);
	t->last_wall_ms = t->begun_us / 1000;
	t->probe = probe;
	probe_start(probe, &h->tools, t->check);
}

static struct probe *
free_probe(struct health *h)
{
	for (int i = 0; i < MAX_AT_ONCE; i++)
		if (!h->probes[i].check)
			return &h->probes[i];
	return NULL;
}

/* Who has waited longest begins. */
static void
begin_due(struct health *h, int64_t now_ms)
{
	struct probe *probe;

	while ((probe = free_probe(h)) != NULL) {
		struct health_target *next = NULL;
		for (int i = 0; i < h->count; i++) {
			struct health_target *t = &h->targets[i];
			if (!t->probe && t->try_ms <= now_ms && (!next || t->try_ms < next->try_ms))
				next = t;
		}
		if (!next)
			return;
		begin(h, next, probe, now_ms);
	}
}

/* A slot is an attempt, or a row that says why there was none; while an attempt goes on, or its result is held, it is that one's. */
static void
take_slots(struct health *h, int64_t now_ms)
{
	for (int i = 0; i < h->count; i++) {
		struct health_target *t = &h->targets[i];
		if (t->slot_ms > now_ms)
			continue;
		target_plan(t, h->env->options->vps_name, now_ms);
		if (t->probe || t->held)
			continue;
		if (t->breaker.state == BREAKER_OPEN && now_ms < t->breaker.probe_ms)
			health_row_skipped(h->env->spool, t, row_time_us(h), now_ms);
		else if (t->try_ms > now_ms)
			t->try_ms = now_ms;
	}
}

/* Which probes can go on: asked anew, because a number in the epoll may be another's by now. */
static void
run_probes(struct health *h, int64_t now_ms)
{
	struct pollfd fds[MAX_AT_ONCE];
	bool any = false;

	for (int i = 0; i < MAX_AT_ONCE; i++) {
		fds[i] = (struct pollfd){h->probes[i].check ? h->probes[i].fd : -1, h->probes[i].events, 0};
		any = any || fds[i].fd >= 0;
	}
	if (any)
		poll(fds, MAX_AT_ONCE, 0);
	for (int i = 0; i < MAX_AT_ONCE; i++)
		if (h->probes[i].check)
			probe_run(&h->probes[i], fds[i].revents != 0, now_ms);
}

static void
harvest(struct health *h, int64_t now_ms)
{
	for (int i = 0; i < h->count; i++) {
		struct health_target *t = &h->targets[i];
		if (!t->probe || !t->probe->over)
			continue;
		if (t->probe->result.again && !t->retried) {
			struct probe *probe = t->probe;
			t->retried = true;
			probe_end(probe);
			probe_start(probe, &h->tools, t->check);
		}
		if (t->probe->over)
			finish(h, t, now_ms);
	}
}

static void
watch(struct health *h)
{
	for (int i = 0; i < MAX_AT_ONCE; i++) {
		const struct probe *p = &h->probes[i];
		struct epoll_event event = {.data.fd = p->fd};
		if (!p->check || p->fd < 0)
			continue;
		event.events |= p->events & POLLIN ? EPOLLIN : 0;
		event.events |= p->events & POLLOUT ? EPOLLOUT : 0;
		if (epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, p->fd, &event) < 0 && errno == ENOENT)
			epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, p->fd, &event);
	}
}

static void
health_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct health *h = source;

	if (h->tools.transfers && waiting_ready(w, h->epoll_fd))
		transfers_run(h->tools.transfers);
	run_probes(h, now_ms);
	harvest(h, now_ms);
	take_slots(h, now_ms);
	begin_due(h, now_ms);
	harvest(h, now_ms); /* those that were over as soon as they began */
	judge_round(h, false, now_ms);
	watch(h);
	if (h->dirty && now_ms >= h->saved_ms + SAVE_INTERVAL_MS)
		save(h, now_ms);
}

static void
health_wait(const void *source, struct waiting *w)
{
	const struct health *h = source;
	bool room = false;

	waiting_fd(w, h->epoll_fd, POLLIN);
	for (int i = 0; i < MAX_AT_ONCE; i++) {
		const struct probe *p = &h->probes[i];
		room = room || !p->check;
		if (p->check && p->kind->late && !p->transfer && !p->over)
			waiting_until(w, p->deadline_ms);
		if (p->check && p->over)
			waiting_until(w, 0);
	}
	for (int i = 0; i < h->count; i++) {
		waiting_until(w, h->targets[i].slot_ms);
		if (room && !h->targets[i].probe)
			waiting_until(w, h->targets[i].try_ms);
	}
	waiting_until(w, h->round_end_ms);
	if (h->dirty)
		waiting_until(w, h->saved_ms + SAVE_INTERVAL_MS);
}

/* --- life */

/* libcurl is loaded by the first check that wants it, and stays. */
static void
open_tools(struct health *h)
{
	struct epoll_event event = {.events = EPOLLIN};
	bool wanted = false;

	for (int i = 0; i < h->count; i++)
		wanted = wanted ||
				 (h->targets[i].check->kind != CHECK_UNIT && h->targets[i].check->kind != CHECK_POSTGRES);
	if (!wanted || h->tools.transfers)
		return;
	mallopt(M_ARENA_MAX, 1); /* the threads that look names up need no heap of their own */
	h->tools.transfers = transfers_open(h->tools.no_transfers, sizeof h->tools.no_transfers);
	if (!h->tools.transfers) {
		log_line(LOG_LEVEL_ERROR, "health checks over HTTP and TCP are not possible: %s",
				 h->tools.no_transfers);
		return;
	}
	event.data.fd = transfers_fd(h->tools.transfers);
	epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event);
}

static struct health_target *
make_targets(const struct config *config)
{
	struct health_target *targets = calloc((size_t) config->check_count + 1, sizeof *targets);

	for (int i = 0; targets && i < config->check_count; i++)
		target_init(&targets[i], &config->checks[i]);
	return targets;
}

static void *
health_start(const struct source_env *env, int64_t now_ms)
{
	if (env->config->check_count == 0)
		return NULL;

	struct health *h = calloc(1, sizeof *h);
	struct health_target *targets = make_targets(env->config);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (!h || !targets || epoll_fd < 0) {
		log_line(LOG_LEVEL_ERROR, "health checks cannot be made: %s", strerror(errno));
		free(h);
		free(targets);
		if (epoll_fd >= 0)
			close(epoll_fd);
		return NULL;
	}
	h->env = env;
	h->targets = targets;
	h->count = env->config->check_count;
	h->epoll_fd = epoll_fd;
	h->round_end_ms = NEVER;
	h->saved_ms = now_ms;
	state_dir_file(env->options, "health", h->state_path, sizeof h->state_path);
	snprintf(h->systemd_dir, sizeof h->systemd_dir, "%s" SYSTEMD_DIR,
			 env->options->proc_root ? env->options->proc_root : "");
	h->tools.systemd_dir = h->systemd_dir;
	health_state_load(h->state_path, targets, h->count, now_ms);
	for (int i = 0; i < h->count; i++) {
		target_plan_first(&targets[i], env->options->vps_name, now_ms, (uint32_t) random());
		target_plan_retry(&targets[i], now_ms);
	}
	open_tools(h);
	return h;
}

static void
cancel_probes(struct health *h)
{
	for (int i = 0; i < MAX_AT_ONCE; i++)
		probe_end(&h->probes[i]);
}

static void
health_reload(void *source, int64_t now_ms)
{
	struct health *h = source;
	struct health_target *old = h->targets, *targets = make_targets(h->env->config);
	int old_count = h->count;

	judge_round(h, true, now_ms); /* the names of the old checks are still there */
	if (!targets) {
		log_line(LOG_LEVEL_ERROR, "out of memory: health checks end");
		h->count = 0;
		cancel_probes(h);
		return;
	}
	h->targets = targets;
	h->count = h->env->config->check_count;
	for (int i = 0; i < h->count; i++) {
		struct health_target *t = &targets[i];
		for (int j = 0; j < old_count && t->slot_ms == 0; j++)
			if (old[j].check && old[j].identity == t->identity) {
				target_inherit(t, &old[j]);
				old[j].check = NULL; /* taken */
			}
		if (t->slot_ms != 0)
			continue;
		target_plan_first(t, h->env->options->vps_name, now_ms, (uint32_t) random());
		target_plan_retry(t, now_ms);
	}
	cancel_probes(h);
	free(old);
	open_tools(h);
	h->dirty = true;
}

static void
health_stop(void *source, int64_t now_ms)
{
	struct health *h = source;

	cancel_probes(h);
	for (int i = 0; i < h->count; i++)
		h->targets[i].probe = NULL;
	judge_round(h, true, now_ms); /* what is held is said as things stand */
	save(h, now_ms);
	if (h->tools.transfers)
		transfers_close(h->tools.transfers);
	close(h->epoll_fd);
	free(h->targets);
	free(h);
}

static void
health_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct health *h = source;

	strbuf_printf(out, "checks: %d\n", h->count);
	if (h->doubting)
		strbuf_puts(out, "connectivity: most checks get no answer; failures are marked inconclusive\n");
	for (int i = 0; i < h->count; i++) {
		const struct health_target *t = &h->targets[i];
		strbuf_printf(out, "%s: ", t->check->name);
		if (!t->tried)
			strbuf_puts(out, "not tried yet");
		else if (t->good)
			strbuf_printf(out, "good, %.0f ms", (double) t->result.total_us / 1000);
		else
			health_error_text(&t->result, out);
		if (t->breaker.state != BREAKER_CLOSED)
			strbuf_printf(out, " (breaker %s)", breaker_state_name(t->breaker.state));
		strbuf_putc(out, '\n');
	}
}

const struct source_ops health_source = {
	.name = "health",
	.start = health_start,
	.reload = health_reload,
	.run = health_run,
	.wait = health_wait,
	.stop = health_stop,
	.describe = health_describe,
};
