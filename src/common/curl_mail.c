/*
 * curl_mail.c: mail through libcurl: envelope, message, and what the server said to which command.
 *
 * libcurl tells of each line that it sends and receives; its own status is that of the last line, whichever command that was for.
 * RFC 5321; after DATA's 354 a message is the server's only with the 250 to the final dot. Does not belong here: what a message looks like.
 */
#include "common/curl_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REPLY 4096 /* bytes of a reply that are kept */

bool
is_mail_url(const char *url)
{
	return strncasecmp(url, "smtp://", 7) == 0 || strncasecmp(url, "smtps://", 8) == 0;
}

static size_t
on_read(char *out, size_t one, size_t room, void *arg)
{
	struct mail *mail = &((struct transfer *) arg)->mail;
	size_t left = mail->message.len - mail->read, len = left < room ? left : room;

	memcpy(out, mail->message.data + mail->read, len);
	mail->read += len;
	return len;
}

static bool
begins(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && strncasecmp(line, with, strlen(with)) == 0;
}

/* What libcurl says and sends. Lines of AUTH go by unread. */
static int
on_talk(CURL *easy, curl_infotype what, char *bytes, size_t len, void *arg)
{
	struct transfer *x = arg;
	struct mail *mail = &x->mail;

	if (what == CURLINFO_HEADER_OUT) {
		mail->rcpt = begins(bytes, len, "RCPT TO:");
		mail->recipient += mail->rcpt;
		x->phase = begins(bytes, len, "STARTTLS") ? PHASE_TLS : PHASE_FIRST_BYTE;
	}
	if (what == CURLINFO_HEADER_OUT || what == CURLINFO_DATA_OUT)
		mail->new_reply = true;
	return 0;
}

static void
note_refusal(struct transfer *x, const char *line, size_t len)
{
	struct mail *mail = &x->mail;
	const struct curl_slist *to = mail->to;

	for (int i = 1; to && i < mail->recipient; i++)
		to = to->next;
	mail->refused++;
	if (line[0] == '4' && !mail->refused_later)
		mail->refused_later = (int) strtol(line, NULL, 10);
	if (mail->refusals.len < MAX_REPLY)
		strbuf_printf(&mail->refusals, "%s<%s> %.*s", mail->refusals.len ? "\n" : "", to ? to->data : "?",
					  len > 512 ? 512 : (int) len, line);
}

void
transfer_mail_line(struct transfer *x, const char *line, size_t len)
{
	struct mail *mail = &x->mail;

	if (mail->new_reply)
		strbuf_reset(&x->body);
	mail->new_reply = false;
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (x->body.len + len < MAX_REPLY) {
		if (x->body.len > 0)
			strbuf_putc(&x->body, '\n');
		strbuf_add(&x->body, line, len);
	}
	/* The last line of a reply has a blank after the code. */
	if (mail->rcpt && len >= 3 && (line[0] == '4' || line[0] == '5') && (len == 3 || line[3] != '-'))
		note_refusal(x, line, len);
}

bool
transfer_set_mail(struct transfer *x, const struct transfer_request *r)
{
	struct mail *mail = &x->mail;
	CURL *easy = x->easy;

	for (int i = 0; i < r->mail_to_count; i++) {
		struct curl_slist *longer = libcurl.curl_slist_append(mail->to, r->mail_to[i]);
		if (!longer)
			return false;
		mail->to = longer;
	}
	strbuf_add(&mail->message, r->body ? r->body : "", r->body ? r->body_len : 0);
	if (mail->message.failed)
		return false;
	libcurl.curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	libcurl.curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) mail->message.len);
	libcurl.curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	libcurl.curl_easy_setopt(easy, CURLOPT_READDATA, x);
	libcurl.curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
	libcurl.curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_talk);
	libcurl.curl_easy_setopt(easy, CURLOPT_DEBUGDATA, x);
	libcurl.curl_easy_setopt(easy, CURLOPT_USE_SSL,
							 r->require_tls ? (long) CURLUSESSL_ALL : (long) CURLUSESSL_TRY);
	libcurl.curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
	return libcurl.curl_easy_setopt(easy, CURLOPT_MAIL_FROM, r->mail_from) == CURLE_OK &&
		   libcurl.curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, mail->to) == CURLE_OK;
}

void
transfer_free_mail(struct transfer *x)
{
	libcurl.curl_slist_free_all(x->mail.to);
	strbuf_free(&x->mail.message);
	strbuf_free(&x->mail.refusals);
}

bool
transfer_mail_ended(CURLcode rc, const struct transfer *x, struct transfer_response *r)
{
	const struct mail *mail = &x->mail;
	/* A reply to the last thing said, and one that ends it: these are libcurl's names for "the server said no". */
	bool said_no =
		!mail->new_reply && r->status >= 400 &&
		(rc == CURLE_SEND_ERROR || rc == CURLE_WEIRD_SERVER_REPLY || rc == CURLE_REMOTE_ACCESS_DENIED ||
		 rc == CURLE_RECV_ERROR || rc == CURLE_COULDNT_CONNECT);

	r->refused = mail->refused;
	r->refusals = mail->refusals.data;
	if (rc == CURLE_OK || said_no) {
		/* Nobody was accepted: when one of them might be later, so might the mail. */
		if (said_no && mail->rcpt && mail->refused_later)
			r->status = mail->refused_later;
		return true;
	}
	if (rc == CURLE_LOGIN_DENIED && r->status >= 400)
		return false; /* refused with words */
	r->status = 0;
	r->body = "";
	r->body_len = 0;
	return false;
}
