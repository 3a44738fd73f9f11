/*
 * A receiver of webhooks that is never the bottleneck, for benchmarks and for tests that count: build/bench/receiver [PORT]
 *
 * One thread, epoll, keep-alive. It prints its port, and serves on 127.0.0.1 until it is ended. What a path begins with says what becomes of a POST:
 *     /ok      200 at once
 *     /hang    read, and never answered
 *     /lost/N  every Nth is read and written down, and the connection closed: before the answer, the next time in the middle of it
 *     /busy    503 to every third, 200 to the others
 * GET /count gives "requests answered connections"; GET /log a line for each POST: microseconds since 1970, path, Idempotency-Key ("-": none),
 * status that was answered (0: none, -1: torn). GET /body gives the body of the latest POST.
 *
 * Belongs here: what both observ and Alertmanager can talk to. Does not: TLS, scripted answers (test/e2e/receivers.py).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS    256
#define Max(a, b) ((a) > (b) ? (a) : (b))

struct text {
	char *data;
	size_t len, size;
};

struct connection {
	int fd;
	struct text in;
	size_t seen;    /* bytes of `in` that were looked through for the end of the headers */
	bool continued; /* 100 Continue was said */
};

struct request {
	char method[8], path[256], key[128];
	size_t head, body; /* bytes */
	bool expects;      /* 100 Continue */
};

static struct text history, latest;
static unsigned long requests, answered, connections;

static void *
need(void *memory)
{
	if (!memory) {
		perror("receiver");
		exit(1);
	}
	return memory;
}

static void
append(struct text *t, const char *data, size_t len)
{
	if (t->len + len + 1 > t->size) {
		t->size = (t->len + len + 1) * 2;
		t->data = need(realloc(t->data, t->size));
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = '\0';
}

static void
note(const struct request *r, int status)
{
	char line[512];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	append(&history, line,
		   (size_t) snprintf(line, sizeof line, "%lld %s %s %d\n",
							 (long long) now.tv_sec * 1000000 + now.tv_nsec / 1000, r->path,
							 r->key[0] ? r->key : "-", status));
}

/* Small answers fit into the buffer of a socket; the large ones are for a client that waits, which is waited for. */
static bool
put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t) n;
		} else if (n < 0)
			usleep(1000);
	}
	return true;
}

static bool
answer(int fd, int status, const char *body, size_t len)
{
	char head[160];
	int n = snprintf(head, sizeof head,
					 "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", status,
					 status == 200 ? "OK" : "Service Unavailable", len);

	if (len < 64) {
		char all[256];

		memcpy(all, head, (size_t) n);
		memcpy(all + n, body, len);
		return put(fd, all, (size_t) n + len);
	}
	return put(fd, head, (size_t) n) && put(fd, body, len);
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* False: the connection is to be closed. */
static bool
serve_get(int fd, const struct request *r)
{
	char count[100];

	if (begins(r->path, "/log"))
		return answer(fd, 200, history.data ? history.data : "", history.len);
	if (begins(r->path, "/body"))
		return answer(fd, 200, latest.data ? latest.data : "", latest.len);
	return answer(fd, 200, count,
				  (size_t) snprintf(count, sizeof count, "%lu %lu %lu\n", requests, answered, connections));
}

static bool
serve_post(int fd, const struct request *r, const char *body)
{
	int status = 200;

	requests++;
	latest.len = 0;
	append(&latest, body, r->body);
	if (begins(r->path, "/hang")) {
		note(r, 0);
		return true;
	}
	if (begins(r->path, "/lost/") && requests % (unsigned long) Max(strtol(r->path + 6, NULL, 10), 1) == 0) {
		static bool torn = false;

		note(r, torn ? -1 : 0);
		if (torn)
			(void) put(fd, "HTTP/1.1 200 OK\r\nConte", 22);
		torn = !torn;
		return false;
	}
	if (begins(r->path, "/busy") && requests % 3 == 0)
		status = 503;
	note(r, status);
	answered++;
	return answer(fd, status, "ok", 2);
}

/* The value of a header, "" when it is not there. */
static void
header(const char *head, const char *end, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	value[0] = '\0';
	for (const char *line = strstr(head, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
			const char *from = line + 3 + len + strspn(line + 3 + len, " ");

			snprintf(value, size, "%.*s", (int) strcspn(from, "\r"), from);
			return;
		}
}

/* Whether a whole head is there. */
static bool
parse(struct connection *c, struct request *r)
{
	char value[32];
	char *end = c->in.data == NULL ? NULL : strstr(c->in.data + c->seen, "\r\n\r\n");

	if (!end) {
		c->seen = c->in.len > 3 ? c->in.len - 3 : 0;
		return false;
	}
	if (sscanf(c->in.data, "%7s %255s", r->method, r->path) != 2)
		r->method[0] = r->path[0] = '\0';
	header(c->in.data, end, "Content-Length", value, sizeof value);
	r->head = (size_t) (end + 4 - c->in.data);
	r->body = strtoul(value, NULL, 10);
	header(c->in.data, end, "Idempotency-Key", r->key, sizeof r->key);
	header(c->in.data, end, "Expect", value, sizeof value);
	r->expects = value[0] != '\0';
	return true;
}

/* What has come on a connection. False: it is to be closed. */
static bool
serve(struct connection *c)
{
	struct request r;

	while (parse(c, &r)) {
		bool open;

		if (c->in.len < r.head + r.body) {
			if (r.expects && !c->continued)
				c->continued = put(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
			return true;
		}
		open = r.method[0] == 'G' ? serve_get(c->fd, &r) : serve_post(c->fd, &r, c->in.data + r.head);
		c->in.len -= r.head + r.body;
		memmove(c->in.data, c->in.data + r.head + r.body, c->in.len + 1);
		c->seen = 0;
		c->continued = false;
		if (!open)
			return false;
	}
	return true;
}

static bool
read_some(struct connection *c)
{
	char buffer[65536];
	ssize_t n;

	while ((n = recv(c->fd, buffer, sizeof buffer, 0)) > 0) {
		append(&c->in, buffer, (size_t) n);
		if ((size_t) n < sizeof buffer)
			return serve(c);
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? serve(c) : false;
}

static void
drop(struct connection *c)
{
	close(c->fd);
	free(c->in.data);
	free(c);
}

static void
take(int epoll_fd, int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *c = need(calloc(1, sizeof *c));
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

		c->fd = fd;
		connections++;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN};

	address.sin_port = htons((uint16_t) (argc > 1 ? strtoul(argv[1], NULL, 10) : 0));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(listener, 1024) < 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) < 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) {
		perror("receiver");
		return 1;
	}
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c)
				take(epoll_fd, listener);
			else if (!read_some(c))
				drop(c);
		}
	}
}
