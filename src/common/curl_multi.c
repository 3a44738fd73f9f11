/*
 * curl_multi.c: libcurl tells which sockets and which deadline it waits for; both live in one epoll. See curl_multi.h.
 *
 * https://curl.se/libcurl/c/libcurl-multi.html, "Multi-socket". libcurl caches the parsed certificate store in the multi handle (since
 * 7.87), but only where there is no CAPATH: that is the difference between 1 and 25 ms of CPU for a handshake.
 */
#define CURL_DISABLE_TYPECHECK
#include "common/curl_multi.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/strbuf.h"

#define OLDEST_LIBCURL 0x075500 /* CURLOPT_PROTOCOLS_STR */
#define EVENTS_AT_ONCE 16
#define MAX_HEADERS    262144 /* bytes, of all answers together: libcurl itself has no limit, and keeps them */

/* What is used of libcurl: one line each. */
#define LIBCURL(X)                                                                                           \
	X(curl_global_init)                                                                                      \
	X(curl_version_info)                                                                                     \
	X(curl_getdate)                                                                                          \
	X(curl_easy_init)                                                                                        \
	X(curl_easy_setopt)                                                                                      \
	X(curl_easy_getinfo)                                                                                     \
	X(curl_easy_strerror)                                                                                    \
	X(curl_easy_cleanup)                                                                                     \
	X(curl_slist_append)                                                                                     \
	X(curl_slist_free_all)                                                                                   \
	X(curl_multi_init)                                                                                       \
	X(curl_multi_setopt)                                                                                     \
	X(curl_multi_add_handle)                                                                                 \
	X(curl_multi_remove_handle)                                                                              \
	X(curl_multi_socket_action)                                                                              \
	X(curl_multi_info_read)                                                                                  \
	X(curl_multi_cleanup)

#define AS_MEMBER(name) __typeof__(name) *name;
#define AS_SYMBOL(name) {#name, offsetof(struct libcurl, name)},

/* Process-wide, as libcurl itself is. */
static struct libcurl {
	LIBCURL(AS_MEMBER)
	bool loaded;
} lib;

struct transfers {
	CURLM *multi;
	int epoll_fd, timer_fd;
	struct transfer *first;
};

struct transfer {
	struct transfers *all;
	struct transfer *next, **link; /* all->first ... */
	CURL *easy;
	struct curl_slist *headers;
	transfer_done done;
	void *arg;
	struct strbuf body;
	size_t max_body, header_bytes;
	bool cut, connect_only;
	enum transfer_phase phase; /* of the present hop */
	char error[CURL_ERROR_SIZE];
};

static bool
load_library(char *error, size_t size)
{
	static const struct {
		const char *name;
		size_t offset;
	} symbols[] = {LIBCURL(AS_SYMBOL)};
	void *handle;

	if (lib.loaded)
		return true;
	handle = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
	if (!handle) {
		snprintf(error, size, "%s", dlerror());
		return false;
	}
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (!symbol) {
			snprintf(error, size, "libcurl.so.4 has no %s", symbols[i].name);
			return false;
		}
		memcpy((char *) &lib + symbols[i].offset, &symbol, sizeof symbol);
	}
	const curl_version_info_data *version = lib.curl_version_info(CURLVERSION_NOW);
	if (version->version_num < OLDEST_LIBCURL) {
		snprintf(error, size, "libcurl is too old: %s, needed is 7.85", version->version);
		return false;
	}
	if (lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		snprintf(error, size, "libcurl could not be initialized");
		return false;
	}
	lib.loaded = true;
	return true;
}

/* libcurl 7.88 counts a connection whose TLS handshake fails as never made. The first wait for an answer tells
 * that it was. When exactly stays unknown. */
static void
note_tcp(CURL *easy, int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;
	struct transfer *x = NULL;

	if (lib.curl_easy_getinfo(easy, CURLINFO_PRIVATE, &x) != CURLE_OK || !x || x->phase != PHASE_CONNECT ||
		getpeername(fd, (struct sockaddr *) &peer, &len) < 0)
		return;
	x->phase = PHASE_TLS;
}

