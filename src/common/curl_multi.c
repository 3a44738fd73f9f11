/*
 * curl_multi.c: libcurl tells which sockets and which deadline it waits for; both live in one epoll. See curl_multi.h.
 *
 * https://curl.se/libcurl/c/libcurl-multi.html, "Multi-socket". libcurl caches the parsed certificate store in the multi handle (since
 * 7.87), but only where there is no CAPATH: that is the difference between 1 and 25 ms of CPU for a handshake.
 */
#include "common/curl_multi.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/curl_parts.h"

#define EVENTS_AT_ONCE 256
#define MAX_KEPT                                                                                             \
	256 /* connections without a transfer; libcurl's own limit falls with the number of transfers */
#define NEVER INT64_MAX

struct transfers {
	CURLM *multi;
	int epoll_fd, timer_fd;
	int64_t wanted_us, armed_us; /* when libcurl wants to go on; when timer_fd will say so: not later */
	struct transfer *first;
	int count, mails; /* transfers; those of them that are mails */
};

/* libcurl 7.88 counts a connection whose TLS handshake fails as never made. The first wait for an answer tells
 * that it was. When exactly stays unknown. */
static void
note_tcp(CURL *easy, int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;
	struct transfer *x = NULL;

	if (libcurl.curl_easy_getinfo(easy, CURLINFO_PRIVATE, &x) != CURLE_OK || !x ||
		x->phase != PHASE_CONNECT || getpeername(fd, (struct sockaddr *) &peer, &len) < 0)
		return;
	x->phase = x->is_mail ? PHASE_FIRST_BYTE : PHASE_TLS; /* the greeting comes before STARTTLS */
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

static void
arm_timer(struct transfers *t)
{
	struct itimerspec when = {.it_value = {t->wanted_us / 1000000, t->wanted_us % 1000000 * 1000}};

	t->armed_us = t->wanted_us;
	timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* libcurl moves its deadline several times in each transfer, nearly always to a later time: then the timer may go off too early, once. */
static int
on_timer(CURLM *multi, long wait_ms, void *arg)
{
	struct transfers *t = arg;

	t->wanted_us = wait_ms < 0 ? NEVER : clock_us(CLOCK_MONOTONIC) + wait_ms * INT64_C(1000);
	if (t->wanted_us < t->armed_us)
		arm_timer(t);
	return 0;
}

/* Connections that wait for a next transfer, beside those in use. */
static void
count_transfers(struct transfers *t, int more)
{
	t->count += more;
	libcurl.curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long) t->count + MAX_KEPT);
}

struct transfers *
transfers_open(char *error, size_t size)
{
	struct transfers *t;
	struct epoll_event event = {.events = EPOLLIN};

	if (!libcurl_load(error, size))
		return NULL;
	t = calloc(1, sizeof *t);
	if (!t) {
		snprintf(error, size, "out of memory");
		return NULL;
	}
	t->wanted_us = t->armed_us = NEVER;
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	t->multi = libcurl.curl_multi_init();
	event.data.fd = t->timer_fd;
	if (t->epoll_fd < 0 || t->timer_fd < 0 || !t->multi ||
		epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->timer_fd, &event) < 0) {
		snprintf(error, size, "%s", strerror(errno));
		transfers_close(t);
		return NULL;
	}
	libcurl.curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	libcurl.curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	libcurl.curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	libcurl.curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	count_transfers(t, 0);
	return t;
}

void
transfers_close(struct transfers *t)
{
	while (t->first)
		transfer_cancel(t->first);
	if (t->multi)
		libcurl.curl_multi_cleanup(t->multi);
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

	if (!transfer_address_allowed(x, remote))
		return CURL_PREREQFUNC_ABORT;
	x->resending = x->once && x->requests > 0;
	if (x->resending)
		return CURL_PREREQFUNC_ABORT;
	x->requests++;
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

/* "Name: value" CR LF: the value, if it is that header. */
static bool
header_value(const char *line, size_t len, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	for (line += n + 1, len -= n + 1; len > 0 && (*line == ' ' || *line == '\t'); line++)
		len--;
	while (len > 0 && strchr("\r\n\t ", line[len - 1]))
		len--;
	snprintf(out, size, "%.*s", (int) len, line);
	return true;
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
	if (x->is_mail) {
		transfer_mail_line(x, bytes, len);
		return len;
	}
	if (len < 5 || strncasecmp(bytes, "HTTP/", 5) != 0) {
		char date[64];
		header_value(bytes, len, "Retry-After", x->retry_after, sizeof x->retry_after);
		if (x->wait_header)
			header_value(bytes, len, x->wait_header, x->wait, sizeof x->wait);
		if (header_value(bytes, len, "Date", date, sizeof date)) {
			int64_t when = libcurl.curl_getdate(date, NULL);
			x->date_s = when > 0 ? when : 0;
		}
		return len;
	}
	strbuf_reset(&x->body);
	x->retry_after[0] = x->wait[0] = '\0';
	x->date_s = 0;
	x->phase = PHASE_BODY;
	if (libcurl.curl_easy_getinfo(x->easy, CURLINFO_SCHEME, &scheme) == CURLE_OK && scheme &&
		strcasecmp(scheme, "https") == 0)
		libcurl.curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	return len;
}

static bool
set_body(struct transfer *x, const struct transfer_request *r)
{
	CURLcode rc = CURLE_OK;

	if (r->body) {
		libcurl.curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body_len);
		rc = libcurl.curl_easy_setopt(x->easy, CURLOPT_COPYPOSTFIELDS, r->body);
	}
	if (!r->method || rc != CURLE_OK)
		return rc == CURLE_OK;
	if (strcmp(r->method, "HEAD") == 0)
		return libcurl.curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
	/* GET and POST are libcurl's own: after a redirect POST becomes GET, where RFC 9110 says so. */
	if (strcmp(r->method, r->body ? "POST" : "GET") == 0)
		return true;
	return libcurl.curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK;
}

