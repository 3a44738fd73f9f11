/*
 * curl_guard.c: whom a transfer may talk to, asked of `allow` with the address itself: whatever name, spelling or DNS server led to it.
 * Does not belong here: which addresses those are.
 */
#include "common/curl_parts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "[::1]" */
static bool
parse_address(const char *text, struct sockaddr_storage *out)
{
	char plain[INET6_ADDRSTRLEN];
	struct sockaddr_in *four = (struct sockaddr_in *) out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *) out;
	size_t len;

	text += *text == '[';
	len = strcspn(text, "%]");
	if (len >= sizeof plain)
		return false;
	snprintf(plain, sizeof plain, "%.*s", (int) len, text);
	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, plain, &four->sin_addr) == 1)
		out->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, plain, &six->sin6_addr) == 1)
		out->ss_family = AF_INET6;
	else
		return false;
	return true;
}

static void
refuse(struct transfer *x, const char *address)
{
	x->refused = true;
	x->phase = PHASE_CONNECT;
	snprintf(x->refused_address, sizeof x->refused_address, "%s", address);
}

/* libcurl wants a socket for this address: none for one that is not allowed, then it tries the next one of the name. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *x = arg;
	char text[INET6_ADDRSTRLEN] = "?";

	if (x->forbidden) {
		x->phase = PHASE_CONNECT;
		return CURL_SOCKET_BAD;
	}
	if (x->allow(x->allow_arg, &address->addr)) {
		x->refused = false;
		return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	}
	if (address->family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *) &address->addr)->sin_addr, text, sizeof text);
	else if (address->family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *) &address->addr)->sin6_addr, text, sizeof text);
	refuse(x, text);
	return CURL_SOCKET_BAD;
}

bool
transfer_address_allowed(struct transfer *x, const char *address)
{
	struct sockaddr_storage parsed;

	if (!x->allow)
		return true;
	if (x->forbidden)
		return false;
	if (parse_address(address, &parsed) && x->allow(x->allow_arg, (struct sockaddr *) &parsed))
		return true;
	refuse(x, address);
	return false;
}

/* Behind a proxy: a URL with an address in it. libcurl's parser knows decimal, octal, hexadecimal and short forms. */
static bool
check_literal(struct transfer *x, const char *url)
{
	CURLU *parts = libcurl.curl_url();
	struct sockaddr_storage parsed;
	char *host = NULL;

	if (!parts)
		return false;
	if (libcurl.curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		libcurl.curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK && parse_address(host, &parsed) &&
		!x->allow(x->allow_arg, (struct sockaddr *) &parsed)) {
		refuse(x, host);
		x->forbidden = true;
	}
	libcurl.curl_free(host);
	libcurl.curl_url_cleanup(parts);
	return true;
}

bool
transfer_set_guard(struct transfer *x, const struct transfer_request *r)
{
	x->proxied = r->proxy && *r->proxy;
	if (!r->allow)
		return true;
	x->allow = r->allow;
	x->allow_arg = r->allow_arg;
	libcurl.curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, x);
	return !x->proxied || check_literal(x, r->url);
}
