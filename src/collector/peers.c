/*
 * peers.c: The source `peers`: other ends of this machine's TCP connections, and its own addresses, for the topology of the fleet.
 *
 * Belongs here: when to look, piece by piece (a busy server has 100,000 sockets), where the tables come from, reports.
 * Does not belong here: asking the kernel by netlink (tcp_diag.h), the format of /proc, directions, groups (core/tcp_table.h).
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

#include "common/clock.h"
#include "collector/log.h"
#include "collector/proc_files.h"
#include "collector/sample_sources.h"
#include "collector/tcp_diag.h"
#include "core/tcp_table.h"

#define REPORT_MS     300000
#define LOOK_MS       60000 /* between two looks, at least; a report follows at once when much has changed: */
#define MUCH          5
#define LONGEST_MS    1800000 /* between two looks: peers are part of the topology for an hour */
#define FIRST_MS      5000
#define PIECE_BYTES   TCP_DIAG_BYTES
#define PIECES_A_TURN 10
#define COST_SHARE    5000  /* a look costs a 5,000th, 0.02 %, of a CPU's time until the next */
#define PIECES_MAX    40000 /* of one look: a million sockets */
#define ADDRESSES_MAX 100

enum step { STEP_IDLE, STEP_LISTENING, STEP_CONNECTIONS };

struct peers {
	const struct source_env *env;
	struct proc_paths paths;
	enum step step;
	const struct reader *reader;
	int table, fd;   /* fd -1: to be opened */
	int pieces;      /* of this look */
	int64_t cost_us; /* likewise, of CPU */
	_Alignas(8) char piece[PIECE_BYTES];
	size_t kept; /* bytes of a line whose end is still to come */
	int64_t look_ms, report_ms;
	int64_t looked_us;            /* wall clock */
	struct tcp_peers *now, *told; /* told: NULL before the first report */
	struct problem problem;
};

#define TABLES 2 /* IPv4, IPv6 */

/* Where the tables come from. */
struct reader {
	/* Begins to read a table; a descriptor, or -1. */
	int (*open)(const struct peers *s);
	/* Reads a piece of it behind s->kept, and takes what is whole. */
	enum tcp_diag_read (*read)(struct peers *s);
};

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

	int64_t pause = s->cost_us * COST_SHARE / 1000;
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

/* False when there is nothing more to be learnt from this table in this step. */
static bool
take(struct peers *s, const struct tcp_entry *e)
{
	if (s->step == STEP_CONNECTIONS)
		tcp_peers_add(s->now, e);
	else if (e->listens)
		tcp_peers_listen(s->now, e);
	else
		return false; /* the kernel lists those that listen first */
	return true;
}

static int
open_file(const struct peers *s)
{
	static const char *const files[TABLES] = {"net/tcp", "net/tcp6"};
	char path[PROC_PATH_MAX + 20];

	snprintf(path, sizeof path, "%s/%s", s->paths.proc, files[s->table]);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/* The kernel hands out 4,096 bytes at a time: some 27 sockets. */
static enum tcp_diag_read
read_file(struct peers *s)
{
	ssize_t got = read(s->fd, s->piece + s->kept, sizeof s->piece - s->kept);
	struct tcp_entry e;

	if (got <= 0)
		return TCP_DIAG_END;
	size_t len = s->kept + (size_t) got;
	const char *newline = memrchr(s->piece, '\n', len);
	size_t whole = newline ? (size_t) (newline + 1 - s->piece) : len;
	struct slice text = {s->piece, s->piece + whole};
	while (next_tcp(&text, &e))
		if (!take(s, &e))
			return TCP_DIAG_END;
	s->kept = len - whole;
	memmove(s->piece, s->piece + whole, s->kept);
	return TCP_DIAG_MORE;
}

static int
open_diag(const struct peers *s)
{
	return tcp_diag_open(s->table == 0 ? AF_INET : AF_INET6, s->step == STEP_LISTENING);
}

static void
take_diag(void *into, const struct tcp_entry *e)
{
	take(into, e);
}

static enum tcp_diag_read
read_diag(struct peers *s)
{
	return tcp_diag_read(s->fd, s->piece, take_diag, s);
}

/*
 * For the end of each file the kernel walks through its table of all connections, 2 to 5 ms on a machine with memory (262,144 places);
 * a dump by netlink takes a twentieth of that.
 */
static const struct reader by_file = {open_file, read_file}, by_diag = {open_diag, read_diag};

static void
close_table(struct peers *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->kept = 0;
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
	s->table = 0;
	s->pieces = 0;
	s->cost_us = 0;
	close_table(s);
}

static void
give_up(struct peers *s)
{
	s->step = STEP_IDLE;
	close_table(s);
	free(s->now);
	s->now = NULL;
}

/* Reads a piece of the table. */
static enum tcp_diag_read
read_piece(struct peers *s)
{
	if (s->fd < 0)
		s->fd = s->reader->open(s);
	if (s->fd < 0)
		return s->reader == &by_diag ? TCP_DIAG_FAILED : TCP_DIAG_END;
	return ++s->pieces > PIECES_MAX ? TCP_DIAG_END : s->reader->read(s);
}

/* As many pieces as a turn of the loop has. False when the look is over, one way or the other. */
static bool
go_on(struct peers *s, int64_t now_ms)
{
	enum tcp_diag_read result = TCP_DIAG_MORE;

	for (int i = 0; result == TCP_DIAG_MORE && i < PIECES_A_TURN; i++)
		result = read_piece(s);
	if (result == TCP_DIAG_MORE)
		return true;
	if (result == TCP_DIAG_FAILED) {
		/* A kernel without tcp_diag, or a filter of system calls: for good, and at once. */
		s->reader = &by_file;
		give_up(s);
		begin_look(s, now_ms);
		return s->step != STEP_IDLE;
	}
	close_table(s);
	if (++s->table < TABLES)
		return true;
	s->table = 0;
	bool was_last = s->step == STEP_CONNECTIONS;
	s->step = was_last ? STEP_IDLE : STEP_CONNECTIONS;
	return !was_last;
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
	int64_t before = clock_us(CLOCK_THREAD_CPUTIME_ID);
	bool more = go_on(s, now_ms);
	s->cost_us += clock_us(CLOCK_THREAD_CPUTIME_ID) - before;
	if (!more && s->now)
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
	s->reader = env->options->proc_root ? &by_file : &by_diag;
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
	give_up(s);
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
