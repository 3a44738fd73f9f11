/*
 * statsd_socket.c: The source `statsd`: a unix datagram socket that applications send to.
 *
 * Belongs here: the socket, when a flush is due. Does not belong here: what came (statsd_store.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "collector/log.h"
#include "collector/sample_sources.h"
#include "collector/statsd_store.h"
#include "collector/ticks.h"

#define DATAGRAM_MAX      65536
#define DATAGRAMS_PER_RUN 500 /* some milliseconds */
#define RETRY_MS          10000

struct statsd {
	const struct source_env *env;
	struct sockaddr_un address;
	int fd;
	int64_t retry_ms;
	struct ticks ticks;
	struct statsd_store store;
	struct problem problem, full;
	dev_t dev; /* of the socket's file, to know it again */
	ino_t ino;
	char datagram[DATAGRAM_MAX];
};

static void
refuse(struct statsd *s, const char *why, int64_t now_ms)
{
	problem_occurred(&s->problem, LOG_LEVEL_ERROR, now_ms, why, "no StatsD socket %s: %s",
					 s->address.sun_path, why);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->retry_ms = now_ms + RETRY_MS;
}

/* Whether a process receives at the address. */
static bool
is_in_use(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool used = fd >= 0 && connect(fd, (const struct sockaddr *) address, sizeof *address) == 0;

	if (fd >= 0)
		close(fd);
	return used;
}

/* Takes away the socket that a process which is gone has left. NULL, or why the place is not free. */
static const char *
make_room(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return NULL; /* nothing there; or bind() says what is wrong */
	if (!S_ISSOCK(st.st_mode))
		return "a file that is no socket is in its place";
	if (is_in_use(address))
		return "another process receives there";
	return unlink(address->sun_path) < 0 ? strerror(errno) : NULL;
}

static void
open_socket(struct statsd *s, int64_t now_ms)
{
	const struct sockaddr *address = (const struct sockaddr *) &s->address;
	const char *why = make_room(&s->address);
	struct stat st;

	if (why) {
		refuse(s, why, now_ms);
		return;
	}
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The owner and its group may send. Set before bind() too: at no moment may others. */
	if (s->fd < 0 || fchmod(s->fd, 0660) < 0 || bind(s->fd, address, sizeof s->address) < 0 ||
		chmod(s->address.sun_path, 0660) < 0 || lstat(s->address.sun_path, &st) < 0) {
		refuse(s, strerror(errno), now_ms);
		return;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	problem_over(&s->problem, now_ms, "the StatsD socket receives");
}

/* The file is ours only as long as it is the one we made. */
static bool
is_ours(const struct statsd *s)
{
	struct stat st;

	return lstat(s->address.sun_path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

static void
receive(struct statsd *s, int64_t now_ms)
{
	for (int i = 0; i < DATAGRAMS_PER_RUN; i++) {
		ssize_t got = recv(s->fd, s->datagram, sizeof s->datagram, MSG_DONTWAIT | MSG_TRUNC);
		if (got < 0)
			return;
		bool cut = got > (ssize_t) sizeof s->datagram;
		size_t len = cut ? sizeof s->datagram : (size_t) got;
		statsd_store_take(&s->store, (struct slice){s->datagram, s->datagram + len}, cut, now_ms);
	}
}

static void
flush(struct statsd *s, int64_t now_ms)
{
	int64_t full = s->store.full;

	statsd_store_flush(&s->store, s->env->spool, now_ms, clock_us(CLOCK_REALTIME));
	if (full > 0)
		problem_occurred(
			&s->full, LOG_LEVEL_WARNING, now_ms, "full",
			"StatsD series beyond max_series (%d) are left out: is there a tag with many values?",
			s->store.max_series);
}

static void
statsd_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct statsd *s = source;

	if (s->fd < 0 && now_ms >= s->retry_ms)
		open_socket(s, now_ms);
	if (s->fd >= 0)
		receive(s, now_ms);
	if (!ticks_due(&s->ticks, s->env->options->vps_name, s->env->config->interval_s, now_ms))
		return;
	flush(s, now_ms);
	/* A cleaning of /tmp, or another agent, may have taken the file away. */
	if (s->fd >= 0 && !is_ours(s))
		refuse(s, "its file has gone", now_ms);
}

static void
statsd_wait(const void *source, struct waiting *w)
{
	const struct statsd *s = source;

	waiting_fd(w, s->fd, POLLIN);
	waiting_until(w, s->ticks.due_ms);
	if (s->fd < 0)
		waiting_until(w, s->retry_ms);
}

static void
close_socket(struct statsd *s)
{
	if (s->fd < 0)
		return;
	if (is_ours(s))
		unlink(s->address.sun_path);
	close(s->fd);
	s->fd = -1;
}

static void *
statsd_start(const struct source_env *env, int64_t now_ms)
{
	const char *path = env->config->statsd_socket;
	struct statsd *s = path ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	s->fd = -1;
	s->address.sun_family = AF_UNIX;
	snprintf(s->address.sun_path, sizeof s->address.sun_path, "%s", path);
	statsd_store_init(&s->store, env->config->statsd_max_series, clock_us(CLOCK_REALTIME));
	ticks_plan(&s->ticks, env->options->vps_name, env->config->interval_s, now_ms);
	open_socket(s, now_ms);
	return s;
}

/* What was sent until now is taken and flushed. */
static void
statsd_stop(void *source, int64_t now_ms)
{
	struct statsd *s = source;

	if (s->fd >= 0)
		receive(s, now_ms);
	flush(s, now_ms);
	close_socket(s);
	statsd_store_free(&s->store);
	free(s);
}

static void
statsd_reload(void *source, int64_t now_ms)
{
	struct statsd *s = source;
	const struct config *config = s->env->config;
	const char *path = config->statsd_socket ? config->statsd_socket : "";

	s->store.max_series = config->statsd_max_series;
	ticks_plan(&s->ticks, s->env->options->vps_name, config->interval_s, now_ms);
	if (strcmp(path, s->address.sun_path) == 0)
		return;
	close_socket(s);
	snprintf(s->address.sun_path, sizeof s->address.sun_path, "%s", path);
	s->retry_ms = path[0] ? now_ms : NEVER;
}

static void
statsd_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct statsd *s = source;

	strbuf_printf(out, "socket: %s%s\nseries: %d of %d\nlines: %lld, %lld bad, %lld beyond max_series\n",
				  s->address.sun_path, s->fd < 0 ? " (not open)" : "", statsd_store_count(&s->store),
				  s->store.max_series, (long long) s->store.lines, (long long) s->store.errors,
				  (long long) s->store.full);
}

const struct source_ops statsd_source = {
	.name = "statsd",
	.start = statsd_start,
	.reload = statsd_reload,
	.run = statsd_run,
	.wait = statsd_wait,
	.stop = statsd_stop,
	.describe = statsd_describe,
};