static bool
set_headers(struct transfer *x, const struct transfer_request *r)
{
	for (int i = 0; i < r->header_count; i++) {
		struct curl_slist *longer = libcurl.curl_slist_append(x->headers, r->headers[i]);
		if (!longer)
			return false;
		x->headers = longer;
	}
	return libcurl.curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK;
}

/* Where a connection comes from and whom it trusts. */
static void
set_connection(struct transfer *x, const struct transfer_request *r)
{
	long family = r->ip_family == 4   ? CURL_IPRESOLVE_V4
				  : r->ip_family == 6 ? CURL_IPRESOLVE_V6
									  : CURL_IPRESOLVE_WHATEVER;

	libcurl.curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_QUICK_EXIT,
							 1L); /* a look-up that hangs is left behind, not waited for */
	libcurl.curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long) r->timeout_ms);
	libcurl.curl_easy_setopt(
		x->easy, CURLOPT_CONNECTTIMEOUT_MS,
		(long) (r->connect_timeout_ms && !x->is_mail ? r->connect_timeout_ms : r->timeout_ms));
	libcurl.curl_easy_setopt(x->easy, CURLOPT_IPRESOLVE, family);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_CAPATH, NULL);
	if (r->ca_file) {
		libcurl.curl_easy_setopt(x->easy, CURLOPT_CAINFO, r->ca_file);
		libcurl.curl_easy_setopt(x->easy, CURLOPT_PROXY_CAINFO, r->ca_file);
	}
	libcurl.curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, r->verify_tls ? 1L : 0L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, r->verify_tls ? 2L : 0L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_CERTINFO, 1L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_CONNECT_ONLY, r->connect_only ? 1L : 0L);
	if (!r->use_proxy && !r->proxy)
		libcurl.curl_easy_setopt(x->easy, CURLOPT_PROXY, "");
	if (!r->fresh)
		return;
	libcurl.curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
	/* A connection that is wanted for itself must be there when it is reported; it goes with its transfer. */
	libcurl.curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, r->connect_only ? 0L : 1L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

/* A proxy of its own, whatever the environment says of exceptions; a login. */
static bool
set_account(struct transfer *x, const struct transfer_request *r)
{
	if (r->proxy && (libcurl.curl_easy_setopt(x->easy, CURLOPT_PROXY, r->proxy) != CURLE_OK ||
					 libcurl.curl_easy_setopt(x->easy, CURLOPT_NOPROXY, "") != CURLE_OK))
		return false;
	libcurl.curl_easy_setopt(x->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (!r->user)
		return true;
	libcurl.curl_easy_setopt(x->easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
	return libcurl.curl_easy_setopt(x->easy, CURLOPT_USERNAME, r->user) == CURLE_OK &&
		   libcurl.curl_easy_setopt(x->easy, CURLOPT_PASSWORD, r->password ? r->password : "") == CURLE_OK;
}

static bool
set_request(struct transfer *x, const struct transfer_request *r)
{
	const char *protocols = x->is_mail ? "smtp,smtps" : "http,https";

	set_connection(x, r);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->error);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_RESOLVER_START_DATA, x);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_SOCKOPTFUNCTION, on_connect);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_SOCKOPTDATA, x);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_PREREQFUNCTION, on_request);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_PREREQDATA, x);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, protocols);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, r->max_redirects > 0 ? 1L : 0L);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_MAXREDIRS, (long) r->max_redirects);
	libcurl.curl_easy_setopt(x->easy, CURLOPT_COOKIEFILE, ""); /* cookies are kept within one transfer */
	return libcurl.curl_easy_setopt(x->easy, CURLOPT_URL, r->url) == CURLE_OK &&
		   libcurl.curl_easy_setopt(x->easy, CURLOPT_USERAGENT, r->user_agent) == CURLE_OK &&
		   set_account(x, r) && transfer_set_guard(x, r) &&
		   (x->is_mail ? transfer_set_mail(x, r) : set_body(x, r) && set_headers(x, r));
}

