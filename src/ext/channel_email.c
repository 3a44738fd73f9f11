/*
 * Mail through an SMTP server, one to each address, so that each has a fate of its own: what one address refuses is not lost to the others, and
 * nobody gets it twice because another one asked to wait.
 * What does not belong here: how texts are spelled in a mail (core/mail_text.h), the HTML (email_html.h), SMTP (common/curl_multi.h).
 */
#include "postgres.h"

#include "ext/channel_kind.h"

#include <arpa/inet.h>

#include "core/mail_text.h"
#include "ext/chat_text.h"
#include "ext/email_html.h"
#include "utils/timestamp.h"

#define MAX_SUBJECT    250
#define MAX_TEXT       20000
#define MAX_REPLY      500
#define MAX_RECIPIENTS 100
#define URGENT         5 /* critical and above */

static const ChannelField fields[] = {
	{.name = "host", .type = FIELD_TEXT, .required = true, .help = "name or address of the SMTP server"},
	{.name = "port",
	 .type = FIELD_INTEGER,
	 .min = 1,
	 .max = 65535,
	 .help = "587; with tls 465, with none 25"},
	{.name = "tls",
	 .type = FIELD_CHOICE,
	 .fallback = "starttls",
	 .choices = "starttls, tls, none",
	 .help =
		 "starttls: that or nothing is sent; tls: from the first byte; none: STARTTLS only if it is offered"},
	{.name = "user", .type = FIELD_TEXT, .help = "name to log in with"},
	{.name = "password", .type = FIELD_TEXT, .secret = true, .help = "password to log in with"},
	{.name = "from", .type = FIELD_TEXT, .required = true, .help = "sender: \"observ <observ@example.org>\""},
	{.name = "to", .type = FIELD_LIST, .required = true, .help = "addresses, each gets a mail; at most 100"},
	{.name = "ehlo", .type = FIELD_TEXT, .help = "name to say EHLO with; the server's host name without it"},
	{0},
};

static int
port_of(const ChannelConfig *config, const char *tls)
{
	int64 port = observ_config_integer(config, "port");

	if (port > 0)
		return (int) port;
	return strcmp(tls, "tls") == 0 ? 465 : strcmp(tls, "none") == 0 ? 25 : 587;
}

/* Without the brackets that an IPv6 address may have. */
static struct slice
host_of(const ChannelConfig *config)
{
	struct slice host = slice_of(observ_config_text(config, "host"));

	if (host.end - host.p > 2 && *host.p == '[' && host.end[-1] == ']')
		host = (struct slice){host.p + 1, host.end - 1};
	return host;
}

static bool
is_ipv6(struct slice host)
{
	bool colon = false;

	for (const char *p = host.p; p < host.end; p++) {
		if (strchr("0123456789abcdefABCDEF:.", *p) == NULL || *p == '\0')
			return false;
		colon = colon || *p == ':';
	}
	return colon;
}

/* Names that begin like an address are somewhere else. */
static bool
is_loopback(struct slice host)
{
	struct in_addr address;

	if (inet_pton(AF_INET, pnstrdup(host.p, host.end - host.p), &address) == 1)
		return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
	return slice_equals(host, "localhost") || slice_equals(host, "::1");
}

static void
check_mailbox(const char *field, const char *text)
{
	struct mail_mailbox mailbox;
	const char *error = mail_mailbox_parse(slice_of(text), &mailbox);

	if (error != NULL)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"%s\" has something that is no mail address", field),
				errdetail("\"%s\": %s", text, error),
				errhint("Write ann@example.org or \"Ann B <ann@example.org>\"."));
}

