/*
 * HTML of mails. See email_html.h.
 *
 * Styles are inline and tables make the layout: mail programs take little else. Colours of texts and backgrounds are left to the program, so that it
 * can be dark; those that are given go with both.
 */
#include "postgres.h"

#include "ext/email_html.h"

#include "ext/chat_text.h"
#include "ext/message_parts.h"

/* Bytes of HTML. */
#define MAX_TITLE   1000
#define MAX_NAME    1000
#define MAX_FACTS   1000
#define MAX_DETAILS 4000
#define MAX_LABELS  2000
#define MAX_URL     2000
#define MAX_BODY    90000     /* of a template */
#define MAX_ALERTS  95000     /* Gmail clips what is over 102 kB in all */
#define GREY        "#6b7280" /* readable on white and on black */
#define FONT        "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

static void
escape(StringInfo out, const char *character, int len)
{
	if (*character == '\n')
		appendStringInfoString(out, "<br>\n");
	else
		observ_escape_html(out, character, len);
}

/* At most `max` bytes. */
static void
put_text(StringInfo out, const char *text, int max, bool one_line)
{
	char *fit = observ_fit_bytes(text, max, one_line, escape);

	appendStringInfoString(out, fit);
	pfree(fit);
}

/* Black or white, whichever can be read on that colour. */
static const char *
ink_on(int color)
{
	int brightness = ((color >> 16 & 255) * 299 + (color >> 8 & 255) * 587 + (color & 255) * 114) / 1000;

	return brightness > 128 ? "#1a1a1a" : "#ffffff";
}

static void
put_links(StringInfo out, const ChatLink *links, int n)
{
	if (n == 0)
		return;
	appendStringInfoString(out, "<p style=\"margin:6px 0 0 0\">");
	for (int i = 0; i < n; i++) {
		appendStringInfo(out, "%s<a href=\"", i > 0 ? " &nbsp; " : "");
		put_text(out, links[i].url, MAX_URL * 6, true);
		appendStringInfo(out, "\">%s</a>", links[i].text);
	}
	appendStringInfoString(out, "</p>\n");
}

/* Labels that not all alerts have, in small letters. */
static void
put_labels(StringInfo out, Jsonb *labels)
{
	int n;
	MessagePair *pairs = observ_sorted_pairs(labels, &n);
	StringInfoData text;

	if (n == 0)
		return;
	initStringInfo(&text);
	for (int i = 0; i < n && text.len < MAX_LABELS; i++)
		appendStringInfo(&text, "%s%s=%s", i > 0 ? "  " : "", pairs[i].name,
						 observ_fit(pairs[i].value, MAX_LABELS, true, NULL));
	appendStringInfoString(out, "<p style=\"margin:4px 0 0 0;font-size:12px;color:" GREY "\">");
	put_text(out, text.data, MAX_LABELS, true);
	appendStringInfoString(out, "</p>\n");
	pfree(text.data);
}

static void
put_alert(StringInfo out, const MessageAlert *alert)
{
	ChatLink links[CHAT_MAX_LINKS];
	int color = alert->firing ? observ_severity_color(alert->severity) : CHAT_COLOR_RESOLVED;
	char *details = observ_chat_details(alert);

	appendStringInfo(out,
					 "<tr><td style=\"border-left:4px solid #%06X;padding:8px 12px\">\n"
					 "<p style=\"margin:0\"><span style=\"background:#%06X;color:%s;padding:1px 6px;"
					 "border-radius:3px;font-size:12px\">",
					 color, color, ink_on(color));
	put_text(out, observ_chat_mark(alert), MAX_NAME, true);
	appendStringInfoString(out, "</span> <b>");
	put_text(out, observ_chat_name(alert), MAX_NAME, true);
	appendStringInfoString(out, "</b></p>\n");
	if (details[0] != '\0') {
		appendStringInfoString(out, "<p style=\"margin:4px 0 0 0\">");
		put_text(out, details, MAX_DETAILS, false);
		appendStringInfoString(out, "</p>\n");
	}
	appendStringInfoString(out, "<p style=\"margin:4px 0 0 0;color:" GREY "\">");
	put_text(out, observ_chat_facts(alert), MAX_FACTS, true);
	appendStringInfoString(out, "</p>\n");
	put_labels(out, alert->labels);
	put_links(out, links, observ_chat_alert_links(alert, MAX_URL, links));
	appendStringInfoString(out, "</td></tr>\n<tr><td style=\"height:8px\"></td></tr>\n");
}

static void
put_alerts(StringInfo out, const Message *message)
{
	const char *more;
	int shown = 0;

	appendStringInfoString(out, "<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" "
								"cellspacing=\"0\" style=\"border-collapse:collapse\">\n");
	for (; shown < message->n_alerts; shown++) {
		int before = out->len;

		put_alert(out, &message->alerts[shown]);
		if (out->len > MAX_ALERTS) {
			out->data[out->len = before] = '\0';
			break;
		}
	}
	appendStringInfoString(out, "</table>\n");
	more = observ_chat_more(message, shown);
	if (more != NULL)
		appendStringInfo(out, "<p style=\"margin:0 0 8px 0\"><b>%s</b></p>\n", more);
}

char *
observ_email_html(const Message *message)
{
	const char *body = observ_chat_body(message);
	int color = observ_chat_color(message);
	ChatLink dashboard = {"Dashboard", message->url};
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(
		&out,
		"<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n"
		"<meta name=\"supported-color-schemes\" content=\"light dark\">\n</head>\n"
		"<body style=\"margin:0;padding:12px;" FONT ";font-size:14px;line-height:1.4\">\n"
		"<div style=\"max-width:720px\">\n"
		"<h1 style=\"margin:0 0 12px 0;padding:10px 14px;font-size:18px;background:#%06X;color:%s\">",
		color, ink_on(color));
	put_text(&out, observ_chat_title(message), MAX_TITLE, true);
	appendStringInfoString(&out, "</h1>\n");
	if (body != NULL) {
		appendStringInfoString(&out, "<p style=\"margin:0 0 12px 0\">");
		put_text(&out, body, MAX_BODY, false);
		appendStringInfoString(&out, "</p>\n");
	} else
		put_alerts(&out, message);
	if (observ_link_usable(message->url, MAX_URL, false))
		put_links(&out, &dashboard, 1);
	appendStringInfoString(&out, "<p style=\"margin:12px 0 0 0;font-size:12px;color:" GREY "\">");
	put_text(&out, observ_chat_context(message), MAX_FACTS, true);
	appendStringInfoString(&out, "</p>\n</div>\n</body></html>\n");
	return out.data;
}
