/* agent.c: The loop: three descriptors (signals, helper, database), the next deadline, and what is due. */
#include "collector/agent.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "collector/clock.h"
#include "collector/encode.h"
#include "collector/identity.h"
#include "collector/log.h"
#include "collector/sampler.h"
#include "collector/spool.h"
#include "collector/waiting.h"
#include "collector/writer.h"
#include "core/schedule.h"

#define FIRST_ROW_AFTER_MS 1000
#define STOP_DEADLINE_MS   4500 /* systemd and people are promised 5 s */
#define GAP_INTERVALS      3

struct agent {
	const struct options *options;
	struct config config;
	struct sampler sampler;
	struct spool *spool;
	struct writer writer;
	char agent_id[AGENT_ID_SIZE];
	bool first_planned;
	int64_t tick_ms;      /* monotonic */
	int64_t last_wall_ms; /* of the last sample */
	bool stopping;
	int64_t stop_ms;
	int exit_code;
};

static int64_t
interval_ms(const struct agent *a)
{
	return (int64_t) a->config.interval_s * 1000;
}

/* Ticks keep to the wall clock, so that a fleet stays spread; a clock that steps moves them, at most by an interval. */
static void
plan_tick(struct agent *a, int64_t now_ms)
{
	int64_t wall = clock_us(CLOCK_REALTIME) / 1000;

	a->tick_ms =
		now_ms +
		next_tick_ms(wall, a->last_wall_ms, interval_ms(a), splay_ms(a->options->vps_name, interval_ms(a))) -
		wall;
}

static void
keep_row(struct agent *a, const struct row *row)
{
	struct strbuf text = STRBUF_INIT;
	struct record r;

	encode_row(row, &text, &r);
	spool_add(a->spool, &r, SPOOL_SOON);
	strbuf_free(&text);
}

static void
stop(struct agent *a, int64_t now_ms, int exit_code)
{
	struct row row;

	if (a->stopping)
		return;
	a->stopping = true;
	a->stop_ms = now_ms + STOP_DEADLINE_MS;
	a->exit_code = exit_code;
	if (sampler_finish(&a->sampler, &row))
		keep_row(a, &row);
	writer_last_chance(&a->writer, now_ms);
}

static void
reload(struct agent *a, int64_t now_ms)
{
	struct config fresh;
	struct strbuf errors = STRBUF_INIT;

	if (!config_load(a->options->config, a->options->app_name, &fresh, &errors)) {
		log_lines(LOG_LEVEL_ERROR, errors.data);
		log_line(LOG_LEVEL_ERROR, "the configuration has errors: the one before stays in force");
		config_free(&fresh);
		writer_retry_now(&a->writer, NULL, now_ms);
	} else {
		bool other_url = strcmp(fresh.postgres_url, a->config.postgres_url) != 0;
		struct config old = a->config;
		if (!other_url) {
			/* A connection that is being made goes on with the string that it began with. */
			old.postgres_url = fresh.postgres_url;
			fresh.postgres_url = a->config.postgres_url;
		}
		a->config = fresh;
		a->writer.interval_s = fresh.interval_s;
		a->sampler.max_gap_us = interval_ms(a) * 1000 * GAP_INTERVALS;
		writer_retry_now(&a->writer, other_url ? fresh.postgres_url : NULL, now_ms);
		a->writer.url = fresh.postgres_url;
		config_free(&old);
		if (a->first_planned)
			plan_tick(a, now_ms);
		log_line(LOG_LEVEL_INFO, "configuration read again: a sample each %d s", fresh.interval_s);
		if (!fresh.enabled) {
			log_line(LOG_LEVEL_INFO, "monitoring.enabled is now false: the agent ends");
			stop(a, now_ms, EXIT_CODE_DISABLED);
		}
	}
	strbuf_free(&errors);
	malloc_trim(0);
}

static void
take_signals(struct agent *a, int fd, int64_t now_ms)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP)
			reload(a, now_ms);
		else
			stop(a, now_ms, EXIT_CODE_OK);
	}
}

static void
sample(struct agent *a, bool helper_ready, int64_t now_ms)
{
	struct row row;

	if (sampler_run(&a->sampler, helper_ready, now_ms, &row))
		keep_row(a, &row);
	if (!a->sampler.started || a->stopping)
		return;
	if (!a->first_planned) {
		a->first_planned = true;
		a->tick_ms = now_ms + FIRST_ROW_AFTER_MS;
	}
	if (now_ms < a->tick_ms)
		return;
	sampler_tick(&a->sampler, now_ms);
	a->last_wall_ms = clock_us(CLOCK_REALTIME) / 1000;
	plan_tick(a, now_ms);
	if (sampler_run(&a->sampler, false, now_ms, &row))
		keep_row(a, &row);
}

