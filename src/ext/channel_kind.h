/*
 * Kinds of channels: what a file src/ext/channel_<kind>.c says about one service, and nothing else has to know. A new kind is one such file and
 * its line in channel_kinds.c.
 * What does not belong here: channels (channel_config.h), when and in which order notifications are sent (outbox.h), the network (delivery.h).
 */
#ifndef OBSERV_EXT_CHANNEL_KIND_H
#define OBSERV_EXT_CHANNEL_KIND_H

#include "common/curl_multi.h"
#include "ext/channel_config.h"
#include "ext/json_write.h"
#include "ext/message.h"
#include "lib/stringinfo.h"

/* A request, as a kind makes it. palloc'd; url and headers may hold secrets: nobody prints them but through observ_redact(). */
typedef struct ChannelRequest {
	const char *url;
	const char *method; /* NULL: POST, or for mail nothing */
	List *headers;      /* of char *: "Name: value", without line ends; Content-Type too */
	StringInfoData body;
	/* Of mail (smtp:// and smtps://): the envelope; body is the message as RFC 5322 has it, lines ending in CR LF. */
	const char *mail_from;
	List *mail_to; /* of char * */
	const char *user, *password;
	bool require_tls; /* of mail: TLS or nothing */
} ChannelRequest;

/* What came of it. Valid during the call only. */
typedef struct ChannelAnswer {
	enum transfer_outcome outcome;
	int status; /* of HTTP or of the last SMTP answer; 0: none */
	/*
	 * Terminated; "". Without secrets. Of mail: the reply that ended it; before it, a line "<address> reply" for each recipient that was refused while others were
	 * not.
	 */
	const char *body;
	int refused;             /* of mail: the number of those */
	const char *retry_after; /* that header, as it came; NULL */
	int64 date_s;      /* when it was made, seconds since 1970: by the clock of whoever made it, else ours */
	const char *error; /* in words, without secrets; NULL when there was an answer */
	bool sent;         /* the request was written whole: it may have arrived, answer or no answer */
} ChannelAnswer;

enum ChannelOutcome {
	CHANNEL_SENT,
	CHANNEL_RETRY, /* by the schedule, not before retry_after_ms */
	CHANNEL_DEAD,  /* never again: it is our mistake, or theirs for good */
	CHANNEL_AGAIN  /* at once, as `variant`: plain text instead of markup, a look whether it was delivered */
};

typedef struct ChannelVerdict {
	enum ChannelOutcome outcome;
	int64 retry_after_ms; /* -1: they did not say */
	int variant;          /* CHANNEL_AGAIN */
	const char *
		error; /* in words; NULL when sent; of a notification that was, why it was not in the words of the templates */
	const char *receipt; /* what the service calls the message; NULL */
} ChannelVerdict;

typedef struct ChannelKind {
	const char *name, *description;
	const ChannelField *fields; /* ends with one without a name */
	const char *wait_header;    /* of 429: seconds, where there is no Retry-After; NULL: none */
	int concurrency;            /* requests under way at a time, per channel */
	int rate_limit, burst;      /* per minute, at once: what the service takes; 0: any number */
	bool
		once_when_unsure; /* no idempotency there: a request that may have arrived is sent once more at most */

	/* What fields can't say. Raises 22023. NULL: nothing. */
	void (*check)(const ChannelConfig *config);

	/* How many requests make one notification, say one per phone number; each is done once. NULL: one. */
	int (*steps)(const ChannelConfig *config);

	/*
	 * The request of that step (from 0) and variant (0 at first). Must work for whatever message there is: cut to the service's limits, with a
	 * count of what was left out, never refused for our mistake. Nothing in it may depend on the clock; message->attempt may differ.
	 */
	void (*render)(const ChannelConfig *config, const Message *message, int step, int variant,
				   ChannelRequest *request);

	/*
	 * With the field "markup" a body_template is markup, and the values in it are not: what becomes of one, so that it is read as it is. NULL: there is no
	 * such field.
	 */
	MessageForm value;

	/* What an answer means. NULL: observ_classify_http(). */
	void (*classify)(const ChannelConfig *config, const ChannelAnswer *answer, int variant,
					 ChannelVerdict *verdict);
} ChannelKind;

extern const ChannelKind *const observ_channel_kinds[]; /* ends with NULL */

/* NULL when there is no such kind. */
extern const ChannelKind *observ_channel_kind(const char *name);

/*
 * alerting.md 2.8: 2xx is sent; 408, 425, 429, 5xx and whatever is wrong with the network is tried again; the rest is for good. Retry-After is
 * read in both forms relative to the time of the answer, at most 15 minutes.
 */
extern void observ_classify_http(const ChannelAnswer *answer, ChannelVerdict *verdict);

/* Templates of a channel of that kind; NULL for those that it has not. */
extern MessageTemplates observ_channel_templates(const ChannelKind *kind, const ChannelConfig *config,
												 const char *title, const char *body);

/* Helpers for renderers. observ_request_json() sets Content-Type and hands out a writer into the body. */
extern void observ_request_header(ChannelRequest *request, const char *name, const char *value);
extern JsonWriter observ_request_json(ChannelRequest *request);

/* The field "url" without slashes at its end, for a path to follow; palloc'd. */
extern char *observ_base_url(const ChannelConfig *config);

/* Percent-encoding (RFC 3986): all but letters, digits and -._~, so that it is right in paths, queries and forms. */
extern void observ_put_urlencoded(StringInfo out, const char *text);

/* One more field of an application/x-www-form-urlencoded body; the first one sets Content-Type. */
extern void observ_put_form_field(ChannelRequest *request, const char *name, const char *value);

#endif
