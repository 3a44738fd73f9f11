/* tcp_diag.c: A dump of NETLINK_SOCK_DIAG. See tcp_diag.h for what belongs here. */
#include "collector/tcp_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STATE_ESTABLISHED = 1, STATE_LISTEN = 10 }; /* include/net/tcp_states.h of the kernel */

int
tcp_diag_open(int family, bool listening)
{
	const struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
	} message = {
		{.nlmsg_len = sizeof message,
		 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		{.sdiag_family = (unsigned char) family,
		 .sdiag_protocol = IPPROTO_TCP,
		 .idiag_states = 1u << (listening ? STATE_LISTEN : STATE_ESTABLISHED)},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	if (fd >= 0 && send(fd, &message, sizeof message, 0) != (ssize_t) sizeof message) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void
read_address(unsigned family, const void *from, struct tcp_address *out)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (family == AF_INET) {
		memcpy(out->byte, mapped, sizeof mapped);
		memcpy(out->byte + 12, from, 4);
	} else
		memcpy(out->byte, from, 16);
}

enum tcp_diag_read
tcp_diag_read(int fd, char buffer[TCP_DIAG_BYTES], void (*take)(void *into, const struct tcp_entry *e),
			  void *into)
{
	ssize_t got = recv(fd, buffer, TCP_DIAG_BYTES, MSG_TRUNC);

	if (got <= 0 || got > TCP_DIAG_BYTES)
		return TCP_DIAG_FAILED;
	const struct nlmsghdr *head = (const struct nlmsghdr *) (const void *) buffer;
	for (unsigned left = (unsigned) got; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
		struct inet_diag_msg m;
		struct tcp_entry e;
		int error = 0;
		if (head->nlmsg_type == NLMSG_DONE) {
			if (head->nlmsg_len >= NLMSG_LENGTH(sizeof error))
				memcpy(&error, NLMSG_DATA(head), sizeof error);
			return error < 0 ? TCP_DIAG_FAILED : TCP_DIAG_END;
		}
		if (head->nlmsg_type == NLMSG_ERROR || head->nlmsg_len < NLMSG_LENGTH(sizeof m))
			return TCP_DIAG_FAILED;
		memcpy(&m, NLMSG_DATA(head), sizeof m);
		read_address(m.idiag_family, m.id.idiag_src, &e.local);
		read_address(m.idiag_family, m.id.idiag_dst, &e.remote);
		e.local_port = ntohs(m.id.idiag_sport);
		e.remote_port = ntohs(m.id.idiag_dport);
		e.listens = m.idiag_state == STATE_LISTEN;
		e.established = m.idiag_state == STATE_ESTABLISHED;
		take(into, &e);
	}
	return TCP_DIAG_MORE;
}