static int
wait_ms(const struct agent *a, int64_t now_ms)
{
	int64_t wake = a->stopping ? a->stop_ms : a->first_planned ? a->tick_ms : NEVER;
	int64_t sampler = sampler_wake_ms(&a->sampler), writer = writer_wake_ms(&a->writer);
	int64_t spool = spool_wake_ms(a->spool);

	if (spool < wake)
		wake = spool;
	if (sampler < wake)
		wake = sampler;
	if (writer < wake)
		wake = writer;
	if (wake <= now_ms)
		return 0;
	return wake - now_ms > INT_MAX ? INT_MAX : (int) (wake - now_ms);
}

static void
loop(struct agent *a, int signal_fd)
{
	bool ready[3] = {false};

	for (;;) {
		int64_t now_ms = monotonic_ms();
		if (ready[0])
			take_signals(a, signal_fd, now_ms);
		sample(a, ready[1], now_ms);
		if (now_ms >= spool_wake_ms(a->spool))
			spool_run(a->spool, now_ms);
		writer_run(&a->writer, ready[2], now_ms);
		if (a->stopping && (writer_finished(&a->writer) || now_ms >= a->stop_ms))
			return;
		struct pollfd fds[3] = {{signal_fd, POLLIN, 0}, {sampler_fd(&a->sampler), POLLIN, 0}};
		fds[2].fd = writer_fd(&a->writer, &fds[2].events);
		if (poll(fds, 3, wait_ms(a, now_ms)) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 3; i++)
			ready[i] = fds[i].revents != 0;
	}
}

static void
list_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void
agent_hold_signals(void)
{
	sigset_t set;

	list_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int
open_signals(void)
{
	sigset_t set;

	list_signals(&set);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
say_what_waits(const struct agent *a)
{
	struct spool_state state;

	spool_state(a->spool, &state);
	if (state.records > 0)
		log_line(LOG_LEVEL_WARNING, state.on_disk ? "not delivered yet: %lld records, kept for the next start"
												  : "not delivered, and lost: %lld records",
				 (long long) state.records);
}

int
agent_run(const struct options *options, struct config *config)
{
	/* Static: large, and only what is used of it costs memory. */
	static struct agent agent;
	struct agent *a = &agent;
	int signal_fd = open_signals();
	char spool_dir[PATH_MAX];

	a->options = options;
	a->config = *config;
	a->last_wall_ms = INT64_MIN;
	if (signal_fd < 0) {
		log_line(LOG_LEVEL_ERROR, "signals cannot be received: %s", strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	/* The helper comes first: it has no need of the lock on the identity, nor of libpq's memory. */
	if (!sampler_init(&a->sampler, options->proc_root, interval_ms(a) * 1000 * GAP_INTERVALS,
					  monotonic_ms())) {
		log_line(LOG_LEVEL_ERROR, "%s has no file stat: not a /proc", a->sampler.reader.proc);
		return EXIT_CODE_FAILURE;
	}
	if (!identity_load(options->state_dir, options->vps_name, options->app_name, a->agent_id))
		return EXIT_CODE_FAILURE;
	srandom((unsigned) (clock_us(CLOCK_REALTIME) ^ getpid()));
	spool_directory(spool_dir, sizeof spool_dir, options->state_dir, options->vps_name, options->app_name);
	a->spool = spool_open(spool_dir, (int64_t) a->config.spool_max_mb * 1024 * 1024, monotonic_ms());
	if (!a->spool) {
		log_line(LOG_LEVEL_ERROR, "out of memory");
		return EXIT_CODE_FAILURE;
	}
	writer_init(&a->writer, a->spool, a->config.postgres_url, options->vps_name, options->app_name, a->agent_id,
				a->config.interval_s);
	log_line(LOG_LEVEL_INFO, "collecting for vps \"%s\", application \"%s\", a sample each %d s",
			 options->vps_name, options->app_name, a->config.interval_s);
	loop(a, signal_fd);
	say_what_waits(a);
	writer_close(&a->writer);
	spool_close(a->spool);
	log_line(LOG_LEVEL_INFO, "ended");
	return a->exit_code;
}
