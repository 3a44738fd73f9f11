/* agent.c: The loop: signals, sources, the spool, the database, the next deadline. */
#include "collector/agent.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/identity.h"
#include "collector/log.h"
#include "collector/source.h"
#include "collector/state_dir.h"
#include "collector/upkeep.h"
#include "collector/waiting.h"
#include "collector/writer.h"

#define STOP_DEADLINE_MS 4500 /* systemd and people are promised 5 s */
#define SOURCES_MAX      16

struct agent {
	const struct options *options;
	struct config config;
	struct helper_desk desk;
	struct source_hints hints;
	struct source_env env;
	void *source[SOURCES_MAX]; /* by the index of sources[]; NULL: has nothing to do */
	struct spool *spool;
	struct writer writer;
	struct upkeep upkeep;
	char agent_id[AGENT_ID_SIZE];
	bool stopping;
	int64_t stop_ms;
	int exit_code;
};

/* What the database has said concerns those who collect. */
static void
pass_on(struct agent *a, int64_t now_ms)
{
	int64_t boost_us = writer_boost_until_us(&a->writer);

	a->env.database_known = writer_database_known(&a->writer);
	a->hints.boost_until_ms = boost_us ? now_ms + boost_us / 1000 - clock_us(CLOCK_REALTIME) / 1000 : 0;
}

/* "a sample each 10 s", for the log. */
static const char *
rhythm(const struct config *c)
{
	static char text[80];

	snprintf(text, sizeof text,
			 c->adaptive ? "a sample each 5 to 30 s, delivered each %d s" : "a sample each %d s",
			 c->interval_s);
	return text;
}

static void
stop_sources(struct agent *a, int64_t now_ms)
{
	for (int i = 0; sources[i]; i++)
		if (a->source[i]) {
			sources[i]->stop(a->source[i], now_ms);
			a->source[i] = NULL;
		}
}

static void
stop(struct agent *a, int64_t now_ms, int exit_code)
{
	if (a->stopping)
		return;
	a->stopping = true;
	a->stop_ms = now_ms + STOP_DEADLINE_MS;
	a->exit_code = exit_code;
	upkeep_stopping();
	stop_sources(a, now_ms);
	writer_last_chance(&a->writer, now_ms);
}

/* The configuration was replaced; the one before is still there for those that end. */
static void
reload_sources(struct agent *a, int64_t now_ms)
{
	for (int i = 0; sources[i]; i++) {
		if (a->source[i] && sources[i]->reload) {
			sources[i]->reload(a->source[i], now_ms);
			continue;
		}
		if (a->source[i])
			sources[i]->stop(a->source[i], now_ms);
		a->source[i] = sources[i]->start(&a->env, now_ms);
	}
}

static void
reload(struct agent *a, int64_t now_ms)
{
	struct config fresh;
	struct strbuf errors = STRBUF_INIT;

	upkeep_reloading(now_ms);
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
		writer_retry_now(&a->writer, other_url ? fresh.postgres_url : NULL, now_ms);
		a->writer.url = fresh.postgres_url;
		reload_sources(a, now_ms);
		config_free(&old);
		log_line(LOG_LEVEL_INFO, "configuration read again: %s", rhythm(&fresh));
		if (!fresh.enabled) {
			log_line(LOG_LEVEL_INFO, "monitoring.enabled is now false: the agent ends");
			stop(a, now_ms, EXIT_CODE_DISABLED);
		}
	}
	strbuf_free(&errors);
	upkeep_reloaded(&a->upkeep, now_ms);
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

/* What everybody waits for. */
static void
wait_for_all(struct agent *a, int signal_fd, struct waiting *w)
{
	short events;
	int fd = writer_fd(&a->writer, &events);

	waiting_clear(w);
	waiting_fd(w, signal_fd, POLLIN);
	waiting_fd(w, fd, events);
	waiting_until(w, writer_wake_ms(&a->writer));
	waiting_until(w, spool_wake_ms(a->spool));
	waiting_until(w, upkeep_wake_ms(&a->upkeep));
	if (a->stopping) {
		waiting_until(w, a->stop_ms);
		return;
	}
	desk_wait(&a->desk, w);
	for (int i = 0; sources[i]; i++)
		if (a->source[i])
			sources[i]->wait(a->source[i], w);
}

static void
loop(struct agent *a, int signal_fd)
{
	struct waiting w;
	short events;

	waiting_clear(&w);
	for (;;) {
		int64_t now_ms = monotonic_ms();
		if (waiting_ready(&w, signal_fd))
			take_signals(a, signal_fd, now_ms);
		if (!a->stopping)
			desk_run(&a->desk, &w, now_ms);
		for (int i = 0; sources[i] && !a->stopping; i++)
			if (a->source[i])
				sources[i]->run(a->source[i], &w, now_ms);
		writer_run(&a->writer, waiting_ready(&w, writer_fd(&a->writer, &events)), now_ms);
		pass_on(a, now_ms);
		spool_run(a->spool, now_ms);
		upkeep_run(&a->upkeep, now_ms);
		if (a->stopping && (writer_finished(&a->writer) || now_ms >= a->stop_ms))
			return;
		wait_for_all(a, signal_fd, &w);
		if (!waiting_poll(&w, monotonic_ms()))
			return;
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

static bool
open_spool(struct agent *a)
{
	char dir[STATE_PATH_MAX];

	state_dir_file(a->options, "spool", dir, sizeof dir);
	mkdir(dir, 0700); /* where that fails the spool says so, and is memory */
	a->spool = spool_open(dir, (int64_t) a->config.spool_max_mb * 1024 * 1024, monotonic_ms());
	return a->spool != NULL;
}

static void
say_what_waits(const struct agent *a)
{
	struct spool_state state;

	spool_state(a->spool, &state);
	if (state.records > 0)
		log_line(LOG_LEVEL_WARNING,
				 state.on_disk ? "not delivered yet, kept for the next start: %lld records"
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

	a->options = options;
	a->config = *config;
	if (signal_fd < 0) {
		log_line(LOG_LEVEL_ERROR, "signals cannot be received: %s", strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	/* The helper comes first: it has no need of the lock on the identity, nor of libpq's memory. */
	desk_start(&a->desk, options->proc_root);
	if (!identity_load(options, a->agent_id))
		return EXIT_CODE_FAILURE;
	srandom((unsigned) (clock_us(CLOCK_REALTIME) ^ getpid()));
	if (!open_spool(a)) {
		log_line(LOG_LEVEL_ERROR, "out of memory");
		return EXIT_CODE_FAILURE;
	}
	writer_init(&a->writer, a->spool, a->config.postgres_url, options->vps_name, options->app_name,
				a->agent_id, a->config.interval_s);
	a->env = (struct source_env){options, &a->config, a->spool, &a->desk, &a->hints, false};
	for (int i = 0; sources[i]; i++)
		a->source[i] = sources[i]->start(&a->env, monotonic_ms());
	if (!a->source[0])
		return EXIT_CODE_FAILURE;
	upkeep_start(&a->upkeep,
				 &(struct agent_view){&a->env, &a->writer, a->source, clock_us(CLOCK_REALTIME), a->agent_id},
				 monotonic_ms());
	log_line(LOG_LEVEL_INFO, "collecting for vps \"%s\", application \"%s\", %s", options->vps_name,
			 options->app_name, rhythm(&a->config));
	loop(a, signal_fd);
	say_what_waits(a);
	upkeep_end(&a->upkeep, monotonic_ms());
	writer_close(&a->writer);
	spool_close(a->spool);
	log_line(LOG_LEVEL_INFO, "ended");
	return a->exit_code;
}
