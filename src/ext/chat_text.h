/*
 * What the kinds for chats (channel_slack.c and its like) have in common: the pieces that a message consists of, as plain texts, and cutting them by
 * the measures of those services. What does not belong here: the form of a service, what its answers mean.
 */
#ifndef OBSERV_EXT_CHAT_TEXT_H
#define OBSERV_EXT_CHAT_TEXT_H

#include "ext/channel_kind.h"
#include "mb/pg_wchar.h"

#define CHAT_MAX_LINKS 4

/* Between things in a line. */
#define CHAT_DOT " \xc2\xb7 "

/* What is green. */
#define CHAT_COLOR_RESOLVED 0x2EB67D

/* Code units of UTF-16: how chats count. */
extern int observ_utf16_units(const char *text);

/* observ_fit(), with at most `max` code units of UTF-16, or bytes, after escaping. */
extern char *observ_fit_units(const char *text, int max, bool one_line, MessageEscape escape);
extern char *observ_fit_bytes(const char *text, int max, bool one_line, MessageEscape escape);

/*
 * observ_message_text(): as many whole lines as are at most `max` code units of UTF-16, or bytes, in the form that the service wants. form: a text made
 * fit, with its markup escaped; palloc'd; NULL: as it is. Never blank.
 */
extern char *observ_chat_plain(const Message *message, int max, bool bytes, MessageForm form);

/* Markdown: a backslash makes any of it literal. Values of templates: links stay as they are. */
extern void observ_escape_markdown(StringInfo out, const char *character, int len);
extern char *observ_markdown_value(const char *text);

/* Whether there is nothing to be seen in it, or it is NULL: services refuse such texts. */
extern bool observ_text_is_blank(const char *text);

/* The title; never blank. One line. */
extern const char *observ_chat_title(const Message *message);

/* The text of the channel's template; NULL: it has none, or it made nothing. */
extern const char *observ_chat_body(const Message *message);

/* "DiskFull on db-1" */
extern char *observ_chat_name(const MessageAlert *alert);

/* "NEW critical" */
extern char *observ_chat_mark(const MessageAlert *alert);

/* Summary and description, a line each; "" when there is neither. */
extern char *observ_chat_details(const MessageAlert *alert);

/* observ_message_facts(), never empty. */
extern const char *observ_chat_facts(const MessageAlert *alert);

/* "first notification · 3 firing, 1 resolved · route db" */
extern char *observ_chat_context(const Message *message);

/*
 * As many alerts as fit into `room` bytes, `most` at most, each with its share of what is left, which `put` need not use up. Returns how many.
 */
typedef void (*ChatPutAlert)(JsonWriter *w, const Message *message, const MessageAlert *alert, int share);
extern int observ_chat_put_alerts(JsonWriter *w, const Message *message, int most, int room,
								  ChatPutAlert put);

/* "… and 12 more"; NULL: all of them are shown. */
extern char *observ_chat_more(const Message *message, int shown);

/* The colour of the highest severity, of what is over another. */
extern int observ_chat_color(const Message *message);

/*
 * Whether it can be offered as a link everywhere: http or https, a host, nothing that would have to be escaped, at most `max` bytes. public_name:
 * the host has a dot in it, or is an IPv6 address.
 */
extern bool observ_link_usable(const char *url, int max, bool public_name);

typedef struct ChatLink {
	const char *text, *url;
} ChatLink;

/* Links of one alert, at most 3: silence, explain, runbook. Returns how many. */
extern int observ_chat_alert_links(const MessageAlert *alert, int max_url, ChatLink *links);

/* Links of the message: the dashboard, and those of the alert when it is the only one. At most CHAT_MAX_LINKS. */
extern int observ_chat_links(const Message *message, int max_url, ChatLink *links);

/* The value at that path of the answer, as text; NULL: none. */
extern const char *observ_answer_text(const ChannelAnswer *answer, const char *path);

/* An error out of printf pieces. */
extern void observ_verdict(ChannelVerdict *verdict, enum ChannelOutcome outcome, const char *format, ...)
	pg_attribute_printf(3, 4);

/* Seconds as text ("1.5"), as a wait: at least 1 ms, at most 15 minutes; -1: it is no such number. */
extern int64 observ_wait_ms(const char *seconds);

#endif
