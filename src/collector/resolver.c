/* resolver.c: A process that looks names up and ends. See resolver.h for what belongs here. */
#include "collector/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector/child.h"
#include "common/strbuf.h"
#include "core/slice.h"

#define MAX_ADDRESSES 6

bool
resolver_needed(const char *name)
{
	unsigned char address[16];

	return name[0] && name[0] != '/' && name[0] != '@' && inet_pton(AF_INET, name, address) != 1 &&
		   inet_pton(AF_INET6, name, address) != 1;
}

static void
look_up(const char *name, struct strbuf *out)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int rc = getaddrinfo(name, NULL, &hints, &list), n = 0;
	char address[INET6_ADDRSTRLEN + 20];

	if (rc != 0) {
		strbuf_printf(out, "! %s\n", rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
		return;
	}
	for (struct addrinfo *a = list; a && n < MAX_ADDRESSES; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) == 0)
			strbuf_printf(out, "%s%s", n++ ? " " : "", address);
	strbuf_puts(out, n ? "\n" : "! no address\n");
	freeaddrinfo(list);
}

static void
resolver_main(int fd, const void *names)
{
	struct strbuf out = STRBUF_INIT;
	struct slice rest = slice_of(names);
	bool more = true;

	while (more) {
		const char *comma = memchr(rest.p, ',', (size_t) (rest.end - rest.p));
		struct slice one = {rest.p, comma ? comma : rest.end};
		char name[NI_MAXHOST];
		if (!slice_copy(one, name, sizeof name))
			strbuf_puts(&out, "! name too long\n");
		else if (resolver_needed(name))
			look_up(name, &out);
		else
			strbuf_puts(&out, "-\n");
		more = comma != NULL;
		rest.p = comma ? comma + 1 : rest.end;
	}
	size_t len = out.len < RESOLVER_ANSWER_MAX - 1 ? out.len : RESOLVER_ANSWER_MAX - 1;
	if (write(fd, out.data, len) < 0)
		_exit(1);
}

bool
resolver_start(struct resolver *r, const char *names)
{
	r->used = 0;
	r->fd = child_fork("obs-agent-dns", resolver_main, names, &r->pid);
	return r->fd >= 0;
}

bool
resolver_receive(struct resolver *r)
{
	ssize_t got = read(r->fd, r->answer + r->used, sizeof r->answer - 1 - r->used);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got > 0) {
		r->used += (size_t) got;
		if (r->used < sizeof r->answer - 1)
			return false;
	}
	r->answer[r->used] = '\0';
	/* It has ended by itself: its number may be another process's by now. */
	close(r->fd);
	r->fd = -1;
	return true;
}

void
resolver_stop(struct resolver *r)
{
	if (r->fd < 0)
		return;
	close(r->fd);
	r->fd = -1;
	kill(r->pid, SIGKILL);
}
