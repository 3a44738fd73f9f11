/* health_tcp.c: A TCP connection; redis: AUTH and PING through one. See health_probe.h for what belongs here. */
#include "collector/health_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "core/slice.h"

#define REDIS_PORT 6379

static void
stop(struct probe *p)
{
	if (p->fd >= 0)
		close(p->fd);
}

/* --- tcp://HOST:PORT, by libcurl: it looks names up without waiting, and tries the addresses of both families. */

static bool
connect_to(struct probe *p, const char *authority, size_t len, int default_port, transfer_done done)
{
	char url[2200];
	const char *colon = memrchr(authority, ':', len), *bracket = memrchr(authority, ']', len);
	bool has_port = colon && (!bracket || colon > bracket) && colon + 1 < authority + len;
	const struct transfer_request request = {
		.url = url,
		.timeout_ms = p->check->timeout_s * 1000,
		.ip_family = p->check->ip_family,
		.fresh = true,
		.connect_only = true,
	};

	if (has_port)
		snprintf(url, sizeof url, "http://%.*s", (int) len, authority);
	else
		snprintf(url, sizeof url, "http://%.*s:%d",
				 (int) (colon && !bracket ? colon - authority : (long) len), authority, default_port);
	return probe_transfer(p, &request, done);
}

static void
on_tcp(void *arg, const struct transfer_response *response)
{
	struct probe *p = arg;

	if (probe_take(p, response))
		probe_pass(p);
}

static void
start_tcp(struct probe *p)
{
	const char *authority = p->check->url + strlen("tcp://");

	connect_to(p, authority, strcspn(authority, "/?#"), 0, on_tcp);
}

const struct probe_kind probe_tcp = {.start = start_tcp, .stop = stop};

/* --- redis://[[USER]:PASSWORD@]HOST[:PORT][/...] or redis:///PATH/OF/SOCKET; https://redis.io/docs/reference/protocol-spec/ */

struct redis_url {
	struct slice user, password, authority;
	const char *path; /* NULL: TCP */
};

static struct redis_url
parse_url(const char *url)
{
	struct redis_url out = {.path = NULL};
	const char *text = url + strlen("redis://");
	size_t len = strcspn(text, "/?#");
	const char *at = memrchr(text, '@', len);

	if (at) {
		const char *colon = memchr(text, ':', (size_t) (at - text));
		out.user = (struct slice){text, colon ? colon : at};
		out.password = (struct slice){colon ? colon + 1 : at, at};
	}
	out.authority = (struct slice){at ? at + 1 : text, text + len};
	if (out.authority.p == out.authority.end)
		out.path = text + len;
	return out;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
		   : c >= 'a' && c <= 'f' ? c - 'a' + 10
		   : c >= 'A' && c <= 'F' ? c - 'A' + 10
								  : -1;
}

/* A bulk string; %XX as in every URL. */
static void
put_bulk(struct strbuf *b, struct slice encoded)
{
	struct strbuf text = STRBUF_INIT;

	for (const char *c = encoded.p; c < encoded.end; c++) {
		int high = *c == '%' && encoded.end - c > 2 ? hex_digit(c[1]) : -1;
		int low = high >= 0 ? hex_digit(c[2]) : -1;
		strbuf_putc(&text, low >= 0 ? (char) (high << 4 | low) : *c);
		if (low >= 0)
			c += 2;
	}
	strbuf_printf(b, "$%zu\r\n", text.len);
	strbuf_add(b, text.data ? text.data : "", text.len);
	strbuf_puts(b, "\r\n");
	strbuf_free(&text);
}

static bool
has_password(const struct probe *p)
{
	struct redis_url url = parse_url(p->check->url);

	return url.password.p < url.password.end;
}