/* libcurl waits for something else on this socket from now on. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct transfers *t = arg;
	struct epoll_event event = {.data.fd = fd};

	if (what == CURL_POLL_IN)
		note_tcp(easy, fd);
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	/* A number that was closed and opened again has left the epoll by itself. */
	else if (epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 && errno == ENOENT)
		epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static int
on_timer(CURLM *multi, long wait_ms, void *arg)
{
	struct transfers *t = arg;
	struct itimerspec when = {.it_value = {wait_ms / 1000, wait_ms % 1000 * 1000000}};

	if (wait_ms == 0)
		when.it_value.tv_nsec = 1;
	if (wait_ms < 0)
		when.it_value = (struct timespec){0, 0};
	timerfd_settime(t->timer_fd, 0, &when, NULL);
	return 0;
}

struct transfers *
transfers_open(char *error, size_t size)
{
	struct transfers *t;
	struct epoll_event event = {.events = EPOLLIN};

	if (!load_library(error, size))
		return NULL;
	t = calloc(1, sizeof *t);
	if (!t) {
		snprintf(error, size, "out of memory");
		return NULL;
	}
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	t->multi = lib.curl_multi_init();
	event.data.fd = t->timer_fd;
	if (t->epoll_fd < 0 || t->timer_fd < 0 || !t->multi ||
		epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->timer_fd, &event) < 0) {
		snprintf(error, size, "%s", strerror(errno));
		transfers_close(t);
		return NULL;
	}
	lib.curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	lib.curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	lib.curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	lib.curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	return t;
}

void
transfers_close(struct transfers *t)
{
	while (t->first)
		transfer_cancel(t->first);
	if (t->multi)
		lib.curl_multi_cleanup(t->multi);
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free(t);
}

int
transfers_fd(const struct transfers *t)
{
	return t->epoll_fd;
}

/* How far the present hop has come; each redirect begins again. */
static int
on_resolve(void *state, void *reserved, void *arg)
{
	struct transfer *x = arg;

	x->phase = PHASE_DNS;
	return 0;
}

static int
on_connect(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct transfer *x = arg;

	x->phase = PHASE_CONNECT;
	return CURL_SOCKOPT_OK;
}

static int
on_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct transfer *x = arg;

	x->phase = PHASE_FIRST_BYTE;
	return CURL_PREREQFUNC_OK;
}

static size_t
on_body(char *bytes, size_t one, size_t len, void *arg)
{
	struct transfer *x = arg;
	size_t room = x->max_body - x->body.len;

	strbuf_add(&x->body, bytes, len < room ? len : room);
	x->cut = len > room;
	return x->cut || x->body.failed ? 0 : len;
}

/* A new answer begins (after a redirect). Once it was https it stays https. */
static size_t
on_header(char *bytes, size_t one, size_t len, void *arg)
{
	struct transfer *x = arg;
	char *scheme = NULL;

	x->header_bytes += len;
	if (x->header_bytes > MAX_HEADERS)
		return 0;
	if (len < 5 || strncasecmp(bytes, "HTTP/", 5) != 0)
		return len;
	strbuf_reset(&x->body);
	x->phase = PHASE_BODY;
	if (lib.curl_easy_getinfo(x->easy, CURLINFO_SCHEME, &scheme) == CURLE_OK && scheme &&
		strcasecmp(scheme, "https") == 0)
		lib.curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	return len;
}

static bool
set_body(struct transfer *x, const struct transfer_request *r)
{
	CURLcode rc = CURLE_OK;

	if (r->body) {
		lib.curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body_len);
		rc = lib.curl_easy_setopt(x->easy, CURLOPT_COPYPOSTFIELDS, r->body);
	}
	if (!r->method || rc != CURLE_OK)
		return rc == CURLE_OK;
	if (strcmp(r->method, "HEAD") == 0)
		return lib.curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
	/* GET and POST are libcurl's own: after a redirect POST becomes GET, where RFC 9110 says so. */
	if (strcmp(r->method, r->body ? "POST" : "GET") == 0)
		return true;
	return lib.curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK;
}

