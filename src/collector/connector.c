/* connector.c: Connection string to open connection: look up hosts, hand libpq addresses, poll. See connector.h for what belongs here. */
#include "collector/connector.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "core/slice.h"

#define MAX_TARGETS 24

/* Hosts, addresses and ports as libpq takes them: three lists of the same length. */
struct target {
	struct slice host, address, port;
};

struct targets {
	struct target item[MAX_TARGETS];
	int count;
};

static bool
is_sqlstate(const char *s)
{
	for (int i = 0; i < 5; i++)
		if (!isdigit((unsigned char) s[i]) && !(s[i] >= 'A' && s[i] <= 'Z'))
			return false;
	return s[5] == ':' || s[5] == '\0';
}

/*
 * libpq 15 keeps the SQLSTATE of a refused connection to itself, but writes it into a verbose message:
 *   connection to server at "127.0.0.1", port 5432 failed: FATAL:  28P01: password authentication failed for user "x"
 * With several hosts there is a line for each; the one with an answer of a server says most.
 */
void
clean_message(const char *raw, char *message, size_t size, char sqlstate[6])
{
	struct slice all = slice_of(raw), line, best = {raw, raw};

	sqlstate[0] = '\0';
	while (!sqlstate[0] && slice_line(&all, &line)) {
		if (best.p == best.end)
			best = line;
		for (const char *at = line.p; !sqlstate[0] && at + 9 <= line.end; at++)
			if (at[0] == ':' && at[1] == ' ' && at[2] == ' ' && is_sqlstate(at + 3)) {
				snprintf(sqlstate, 6, "%.5s", at + 3);
				best = (struct slice){at + 9 < line.end ? at + 10 : line.end, line.end};
			}
	}
	slice_printable(best, message, size);
}

static enum connector_state
fail(struct connector *c, const char *what)
{
	clean_message(what, c->message, sizeof c->message, c->sqlstate);
	connector_stop(c);
	return CONNECTOR_FAILED;
}

static void
ignore_notice(void *arg, const PGresult *res)
{
}

static enum connector_state
open_connection(struct connector *c, const char *host, const char *address, const char *port)
{
	/* Up to dbname: defaults that the connection string overrides. After it: what was made of the string. */
	const char *keywords[] = {"application_name",
							  "gssencmode",
							  "keepalives",
							  "keepalives_idle",
							  "keepalives_interval",
							  "keepalives_count",
							  "tcp_user_timeout",
							  "dbname",
							  "client_encoding",
							  host ? "host" : NULL,
							  "hostaddr",
							  "port",
							  NULL};
	const char *values[] = {"obs-agent", "disable", "1",  "30",    "10", "3", "15000",
							c->url,      "UTF8",    host, address, port, NULL};

	c->conn = PQconnectStartParams(keywords, values, 1);
	if (!c->conn)
		return fail(c, "out of memory");
	if (PQstatus(c->conn) == CONNECTION_BAD)
		return fail(c, PQerrorMessage(c->conn));
	PQsetNoticeReceiver(c->conn, ignore_notice, NULL);
	PQsetErrorVerbosity(c->conn, PQERRORS_VERBOSE);
	c->events = POLLOUT;
	return CONNECTOR_WORKING;
}

static struct slice
next_item(struct slice *list)
{
	const char *comma = memchr(list->p, ',', (size_t) (list->end - list->p));
	struct slice one = {list->p, comma ? comma : list->end};

	list->p = comma ? comma + 1 : list->end;
	return one;
}

static const char *
option(const PQconninfoOption *options, const char *keyword, const char *variable)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val)
			return options->val;
	return getenv(variable);
}

/* The hosts of the string that have to be looked up, NULL when there is none. To be freed by the caller. */
static char *
hosts_to_look_up(const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	char *found = NULL;

	if (!options)
		return NULL;
	const char *hosts = option(options, "host", "PGHOST");
	if (hosts && !option(options, "hostaddr", "PGHOSTADDR")) {
		struct slice rest = slice_of(hosts);
		while (!found && rest.p < rest.end) {
			char name[256];
			if (slice_copy(next_item(&rest), name, sizeof name) && resolver_needed(name))
				found = strdup(hosts);
		}
	}
	PQconninfoFree(options);
	return found;
}

static void
add_target(struct targets *t, struct slice host, struct slice address, struct slice port)
{
	if (t->count < MAX_TARGETS)
		t->item[t->count++] = (struct target){host, address, port};
}