static void
check(const ChannelConfig *config)
{
	const char *tls = observ_config_text(config, "tls"), *ehlo = observ_config_text(config, "ehlo");
	List *to = observ_config_list(config, "to");
	struct slice host = host_of(config);
	ListCell *cell;

	if (!is_ipv6(host) && !mail_is_domain(host))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"host\" is no name of a server"),
				errdetail("\"%s\"", observ_config_text(config, "host")),
				errhint("Write the name alone; the port has a field of its own."));
	if (ehlo != NULL && !mail_is_domain(slice_of(ehlo)))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"ehlo\" is no name of a host"), errdetail("\"%s\"", ehlo));
	check_mailbox("from", observ_config_text(config, "from"));
	if (list_length(to) > MAX_RECIPIENTS)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"to\" has more than %d addresses", MAX_RECIPIENTS),
				errhint("Send to a mailing list."));
	foreach (cell, to)
		check_mailbox("to", lfirst(cell));
	if ((observ_config_text(config, "user") == NULL) != (observ_config_text(config, "password") == NULL))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("an email channel needs both \"user\" and \"password\", or neither"));
	if (strcmp(tls, "none") == 0 && observ_config_text(config, "password") != NULL && !is_loopback(host))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a password must not cross the network in clear"),
				errdetail("The field \"tls\" is none, and there is a \"password\"."),
				errhint("Set \"tls\" to starttls or tls."));
}

static int
steps(const ChannelConfig *config)
{
	return list_length(observ_config_list(config, "to"));
}

/* ---- the mail */

static void
append(void *arg, const char *bytes, size_t len)
{
	appendBinaryStringInfo(arg, bytes, (int) len);
}

static void
put_part(const struct mail_writer *w, const char *boundary, const char *type, const char *text)
{
	StringInfo out = w->arg;

	appendStringInfo(out,
					 "--%s\r\nContent-Type: %s; charset=utf-8\r\n"
					 "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
					 boundary, type);
	mail_put_quoted_printable(w, slice_of(text));
}

/* Title, alerts a line each, links. */
static char *
plain_text(const Message *message)
{
	ChatLink links[CHAT_MAX_LINKS];
	int n = observ_chat_links(message, MAX_SUBJECT * 8, links);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s\n\n%s\n", observ_fit(observ_chat_title(message), MAX_TEXT, true, NULL),
					 observ_message_text(message, MAX_TEXT, NULL));
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%s%s: %s\n", i == 0 ? "\n" : "", links[i].text, links[i].url);
	/* what mail programs take for a signature */
	appendStringInfo(&text, "\n-- \n%s\n", observ_chat_context(message));
	return text.data;
}

static void
put_addresses(const struct mail_writer *w, const ChannelConfig *config, const struct mail_mailbox *from)
{
	List *to = observ_config_list(config, "to");
	struct mail_mailbox *all = palloc(sizeof *all * (size_t) list_length(to));

	mail_put_mailboxes(w, "From", from, 1);
	for (int i = 0; i < list_length(to); i++)
		mail_mailbox_parse(slice_of(list_nth(to, i)), &all[i]);
	mail_put_mailboxes(w, "To", all, list_length(to));
}