static bool
set_headers(struct transfer *x, const struct transfer_request *r)
{
	for (int i = 0; i < r->header_count; i++) {
		struct curl_slist *longer = lib.curl_slist_append(x->headers, r->headers[i]);
		if (!longer)
			return false;
		x->headers = longer;
	}
	return lib.curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK;
}

/* Where a connection comes from and whom it trusts. */
static void
set_connection(struct transfer *x, const struct transfer_request *r)
{
	long family = r->ip_family == 4   ? CURL_IPRESOLVE_V4
				  : r->ip_family == 6 ? CURL_IPRESOLVE_V6
									  : CURL_IPRESOLVE_WHATEVER;

	lib.curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
	lib.curl_easy_setopt(x->easy, CURLOPT_QUICK_EXIT,
						 1L); /* a look-up that hangs is left behind, not waited for */
	lib.curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long) r->timeout_ms);
	lib.curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS, (long) r->timeout_ms);
	lib.curl_easy_setopt(x->easy, CURLOPT_IPRESOLVE, family);
	lib.curl_easy_setopt(x->easy, CURLOPT_CAPATH, NULL);
	if (r->ca_file)
		lib.curl_easy_setopt(x->easy, CURLOPT_CAINFO, r->ca_file);
	lib.curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, r->verify_tls ? 1L : 0L);
	lib.curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, r->verify_tls ? 2L : 0L);
	lib.curl_easy_setopt(x->easy, CURLOPT_CERTINFO, 1L);
	lib.curl_easy_setopt(x->easy, CURLOPT_CONNECT_ONLY, r->connect_only ? 1L : 0L);
	if (!r->use_proxy)
		lib.curl_easy_setopt(x->easy, CURLOPT_PROXY, "");
	if (!r->fresh)
		return;
	lib.curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
	/* A connection that is wanted for itself must be there when it is reported; it goes with its transfer. */
	lib.curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, r->connect_only ? 0L : 1L);
	lib.curl_easy_setopt(x->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	lib.curl_easy_setopt(x->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

static bool
set_request(struct transfer *x, const struct transfer_request *r)
{
	set_connection(x, r);
	lib.curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
	lib.curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->error);
	lib.curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
	lib.curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
	lib.curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
	lib.curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
	lib.curl_easy_setopt(x->easy, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
	lib.curl_easy_setopt(x->easy, CURLOPT_RESOLVER_START_DATA, x);
	lib.curl_easy_setopt(x->easy, CURLOPT_SOCKOPTFUNCTION, on_connect);
	lib.curl_easy_setopt(x->easy, CURLOPT_SOCKOPTDATA, x);
	lib.curl_easy_setopt(x->easy, CURLOPT_PREREQFUNCTION, on_request);
	lib.curl_easy_setopt(x->easy, CURLOPT_PREREQDATA, x);
	lib.curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	lib.curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	lib.curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	lib.curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, r->max_redirects > 0 ? 1L : 0L);
	lib.curl_easy_setopt(x->easy, CURLOPT_MAXREDIRS, (long) r->max_redirects);
	lib.curl_easy_setopt(x->easy, CURLOPT_COOKIEFILE, ""); /* cookies are kept within one transfer */
	return lib.curl_easy_setopt(x->easy, CURLOPT_URL, r->url) == CURLE_OK &&
		   lib.curl_easy_setopt(x->easy, CURLOPT_USERAGENT, r->user_agent) == CURLE_OK && set_body(x, r) &&
		   set_headers(x, r);
}

static void
free_transfer(struct transfer *x)
{
	if (x->link) {
		*x->link = x->next;
		if (x->next)
			x->next->link = x->link;
	}
	lib.curl_easy_cleanup(x->easy);
	lib.curl_slist_free_all(x->headers);
	strbuf_free(&x->body);
	free(x);
}

struct transfer *
transfer_start(struct transfers *t, const struct transfer_request *request, transfer_done done, void *arg)
{
	struct transfer *x = calloc(1, sizeof *x);

	if (!x)
		return NULL;
	*x = (struct transfer){.all = t, .done = done, .arg = arg, .max_body = request->max_body};
	x->connect_only = request->connect_only;
	x->easy = lib.curl_easy_init();
	if (!x->easy || !set_request(x, request) || lib.curl_multi_add_handle(t->multi, x->easy) != CURLM_OK) {
		free_transfer(x);
		return NULL;
	}
	x->next = t->first;
	x->link = &t->first;
	if (x->next)
		x->next->link = &x->next;
	t->first = x;
	return x;
}

void
transfer_cancel(struct transfer *transfer)
{
	lib.curl_multi_remove_handle(transfer->all->multi, transfer->easy);
	free_transfer(transfer);
}

/* libcurl's times count from the start; -1 for what was not reached (0). */
static int64_t
phase_us(CURL *easy, CURLINFO end, CURLINFO begin)
{
	curl_off_t to = 0, from = 0;

	lib.curl_easy_getinfo(easy, end, &to);
	if (begin != CURLINFO_NONE)
		lib.curl_easy_getinfo(easy, begin, &from);
	return to == 0 ? -1 : to > from ? to - from : 0;
}

static void
read_times(const struct transfer *x, struct transfer_response *out)
{
	out->phase = x->phase;
	out->dns_us = phase_us(x->easy, CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_NONE);
	out->connect_us = phase_us(x->easy, CURLINFO_CONNECT_TIME_T, CURLINFO_NAMELOOKUP_TIME_T);
	out->tls_us = phase_us(x->easy, CURLINFO_APPCONNECT_TIME_T, CURLINFO_CONNECT_TIME_T);
	out->first_byte_us = phase_us(x->easy, CURLINFO_STARTTRANSFER_TIME_T, CURLINFO_PRETRANSFER_TIME_T);
	out->total_us = phase_us(x->easy, CURLINFO_TOTAL_TIME_T, CURLINFO_NONE);
}

/* "Expire date:Nov 21 15:07:32 2026 GMT" of the first certificate, the server's own. */
static int64_t
read_expiry(CURL *easy)
{
	static const char key[] = "Expire date:";
	struct curl_certinfo *info = NULL;

	if (lib.curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info || info->num_of_certs < 1)
		return 0;
	for (const struct curl_slist *line = info->certinfo[0]; line; line = line->next)
		if (strncmp(line->data, key, sizeof key - 1) == 0) {
			time_t when = lib.curl_getdate(line->data + sizeof key - 1, NULL);
			return when > 0 ? when : 0;
		}
	return 0;
}

static enum transfer_outcome
classify(CURLcode rc, const struct transfer *x, const struct transfer_response *r)
{
	static const struct {
		CURLcode code;
		enum transfer_outcome outcome;
	} known[] = {
		{CURLE_OK, TRANSFER_ANSWERED},
		{CURLE_COULDNT_RESOLVE_HOST, TRANSFER_DNS},
		{CURLE_COULDNT_RESOLVE_PROXY, TRANSFER_DNS},
		{CURLE_COULDNT_CONNECT, TRANSFER_CONNECT},
		{CURLE_INTERFACE_FAILED, TRANSFER_CONNECT},
		{CURLE_OPERATION_TIMEDOUT, TRANSFER_TIMEOUT},
		{CURLE_SSL_CONNECT_ERROR, TRANSFER_TLS},
		{CURLE_SSL_CIPHER, TRANSFER_TLS},
		{CURLE_SSL_INVALIDCERTSTATUS, TRANSFER_UNTRUSTED},
		{CURLE_PEER_FAILED_VERIFICATION, TRANSFER_UNTRUSTED},
		{CURLE_TOO_MANY_REDIRECTS, TRANSFER_REDIRECT},
		{CURLE_GOT_NOTHING, TRANSFER_BROKEN},
		{CURLE_SEND_ERROR, TRANSFER_BROKEN},
		{CURLE_RECV_ERROR, TRANSFER_BROKEN},
		{CURLE_PARTIAL_FILE, TRANSFER_BROKEN},
		{CURLE_WEIRD_SERVER_REPLY, TRANSFER_BROKEN},
		{CURLE_BAD_CONTENT_ENCODING, TRANSFER_BROKEN},
	};

	if (rc == CURLE_WRITE_ERROR && x->cut)
		return TRANSFER_ANSWERED;
	if (x->header_bytes > MAX_HEADERS)
		return TRANSFER_BROKEN;
	/* The address that the last answer names can't or must not be used. */
	if ((rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT) && r->status >= 300 &&
		r->status < 400)
		return TRANSFER_REDIRECT;
	if (rc == CURLE_UNSUPPORTED_PROTOCOL && r->phase >= PHASE_FIRST_BYTE)
		return TRANSFER_BROKEN; /* HTTP/0.9, or no HTTP at all */
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].code == rc)
			return known[i].outcome;
	return TRANSFER_UNUSABLE;
}

