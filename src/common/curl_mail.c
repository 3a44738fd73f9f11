/*
 * curl_mail.c: mail. libcurl connects and logs in (STARTTLS, certificates, AUTH); envelope and message are said here, over its connection.
 *
 * libcurl 7.88 can do that as well, but waits for the reply to the final dot, and for that to QUIT, in the middle of everything: nothing else
 * would move on meanwhile, nor could it be cancelled. RFC 5321. A message is the server's only with the 250 to the final dot.
 * Does not belong here: what a message looks like.
 */
#include "common/curl_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define MAX_LINE  4096  /* bytes; RFC 5321 has 512 */
#define MAX_REPLY 16384 /* of all lines of one */

bool
is_mail_url(const char *url)
{
	return strncasecmp(url, "smtp://", 7) == 0 || strncasecmp(url, "smtps://", 8) == 0;
}

/* ---- replies */

static void
note_refusal(struct mail *mail, const char *line)
{
	mail->refused++;
	if (line[0] == '4' && !mail->refused_later)
		mail->refused_later = mail->status;
	if (mail->refusals.len < MAX_REPLY)
		strbuf_printf(&mail->refusals, "%s<%s> %.512s", mail->refusals.len ? "\n" : "",
					  mail->to[mail->recipient], line);
}

/* Three digits, 200 to 599; 0: that is no reply. */
static int
reply_code(const char *line, size_t len)
{
	int code = 0;

	if (len < 3)
		return 0;
	for (int i = 0; i < 3; i++) {
		if (line[i] < '0' || line[i] > '9')
			return 0;
		code = code * 10 + line[i] - '0';
	}
	return code >= 200 && code <= 599 ? code : 0;
}

/*
 * One line of a reply, into body. True when it was the last one: the code is followed by a blank or by nothing. A new reply empties body.
 */
static bool
add_line(struct transfer *x, const char *line, size_t len)
{
	struct mail *mail = &x->mail;

	if (mail->reply_ended)
		strbuf_reset(&x->body);
	if (x->body.len + len < MAX_REPLY) {
		if (x->body.len > 0)
			strbuf_putc(&x->body, '\n');
		strbuf_add(&x->body, line, len);
	}
	mail->reply_ended = len < 4 || line[3] != '-';
	if (mail->reply_ended)
		mail->status = reply_code(line, len);
	return mail->reply_ended;
}

void
transfer_mail_line(struct transfer *x, const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	add_line(x, line, len);
	x->mail.silent = false;
}

/* libcurl, while it logs in. What it says in AUTH goes by unread. */
static int
on_talk(CURL *easy, curl_infotype what, char *bytes, size_t len, void *arg)
{
	struct transfer *x = arg;

	if (what == CURLINFO_HEADER_OUT) {
		x->phase = len >= 8 && strncasecmp(bytes, "STARTTLS", 8) == 0 ? PHASE_TLS : PHASE_FIRST_BYTE;
		x->mail.silent = true;
	}
	return 0;
}

/* ---- what is said */

/* Dots at the beginning of a line are doubled; every kind of line end becomes CR LF, so that no text can hold the end of its message. */
static void
put_message(struct strbuf *out, const char *p, size_t len)
{
	bool begins = true;

	for (const char *end = p + len; p < end; p++) {
		if (*p == '\r' || *p == '\n') {
			p += *p == '\r' && p + 1 < end && p[1] == '\n';
			strbuf_puts(out, "\r\n");
			begins = true;
			continue;
		}
		if (begins && *p == '.')
			strbuf_putc(out, '.');
		strbuf_putc(out, *p);
		begins = false;
	}
	strbuf_puts(out, begins ? ".\r\n" : "\r\n.\r\n");
}

/* The command of the present step, or the message. */
static void
say(struct mail *mail)
{
	strbuf_reset(&mail->out);
	mail->written = 0;
	switch (mail->step) {
	case MAIL_FROM:
		strbuf_printf(&mail->out, "MAIL FROM:<%s>\r\n", mail->from);
		break;
	case MAIL_RCPT:
		strbuf_printf(&mail->out, "RCPT TO:<%s>\r\n", mail->to[mail->recipient]);
		break;
	case MAIL_DATA:
		strbuf_puts(&mail->out, "DATA\r\n");
		break;
	case MAIL_DOT:
		put_message(&mail->out, mail->message.data ? mail->message.data : "", mail->message.len);
		break;
	}
	mail->silent = true;
}

/* After a reply to RCPT. False when there is nothing more to say. */
static bool
next_recipient(struct transfer *x, bool good)
{
	struct mail *mail = &x->mail;

	mail->accepted += good;
	if (!good)
		note_refusal(mail, x->body.data);
	if (++mail->recipient < mail->to_count)
		return mail->status != 421; /* that is the end of the connection */
	mail->step = MAIL_DATA;
	/* Nobody was accepted: when one of them might be later, so might the mail. */
	if (mail->accepted == 0 && mail->refused_later)
		mail->status = mail->refused_later;
	return mail->accepted > 0 && mail->status != 421;
}