/* AUTH and PING in one go: the answers come in their order. */
static void
send_ping(struct probe *p)
{
	struct redis_url url = parse_url(p->check->url);
	bool user = url.user.p < url.user.end;
	struct strbuf b = STRBUF_INIT;

	if (has_password(p)) {
		strbuf_printf(&b, "*%d\r\n$4\r\nAUTH\r\n", user ? 3 : 2);
		if (user)
			put_bulk(&b, url.user);
		put_bulk(&b, url.password);
	}
	strbuf_puts(&b, "*1\r\n$4\r\nPING\r\n");
	p->connected_us = clock_us(CLOCK_MONOTONIC);
	p->connected = true;
	p->events = POLLIN;
	/* Less than any socket's buffer: it is taken whole. */
	if (b.failed || send(p->fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t) b.len) {
		p->result.again = true;
		probe_fail(p, HEALTH_NO_CONNECTION, "%s", b.failed ? "out of memory" : strerror(errno));
	}
	strbuf_free(&b);
}

static void
on_connection(void *arg, const struct transfer_response *response)
{
	struct probe *p = arg;

	if (!probe_take(p, response))
		return;
	p->result.total_us = -1;
	p->fd = fcntl(response->fd, F_DUPFD_CLOEXEC, 3);
	if (p->fd < 0)
		probe_fail(p, HEALTH_NOT_TRIED, "%s", strerror(errno));
	else
		send_ping(p);
}

static void
start_redis(struct probe *p)
{
	struct redis_url url = parse_url(p->check->url);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!url.path) {
		connect_to(p, url.authority.p, (size_t) (url.authority.end - url.authority.p), REDIS_PORT,
				   on_connection);
		return;
	}
	if (strlen(url.path) >= sizeof address.sun_path) {
		probe_fail(p, HEALTH_NOT_TRIED, "the path of the socket is too long");
		return;
	}
	memcpy(address.sun_path, url.path, strlen(url.path) + 1);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		probe_fail(p, HEALTH_NOT_TRIED, "%s", strerror(errno));
	else if (connect(p->fd, (const struct sockaddr *) &address, sizeof address) < 0) {
		p->result.again = true;
		probe_fail(p, HEALTH_NO_CONNECTION, "%s", strerror(errno));
	} else
		send_ping(p);
}

/* An error's first word is its code. The rest of a refused AUTH may quote what was sent: the password. */
static void
judge_line(struct probe *p, struct slice line, bool to_auth)
{
	struct slice rest = line, code;
	char shown[200];

	if (!to_auth && slice_equals(line, "+PONG")) {
		p->result.first_byte_us = clock_us(CLOCK_MONOTONIC) - p->connected_us;
		probe_pass(p);
		return;
	}
	if (to_auth && slice_equals(line, "+OK"))
		return;
	if (line.p == line.end || *line.p != '-') {
		probe_fail(p, HEALTH_BAD_STATUS, "%s", "the answer is not that of a redis server");
		return;
	}
	rest.p++;
	slice_word(&rest, &code);
	slice_printable(to_auth ? code : (struct slice){line.p + 1, line.end}, shown, sizeof shown);
	probe_fail(p, HEALTH_BAD_STATUS, to_auth ? "the password was refused (%s)" : "%s", shown);
}

static void
ready_redis(struct probe *p)
{
	ssize_t got = recv(p->fd, p->answer + p->answer_len, sizeof p->answer - p->answer_len, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		p->result.again = true;
		probe_fail(p, HEALTH_NO_CONNECTION, "%s", got < 0 ? strerror(errno) : "closed without an answer");
		return;
	}
	p->answer_len += (size_t) got;

	struct slice all = {p->answer, p->answer + p->answer_len};
	bool to_auth = has_password(p);
	while (!p->over && all.p < all.end) {
		const char *end = memmem(all.p, (size_t) (all.end - all.p), "\r\n", 2);
		if (!end)
			break;
		judge_line(p, (struct slice){all.p, end}, to_auth);
		to_auth = false;
		all.p = end + 2;
	}
	if (!p->over && p->answer_len == sizeof p->answer)
		probe_fail(p, HEALTH_BAD_STATUS, "%s", "the answer is not that of a redis server");
}

static void
late_redis(struct probe *p)
{
	probe_fail(p, HEALTH_TOO_LATE, "no answer within %d s", p->check->timeout_s);
}

const struct probe_kind probe_redis = {
	.start = start_redis, .ready = ready_redis, .late = late_redis, .stop = stop};