static void
finish(struct transfer *x, CURLcode rc)
{
	struct transfer_response r = {
		.fd = -1, .body = x->body.data ? x->body.data : "", .body_len = x->body.len};
	long status = 0, redirects = 0;
	curl_socket_t fd = CURL_SOCKET_BAD;

	lib.curl_easy_getinfo(x->easy, CURLINFO_EFFECTIVE_URL, &r.url);
	lib.curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	lib.curl_easy_getinfo(x->easy, CURLINFO_REDIRECT_COUNT, &redirects);
	r.status = (int) status;
	r.redirects = (int) redirects;
	r.cut = x->cut;
	read_times(x, &r);
	r.tls_expires_s = read_expiry(x->easy);
	r.outcome = classify(rc, x, &r);
	if (r.outcome == TRANSFER_TLS || r.outcome == TRANSFER_UNTRUSTED)
		r.phase = PHASE_TLS;
	if (r.outcome == TRANSFER_ANSWERED && x->connect_only &&
		lib.curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK)
		r.fd = fd;
	if (r.outcome == TRANSFER_REDIRECT && rc == CURLE_UNSUPPORTED_PROTOCOL)
		snprintf(r.error, sizeof r.error, "it leads from https to http, or away from both");
	else if (x->header_bytes > MAX_HEADERS)
		snprintf(r.error, sizeof r.error, "more than %d kB of header", MAX_HEADERS / 1024);
	else if (r.outcome != TRANSFER_ANSWERED)
		snprintf(r.error, sizeof r.error, "%s", x->error[0] ? x->error : lib.curl_easy_strerror(rc));
	x->done(x->arg, &r);
	transfer_cancel(x);
}

void
transfers_run(struct transfers *t)
{
	struct epoll_event event[EVENTS_AT_ONCE];
	int count = epoll_wait(t->epoll_fd, event, EVENTS_AT_ONCE, 0), running, left;
	const CURLMsg *message;
	uint64_t expired;

	for (int i = 0; i < count; i++) {
		int fd = event[i].data.fd, what = 0;
		if (fd == t->timer_fd) {
			if (read(fd, &expired, sizeof expired) == sizeof expired)
				lib.curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
			continue;
		}
		if (event[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (event[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (event[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		lib.curl_multi_socket_action(t->multi, fd, what, &running);
	}
	while ((message = lib.curl_multi_info_read(t->multi, &left)) != NULL) {
		struct transfer *x = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode rc = message->data.result;
		lib.curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
		finish(x, rc);
	}
}