static void
free_transfer(struct transfer *x)
{
	if (x->link) {
		x->all->mails -= x->is_mail;
		count_transfers(x->all, -1);
		*x->link = x->next;
		if (x->next)
			x->next->link = x->link;
	}
	libcurl.curl_easy_cleanup(x->easy);
	libcurl.curl_slist_free_all(x->headers);
	strbuf_free(&x->body);
	transfer_free_mail(x);
	free(x);
}

static bool
has_line_end(const char *text)
{
	return text && text[strcspn(text, "\r\n")] != '\0';
}

static bool
is_ascii(const char *text)
{
	while ((unsigned char) *text > 0 && (unsigned char) *text < 0x80)
		text++;
	return *text == '\0';
}

const char *
transfer_fault(const struct transfer_request *r)
{
	for (int i = 0; i < r->header_count; i++)
		if (has_line_end(r->headers[i]))
			return "a header has a line end in it";
	if (has_line_end(r->url) || has_line_end(r->method) || has_line_end(r->user_agent))
		return "the address or the method has a line end in it";
	if (!is_mail_url(r->url))
		return NULL;
	if (!r->mail_from || r->mail_to_count < 1)
		return "a mail has no sender or no recipient";
	for (int i = -1; i < r->mail_to_count; i++) {
		const char *address = i < 0 ? r->mail_from : r->mail_to[i];
		if (address[strcspn(address, "\r\n<>")] != '\0' || !is_ascii(address) || (i >= 0 && !*address))
			return "a mail address is empty, or has a line end, an angle bracket or something else than "
				   "ASCII in it";
	}
	return NULL;
}

struct transfer *
transfer_start(struct transfers *t, const struct transfer_request *request, transfer_done done, void *arg)
{
	struct transfer *x;

	if (transfer_fault(request) || !(x = calloc(1, sizeof *x)))
		return NULL;
	*x = (struct transfer){.all = t, .done = done, .arg = arg, .max_body = request->max_body};
	x->body_len = request->body ? request->body_len : 0;
	x->connect_only = request->connect_only;
	x->is_mail = is_mail_url(request->url);
	x->once = request->once;
	x->wait_header = request->wait_header;
	x->easy = libcurl.curl_easy_init();
	if (!x->easy || !set_request(x, request) ||
		libcurl.curl_multi_add_handle(t->multi, x->easy) != CURLM_OK) {
		free_transfer(x);
		return NULL;
	}
	x->next = t->first;
	x->link = &t->first;
	if (x->next)
		x->next->link = &x->next;
	t->first = x;
	t->mails += x->is_mail;
	count_transfers(t, 1);
	return x;
}

void
transfer_cancel(struct transfer *transfer)
{
	libcurl.curl_multi_remove_handle(transfer->all->multi, transfer->easy);
	free_transfer(transfer);
}

void
transfer_finish(struct transfer *x, CURLcode rc)
{
	struct transfer_response r;

	transfer_result(x, rc, &r);
	x->done(x->arg, &r);
	transfer_cancel(x);
}

static bool
mail_event(struct transfers *t, int fd)
{
	if (t->mails > 0)
		for (struct transfer *x = t->first; x; x = x->next)
			if (transfer_mail_event(x, fd))
				return true;
	return false;
}

static void
on_event(struct transfers *t, const struct epoll_event *event)
{
	int fd = event->data.fd, what = 0, running;

	if (mail_event(t, fd))
		return;
	if (event->events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	libcurl.curl_multi_socket_action(t->multi, fd, what, &running);
}

/* The timer went off: for libcurl, or too early. */
static void
on_deadline(struct transfers *t)
{
	uint64_t expired;
	int running;

	if (read(t->timer_fd, &expired, sizeof expired) != sizeof expired)
		return;
	t->armed_us = NEVER;
	if (t->wanted_us > clock_us(CLOCK_MONOTONIC))
		arm_timer(t);
	else
		libcurl.curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/*
 * libcurl goes on: with answers first, so that new requests, which begin with a deadline, find connections that are free again. Threads that it
 * starts, for looking up names, must not be where a signal of this process is handled.
 */
static void
let_run(struct transfers *t)
{
	struct epoll_event event[EVENTS_AT_ONCE];
	int count = epoll_wait(t->epoll_fd, event, EVENTS_AT_ONCE, 0);
	bool deadline = false;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (int i = 0; i < count; i++)
		if (event[i].data.fd == t->timer_fd)
			deadline = true;
		else
			on_event(t, &event[i]);
	if (deadline)
		on_deadline(t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
transfers_run(struct transfers *t)
{
	const CURLMsg *message;
	int left;

	let_run(t);
	while ((message = libcurl.curl_multi_info_read(t->multi, &left)) != NULL) {
		struct transfer *x = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode rc = message->data.result;
		libcurl.curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
		if (!x->is_mail || rc != CURLE_OK || !transfer_mail_begin(x, t->epoll_fd))
			transfer_finish(x, rc);
	}
}