enum after_reply { SAYS_MORE, IS_OVER, IS_NO_REPLY };

/* After a reply: what comes next. */
static enum after_reply
go_on(struct transfer *x)
{
	struct mail *mail = &x->mail;
	bool good = mail->step == MAIL_DATA ? mail->status == 354 : mail->status / 100 == 2, more = good;

	if (!good && mail->status < 400)
		return IS_NO_REPLY;
	if (mail->step == MAIL_RCPT)
		more = next_recipient(x, good);
	else if (mail->step == MAIL_DOT)
		more = false;
	else if (good)
		mail->step = mail->step == MAIL_FROM ? MAIL_RCPT : MAIL_DOT;
	if (more)
		say(mail);
	return more ? SAYS_MORE : IS_OVER;
}

/* ---- the connection */

static void
watch(struct transfer *x, int operation)
{
	struct mail *mail = &x->mail;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = mail->fd};

	if (mail->written < mail->out.len)
		event.events |= EPOLLOUT;
	epoll_ctl(x->epoll_fd, operation, mail->fd, &event);
}

/* False when the connection is lost. */
static bool
write_more(struct transfer *x)
{
	struct mail *mail = &x->mail;

	while (mail->written < mail->out.len) {
		size_t n = 0;
		CURLcode rc = libcurl.curl_easy_send(x->easy, mail->out.data + mail->written,
											 mail->out.len - mail->written, &n);

		if (rc == CURLE_AGAIN)
			return true;
		if (rc != CURLE_OK)
			return false;
		mail->written += n;
	}
	return !mail->out.failed;
}

/* Lines that have come whole. True when a reply has ended; `bytes` that are left stay in `in`. */
static bool
take_reply(struct transfer *x)
{
	struct strbuf *in = &x->mail.in;
	char *end;

	while (in->len > 0 && (end = memchr(in->data, '\n', in->len)) != NULL) {
		size_t len = (size_t) (end - in->data), taken = len + 1;
		bool ended;

		while (len > 0 && in->data[len - 1] == '\r')
			len--;
		ended = add_line(x, in->data, len);
		memmove(in->data, in->data + taken, in->len - taken + 1);
		in->len -= taken;
		if (ended) {
			x->mail.silent = false;
			return true;
		}
	}
	return false;
}

/* Reads what there is. False when the connection is lost, or what comes is no reply. */
static bool
read_more(struct transfer *x)
{
	struct mail *mail = &x->mail;
	char bytes[2048];

	for (int turns = 0; turns < 16; turns++) {
		size_t n = 0;
		CURLcode rc = libcurl.curl_easy_recv(x->easy, bytes, sizeof bytes, &n);

		if (rc == CURLE_AGAIN)
			return true;
		if (rc != CURLE_OK || n == 0)
			return false;
		mail->received += n;
		strbuf_add(&mail->in, bytes, n);
		if (mail->in.failed || mail->received > MAX_HEADERS ||
			(mail->in.len > MAX_LINE && !memchr(mail->in.data, '\n', mail->in.len)))
			return false;
	}
	return true;
}

static void
ended(struct transfer *x, enum transfer_outcome outcome)
{
	struct mail *mail = &x->mail;
	size_t n;

	mail->outcome = outcome;
	if (outcome == TRANSFER_ANSWERED)
		libcurl.curl_easy_send(x->easy, "QUIT\r\n", 6,
							   &n); /* whoever it is polite to may not be waited for */
	transfer_finish(x, CURLE_OK);
}

bool
transfer_mail_event(struct transfer *x, int fd)
{
	struct mail *mail = &x->mail;
	bool alive;

	if (!x->is_mail || !mail->talking || (fd != mail->fd && fd != mail->timer_fd))
		return false;
	if (fd == mail->timer_fd) {
		ended(x, TRANSFER_TIMEOUT);
		return true;
	}
	alive = write_more(x);
	alive = read_more(x) && alive;
	/* A reply to what is not said whole yet counts when the connection is at its end, and the reply is why. */
	while ((mail->written == mail->out.len || !alive) && take_reply(x)) {
		enum after_reply after = mail->written < mail->out.len && mail->status < 400 ? IS_NO_REPLY : go_on(x);

		if (after != SAYS_MORE) {
			ended(x, after == IS_OVER ? TRANSFER_ANSWERED : TRANSFER_BROKEN);
			return true;
		}
		alive = alive && write_more(x);
	}
	if (!alive)
		ended(x, TRANSFER_BROKEN);
	else
		watch(x, EPOLL_CTL_MOD);
	return true;
}