/* The Message-ID is the same in each attempt, so that servers and programs that know it drop the second copy; threads go by the incident. */
static void
put_headers(const struct mail_writer *w, const ChannelConfig *config, const Message *message,
			const struct mail_mailbox *from)
{
	const char *title = observ_fit(observ_chat_title(message), MAX_SUBJECT, true, NULL);
	char *id = psprintf(INT64_FORMAT, message->notification_id);

	put_addresses(w, config, from);
	mail_put_header(w, "Subject", slice_of(title));
	mail_put_date(w, message->at / USECS_PER_SEC +
						 (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY);
	mail_put_id(w, "Message-ID", slice_of(message->idempotency_key), from->domain);
	mail_put_id(w, "In-Reply-To", slice_of(message->incident_key), from->domain);
	mail_put_id(w, "References", slice_of(message->incident_key), from->domain);
	mail_put_header(w, "Auto-Submitted", slice_of("auto-generated"));
	mail_put_header(w, "X-Auto-Response-Suppress", slice_of("All"));
	mail_put_header(w, "X-Observ-Severity", slice_of(observ_severity_name(message->severity)));
	mail_put_header(w, "X-Observ-State", slice_of(message->firing ? "firing" : "resolved"));
	mail_put_header(w, "X-Observ-Notification", slice_of(id));
	mail_put_header(w, "X-Observ-Channel", slice_of(message->channel));
	if (message->firing && message->severity >= URGENT) {
		mail_put_header(w, "Importance", slice_of("high"));
		mail_put_header(w, "X-Priority", slice_of("1"));
	}
	mail_put_header(w, "MIME-Version", slice_of("1.0"));
}

static void
render(const ChannelConfig *config, const Message *message, int step, int variant, ChannelRequest *request)
{
	/* "=_" is in no line of quoted-printable (RFC 2045 6.7). */
	static const char boundary[] = "=_observ_part_of_mail";
	const char *tls = observ_config_text(config, "tls"), *ehlo = observ_config_text(config, "ehlo");
	struct slice host = host_of(config);
	struct mail_writer w = {append, &request->body};
	struct mail_mailbox from, to;
	StringInfoData url;

	mail_mailbox_parse(slice_of(observ_config_text(config, "from")), &from);
	mail_mailbox_parse(slice_of(list_nth(observ_config_list(config, "to"), step)), &to);
	initStringInfo(&url);
	appendStringInfo(&url, is_ipv6(host) ? "%s[%.*s]:%d" : "%s%.*s:%d",
					 strcmp(tls, "tls") == 0 ? "smtps://" : "smtp://", (int) (host.end - host.p), host.p,
					 port_of(config, tls));
	if (ehlo != NULL)
		appendStringInfo(&url, "/%s", ehlo);
	request->url = url.data;
	request->require_tls = strcmp(tls, "none") != 0;
	request->user = observ_config_text(config, "user");
	request->password = observ_config_text(config, "password");
	request->mail_from = pnstrdup(from.address.p, from.address.end - from.address.p);
	request->mail_to = list_make1(pnstrdup(to.address.p, to.address.end - to.address.p));
	if (request->body.data == NULL)
		initStringInfo(&request->body);
	put_headers(&w, config, message, &from);
	appendStringInfo(&request->body, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n",
					 boundary);
	put_part(&w, boundary, "text/plain", plain_text(message));
	put_part(&w, boundary, "text/html", observ_email_html(message));
	appendStringInfo(&request->body, "--%s--\r\n", boundary);
}

/* What the server said last, in one line. */
static const char *
last_reply(const ChannelAnswer *answer)
{
	const char *reply = answer->body;

	/* Recipients that were refused have a line each before it; there is one, and it says the same. */
	for (int i = 0; i < answer->refused && strchr(reply, '\n') != NULL; i++)
		reply = strchr(reply, '\n') + 1;
	if (reply[0] == '\0')
		reply = answer->error;
	return reply == NULL ? psprintf("%d", answer->status) : observ_fit(reply, MAX_REPLY, true, NULL);
}

/*
 * RFC 5321 4.2.1: 4yz is for now, 5yz for good, whichever command it answers. Nothing but the answer to the final dot makes it sent; where the
 * connection ends before that it is tried again, with the same Message-ID.
 */
static void
classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	ChannelAnswer unanswered = *answer;

	*verdict = (ChannelVerdict){.outcome = CHANNEL_SENT, .retry_after_ms = -1};
	if (answer->outcome == TRANSFER_ANSWERED && answer->status >= 200 && answer->status < 300)
		verdict->receipt = last_reply(answer);
	else if (answer->status >= 400 && answer->status < 600)
		observ_verdict(verdict, answer->status < 500 ? CHANNEL_RETRY : CHANNEL_DEAD,
					   "the mail server said: %s", last_reply(answer));
	else {
		unanswered.status = 0;
		if (answer->outcome == TRANSFER_ANSWERED)
			unanswered.outcome = TRANSFER_BROKEN;
		observ_classify_http(&unanswered, verdict);
	}
}

const ChannelKind observ_channel_email = {
	.name = "email",
	.description = "mail through an SMTP server, text and HTML, in threads",
	.fields = fields,
	.concurrency = 4,
	.rate_limit = 120,
	.burst = 30,
	.check = check,
	.steps = steps,
	.render = render,
	.classify = classify,
};
