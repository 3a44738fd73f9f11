/*
 * peers.c: The source `peers`: other ends of this machine's TCP connections, and its own addresses, for the topology of the fleet.
 *
 * Belongs here: reading the tables piece by piece (the kernel takes a lock for each socket: a busy server has 100,000 of them), reports.
 * Does not belong here: the format, directions, groups (core/tcp_table.h).
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/clock.h"
#include "collector/log.h"
#include "collector/proc_files.h"
#include "collector/sample_sources.h"
#include "core/tcp_table.h"

#define REPORT_MS      300000
#define LOOK_MS        60000 /* between two looks, at least; a report follows at once when much has changed: */
#define MUCH           5
#define LONGEST_MS     1800000 /* between two looks: peers are part of the topology for an hour */
#define FIRST_MS       5000
#define PIECE_BYTES    8192 /* the kernel hands out 4,096 at a time: some 27 sockets */
#define PIECES_A_TURN  10
#define PIECE_PAUSE_MS 500   /* a piece costs 0.1 ms: not more than 0.02 % of a CPU */
#define PIECES_MAX     40000 /* of one look: a million sockets */
#define ADDRESSES_MAX  100

enum step { STEP_IDLE, STEP_LISTENING, STEP_CONNECTIONS };

struct peers {
	const struct source_env *env;
	struct proc_paths paths;
	enum step step;
	int file, fd; /* fd -1: to be opened */
	int pieces;   /* of this look */
	char piece[PIECE_BYTES];
	size_t kept; /* bytes of a line whose end is still to come */
	int64_t look_ms, report_ms;
	int64_t looked_us;            /* wall clock */
	struct tcp_peers *now, *told; /* told: NULL before the first report */
	struct problem problem;
};

static const char *const files[] = {"net/tcp", "net/tcp6"};
#define FILES (int) (sizeof files / sizeof *files)

/* ---- reports */

static void
put_address(struct strbuf *out, const struct tcp_address *a)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (tcp_is_v4(a))
		inet_ntop(AF_INET, a->byte + 12, text, sizeof text);
	else
		inet_ntop(AF_INET6, a->byte, text, sizeof text);
	strbuf_puts(out, text);
}

static void
put_peers(struct strbuf *out, const struct tcp_peers *p)
{
	strbuf_putc(out, '[');
	for (int i = 0; i < p->count; i++) {
		const struct tcp_peer *peer = &p->peer[i];
		strbuf_puts(out, i ? ",{\"address\":\"" : "{\"address\":\"");
		put_address(out, &peer->address);
		strbuf_printf(out, "\",\"port\":%d,\"direction\":\"%s\",\"connections\":%d}", peer->port,
					  peer->inbound ? "inbound" : "outbound", peer->connections);
	}
	strbuf_putc(out, ']');
}

static bool
own_address(const struct ifaddrs *i, struct tcp_address *out)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
		return false;
	if (i->ifa_addr->sa_family == AF_INET) {
		memcpy(out->byte, mapped, sizeof mapped);
		memcpy(out->byte + 12, &((const struct sockaddr_in *) (const void *) i->ifa_addr)->sin_addr, 4);
	} else if (i->ifa_addr->sa_family == AF_INET6)
		memcpy(out->byte, &((const struct sockaddr_in6 *) (const void *) i->ifa_addr)->sin6_addr, 16);
	else
		return false;
	return !tcp_is_nowhere(out);
}

/* Addresses of this machine as an array literal; false when they can't be told. */
static bool
put_addresses(struct strbuf *out)
{
	struct ifaddrs *all;
	struct tcp_address address;
	int n = 0;

	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i && n < ADDRESSES_MAX; i = i->ifa_next) {
		if (!own_address(i, &address))
			continue;
		strbuf_putc(out, n++ ? ',' : '{');
		put_address(out, &address);
	}
	strbuf_puts(out, n ? "}" : "{}");
	freeifaddrs(all);
	return true;
}

static void
report(struct peers *s)
{
	struct strbuf json = STRBUF_INIT, addresses = STRBUF_INIT;
	struct record r;

	record_init(&r, RECORD_PEERS, RANK_METRICS, s->looked_us);
	put_peers(&json, s->now);
	record_set(&r, PEERS_JSON, json.data);
	/* What stands in for /proc has no addresses of its own. */
	if (!s->env->options->proc_root && put_addresses(&addresses))
		record_set(&r, PEERS_ADDRESSES, addresses.data);
	if (!json.failed && !addresses.failed)
		spool_add(s->env->spool, &r, SPOOL_LATER);
	strbuf_free(&json);
	strbuf_free(&addresses);
}