bool
transfer_mail_begin(struct transfer *x, int epoll_fd)
{
	struct mail *mail = &x->mail;
	curl_socket_t fd = CURL_SOCKET_BAD;
	int64_t left_us = mail->deadline_us - clock_us(CLOCK_MONOTONIC);
	struct itimerspec when = {.it_value = {left_us / 1000000, left_us % 1000000 * 1000}};
	struct epoll_event event = {.events = EPOLLIN};

	if (left_us <= 0)
		when.it_value = (struct timespec){0, 1};
	mail->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (mail->timer_fd < 0 || libcurl.curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
		fd == CURL_SOCKET_BAD)
		return false;
	x->epoll_fd = epoll_fd;
	x->phase = PHASE_FIRST_BYTE;
	mail->fd = fd;
	mail->talking = true;
	event.data.fd = mail->timer_fd;
	timerfd_settime(mail->timer_fd, 0, &when, NULL);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, mail->timer_fd, &event);
	strbuf_reset(&x->body);
	mail->reply_ended = true;
	mail->step = MAIL_FROM;
	say(mail);
	watch(x, EPOLL_CTL_ADD); /* writable at once */
	return true;
}

/* ---- its life */

bool
transfer_set_mail(struct transfer *x, const struct transfer_request *r)
{
	struct mail *mail = &x->mail;
	CURL *easy = x->easy;

	mail->started_us = clock_us(CLOCK_MONOTONIC);
	mail->deadline_us = mail->started_us + r->timeout_ms * INT64_C(1000);
	mail->timer_fd = -1;
	mail->reply_ended = true;
	mail->from = strdup(r->mail_from);
	mail->to = calloc((size_t) r->mail_to_count, sizeof *mail->to);
	if (!mail->from || !mail->to)
		return false;
	for (; mail->to_count < r->mail_to_count; mail->to_count++)
		if (!(mail->to[mail->to_count] = strdup(r->mail_to[mail->to_count])))
			return false;
	if (r->body)
		strbuf_add(&mail->message, r->body, r->body_len);
	libcurl.curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	libcurl.curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
	libcurl.curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_talk);
	libcurl.curl_easy_setopt(easy, CURLOPT_DEBUGDATA, x);
	libcurl.curl_easy_setopt(easy, CURLOPT_USE_SSL,
							 r->require_tls ? (long) CURLUSESSL_ALL : (long) CURLUSESSL_TRY);
	return !mail->message.failed;
}

void
transfer_free_mail(struct transfer *x)
{
	struct mail *mail = &x->mail;

	for (int i = 0; i < mail->to_count; i++)
		free(mail->to[i]);
	free(mail->to);
	free(mail->from);
	if (mail->timer_fd > 0)
		close(mail->timer_fd);
	strbuf_free(&mail->message);
	strbuf_free(&mail->out);
	strbuf_free(&mail->in);
	strbuf_free(&mail->refusals);
}

/* The login failed: whether because the server said no, which is an answer. */
static enum transfer_outcome
login_outcome(CURLcode rc, const struct mail *mail)
{
	bool said_no = !mail->silent && mail->status >= 400;

	if (rc == CURLE_USE_SSL_FAILED)
		return TRANSFER_TLS;
	if (rc == CURLE_LOGIN_DENIED)
		return TRANSFER_REFUSED;
	if (said_no && (rc == CURLE_WEIRD_SERVER_REPLY || rc == CURLE_REMOTE_ACCESS_DENIED ||
					rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR))
		return TRANSFER_ANSWERED;
	return TRANSFER_UNUSABLE; /* as everybody's */
}

enum transfer_outcome
transfer_mail_outcome(CURLcode rc, const struct transfer *x, struct transfer_response *r)
{
	static const char *const commands[] = {"MAIL", "RCPT", "DATA", "the message"};
	const struct mail *mail = &x->mail;
	enum transfer_outcome outcome = mail->talking ? mail->outcome : login_outcome(rc, mail);

	r->total_us = clock_us(CLOCK_MONOTONIC) - mail->started_us;
	r->status = mail->status;
	r->sent = mail->talking && mail->step == MAIL_DOT && mail->written == mail->out.len;
	r->refused = mail->refused;
	r->refusals = mail->refusals.data;
	if (outcome == TRANSFER_ANSWERED || (outcome == TRANSFER_REFUSED && !mail->silent && mail->status >= 400))
		return outcome;
	/* The last reply was to something else. */
	r->status = 0;
	r->body = "";
	r->body_len = 0;
	if (mail->talking)
		snprintf(r->error, sizeof r->error, "%s after %s",
				 outcome == TRANSFER_TIMEOUT ? "no reply in time"
				 : !mail->silent             ? "what came is no reply"
											 : "the connection ended",
				 commands[mail->step]);
	return outcome;
}