/* One target for each address of each host. `problem` gets the last name that could not be found. */
static void
list_targets(struct slice hosts, struct slice ports, struct slice answer, int family, struct targets *out,
			 char *problem, size_t size)
{
	bool one_port = !memchr(ports.p, ',', (size_t) (ports.end - ports.p));
	struct slice all_ports = ports, line, word;

	while (slice_line(&answer, &line)) {
		struct slice host = next_item(&hosts), port = one_port ? all_ports : next_item(&ports);
		if (slice_starts(line, "! ")) {
			char name[128], why[128];
			slice_printable(host, name, sizeof name);
			slice_printable((struct slice){line.p + 2, line.end}, why, sizeof why);
			snprintf(problem, size, "host \"%s\" is not found: %s", name, why);
			continue;
		}
		if (slice_equals(line, "-")) {
			add_target(out, host, (struct slice){line.p, line.p}, port);
			continue;
		}
		while (slice_word(&line, &word))
			if (family == 0 || (family == 6) == (memchr(word.p, ':', (size_t) (word.end - word.p)) != NULL))
				add_target(out, host, word, port);
	}
}

static void
append_item(struct strbuf *b, int i, struct slice s)
{
	if (i > 0)
		strbuf_putc(b, ',');
	strbuf_add(b, s.p, (size_t) (s.end - s.p));
}

/* An address that swallows packets would use up the deadline each time: every attempt begins with the next one. */
static enum connector_state
connect_to_addresses(struct connector *c)
{
	struct strbuf host = STRBUF_INIT, address = STRBUF_INIT, port = STRBUF_INIT;
	struct targets targets = {.count = 0};
	char problem[300] = "no address of that family";
	PQconninfoOption *options = PQconninfoParse(c->url, NULL);
	enum connector_state state;

	if (!options)
		return fail(c, "out of memory");
	const char *hosts = option(options, "host", "PGHOST"), *ports = option(options, "port", "PGPORT");
	list_targets(slice_of(hosts ? hosts : ""), slice_of(ports ? ports : ""), slice_of(c->resolver.answer),
				 c->ip_family, &targets, problem, sizeof problem);
	for (int i = 0; i < targets.count; i++) {
		const struct target *t =
			&targets.item[(i + (int) (c->attempts % (unsigned) targets.count)) % targets.count];
		append_item(&host, i, t->host);
		append_item(&address, i, t->address);
		append_item(&port, i, t->port);
	}
	if (targets.count == 0)
		state = fail(c, problem);
	else
		state = open_connection(c, host.data, address.data, port.data);
	PQconninfoFree(options);
	strbuf_free(&host);
	strbuf_free(&address);
	strbuf_free(&port);
	return state;
}

enum connector_state
connector_start(struct connector *c, const char *url)
{
	char *names = hosts_to_look_up(url);
	enum connector_state state = CONNECTOR_WORKING;

	c->url = url;
	c->conn = NULL;
	c->resolver.fd = -1;
	if (!names)
		return open_connection(c, NULL, NULL, NULL);
	if (!resolver_start(&c->resolver, names))
		state = fail(c, strerror(errno));
	free(names);
	return state;
}

enum connector_state
connector_step(struct connector *c)
{
	if (c->resolver.fd >= 0)
		return resolver_receive(&c->resolver) ? connect_to_addresses(c) : CONNECTOR_WORKING;
	switch (PQconnectPoll(c->conn)) {
	case PGRES_POLLING_OK:
		PQsetErrorVerbosity(c->conn, PQERRORS_DEFAULT);
		PQsetnonblocking(c->conn, 1);
		c->attempts = 0;
		return CONNECTOR_OPEN;
	case PGRES_POLLING_READING:
		c->events = POLLIN;
		return CONNECTOR_WORKING;
	case PGRES_POLLING_WRITING:
		c->events = POLLOUT;
		return CONNECTOR_WORKING;
	default:
		if (PQconnectionNeedsPassword(c->conn))
			return fail(c, "FATAL:  28P01: the server wants a password and there is none");
		return fail(c, PQerrorMessage(c->conn));
	}
}

int
connector_fd(const struct connector *c, short *events)
{
	if (c->resolver.fd >= 0) {
		*events = POLLIN;
		return c->resolver.fd;
	}
	*events = c->events;
	return c->conn ? PQsocket(c->conn) : -1;
}

void
connector_stop(struct connector *c)
{
	c->attempts++;
	resolver_stop(&c->resolver);
	PQfinish(c->conn);
	c->conn = NULL;
}