/* All has been read: is it news? */
static void
end_look(struct peers *s, int64_t now_ms)
{
	struct tcp_peers *last = s->told;

	s->step = STEP_IDLE;
	int64_t pause = (int64_t) s->pieces * PIECE_PAUSE_MS;
	s->look_ms = now_ms + (pause < LOOK_MS ? LOOK_MS : pause > LONGEST_MS ? LONGEST_MS : pause);
	if (s->now->left_out)
		problem_occurred(&s->problem, LOG_LEVEL_WARNING, now_ms, "many",
						 "connections with more than %d others: the rest is left out of the topology",
						 TCP_PEERS_MAX);
	else
		problem_over(&s->problem, now_ms, "all peers have room in the topology again");
	if (last && now_ms < s->report_ms && tcp_peers_changes(last, s->now) < MUCH) {
		free(s->now);
		s->now = NULL;
		return;
	}
	report(s);
	free(last);
	s->told = s->now;
	s->now = NULL;
	s->report_ms = now_ms + REPORT_MS - LOOK_MS / 2;
}

/* ---- reading */

static void
next_file(struct peers *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->kept = 0;
	s->file++;
}

static bool
open_table(struct peers *s)
{
	char path[PROC_PATH_MAX + 20];

	snprintf(path, sizeof path, "%s/%s", s->paths.proc, files[s->file]);
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return s->fd >= 0;
}

/* Takes whole lines; false when there is nothing more to be learnt from this file in this step. */
static bool
take_lines(struct peers *s, struct slice text)
{
	struct tcp_entry e;

	while (next_tcp(&text, &e)) {
		if (s->step == STEP_CONNECTIONS)
			tcp_peers_add(s->now, &e);
		else if (e.listens)
			tcp_peers_listen(s->now, &e);
		else
			return false; /* the kernel lists those that listen first */
	}
	return true;
}

/* Reads a piece of the file. False at its end. */
static bool
read_piece(struct peers *s)
{
	if (s->fd < 0 && !open_table(s))
		return false;
	ssize_t got = read(s->fd, s->piece + s->kept, sizeof s->piece - s->kept);
	if (got <= 0 || ++s->pieces > PIECES_MAX)
		return false;
	size_t len = s->kept + (size_t) got;
	const char *newline = memrchr(s->piece, '\n', len);
	size_t whole = newline ? (size_t) (newline + 1 - s->piece) : len;
	bool more = take_lines(s, (struct slice){s->piece, s->piece + whole});
	s->kept = len - whole;
	memmove(s->piece, s->piece + whole, s->kept);
	return more;
}

static void
begin_look(struct peers *s, int64_t now_ms)
{
	s->look_ms = now_ms + LOOK_MS;
	s->now = calloc(1, sizeof *s->now);
	if (!s->now)
		return;
	s->looked_us = clock_us(CLOCK_REALTIME);
	s->step = STEP_LISTENING;
	s->file = 0;
	s->fd = -1;
	s->kept = 0;
	s->pieces = 0;
}

/* A part of the work in each turn of the loop. */
static void
peers_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct peers *s = source;

	if (s->step == STEP_IDLE && now_ms >= s->look_ms)
		begin_look(s, now_ms);
	if (s->step == STEP_IDLE)
		return;
	bool more = true;
	for (int i = 0; more && i < PIECES_A_TURN; i++)
		more = read_piece(s);
	if (more)
		return;
	next_file(s);
	if (s->file < FILES)
		return;
	s->file = 0;
	if (s->step == STEP_LISTENING)
		s->step = STEP_CONNECTIONS;
	else
		end_look(s, now_ms);
}

static void
peers_wait(const void *source, struct waiting *w)
{
	const struct peers *s = source;

	waiting_until(w, s->step == STEP_IDLE ? s->look_ms : 0);
}

static void *
peers_start(const struct source_env *env, int64_t now_ms)
{
	struct peers *s = env->config->peers ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	s->fd = -1;
	proc_paths(env->options->proc_root, &s->paths);
	s->look_ms = now_ms + FIRST_MS;
	return s;
}

static void
peers_stop(void *source, int64_t now_ms)
{
	struct peers *s = source;

	if (s->fd >= 0)
		close(s->fd);
	free(s->now);
	free(s->told);
	free(s);
}

/* What was told of is forgotten by the database, in its time. */
static void
peers_reload(void *source, int64_t now_ms)
{
	struct peers *s = source;

	s->look_ms = s->env->config->peers ? now_ms : NEVER;
	s->report_ms = now_ms;
	if (s->env->config->peers || s->step == STEP_IDLE)
		return;
	/* A look that goes on is given up: its end would plan the next. */
	s->step = STEP_IDLE;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	free(s->now);
	s->now = NULL;
}

static void
peers_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct peers *s = source;

	if (s->told)
		strbuf_printf(out, "peers: %d\n", s->told->count);
	if (s->told && s->told->left_out)
		strbuf_printf(out, "problem: %lld connections are left out\n", (long long) s->told->left_out);
}

const struct source_ops peers_source = {
	.name = "peers",
	.start = peers_start,
	.reload = peers_reload,
	.run = peers_run,
	.wait = peers_wait,
	.stop = peers_stop,
	.describe = peers_describe,
};
