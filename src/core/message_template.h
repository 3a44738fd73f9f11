/*
 * message_template.h: titles and bodies of notifications: "{{ range firing }}{{ name }} on {{ instance }}: {{ value | humanize }}{{ end }}"
 *
 * Belongs here: checking and rendering them, the names of what they can say. Does not belong here: where that comes from (ext/message_template.c),
 * expressions (template_expression.h: the same as in annotations of rules).
 * NEUTRAL, pure. docs/message-templates.md is for people.
 *
 *   text      = { anything | "{{" expression "}}" | if | range }
 *   if        = "{{ if" condition "}}" text { "{{ else if" condition "}}" text } [ "{{ else }}" text ] "{{ end }}"
 *   range     = "{{ range" set "}}" text [ "{{ else }}" text ] "{{ end }}"             not inside of another range
 *   set       = alerts | firing | resolved | new | still
 *   condition = conjunction { "or" conjunction }     conjunction = part { "and" part }
 *   part      = { "not" } expression [ ("==" | "!=" | "<" | "<=" | ">" | ">=") expression ]
 * "{{- " and " -}}" take the blanks and line ends of the text beside them away.
 * There are no functions, no variables and one level of range, so that a text takes steps in proportion to its length and the number of alerts.
 */
#ifndef OBSERV_CORE_MESSAGE_TEMPLATE_H
#define OBSERV_CORE_MESSAGE_TEMPLATE_H

#include "core/template_expression.h"

#define MESSAGE_TEMPLATE_MAX 16384 /* bytes of a template */

/* What templates can say, in the order of message_template_names. */
enum message_field {
	/* of the message */
	MESSAGE_TITLE,
	MESSAGE_TEXT,
	MESSAGE_REASON,
	MESSAGE_CHANNEL,
	MESSAGE_ROUTE,
	MESSAGE_SEQ,
	MESSAGE_FIRING,
	MESSAGE_RESOLVED,
	MESSAGE_NEW,
	MESSAGE_STILL,
	MESSAGE_ALERTS,
	MESSAGE_LEFT_OUT,
	MESSAGE_NAMES,
	MESSAGE_INSTANCES,
	MESSAGE_EXTERNAL_URL,
	MESSAGE_GROUP,
	/* of an alert; outside of a range of the first one */
	MESSAGE_NAME,
	MESSAGE_INSTANCE,
	MESSAGE_MARK,
	MESSAGE_SUMMARY,
	MESSAGE_DESCRIPTION,
	MESSAGE_RUNBOOK_URL,
	MESSAGE_VALUE,
	MESSAGE_PEAK,
	MESSAGE_THRESHOLD,
	MESSAGE_DURATION,
	MESSAGE_ACKED_BY,
	MESSAGE_RESOLVED_REASON,
	MESSAGE_FLAPPING,
	MESSAGE_STALE,
	MESSAGE_REOPENED,
	MESSAGE_STARTS_AT,
	MESSAGE_ENDS_AT,
	MESSAGE_ALERT_ID,
	MESSAGE_FINGERPRINT,
	MESSAGE_LINE,
	MESSAGE_SILENCE_URL,
	MESSAGE_EXPLAIN_URL,
	/* of the alert in a range, of the message outside of it */
	MESSAGE_STATUS,
	MESSAGE_SEVERITY,
	MESSAGE_URL,
	MESSAGE_LABELS,
	MESSAGE_ANNOTATIONS,
	/* of the range, known here */
	MESSAGE_INDEX,
	MESSAGE_FIRST,
	MESSAGE_LAST,
	MESSAGE_FIELDS
};

/* title, text, …; ends with NULL */
extern const char *const message_template_names[];

enum message_set { SET_ALERTS, SET_FIRING, SET_RESOLVED, SET_NEW, SET_STILL };

struct message_template_values {
	int n_alerts;

	/*
	 * A field of the alert of that number (from 0), or with -1 of the message. `name` is what follows the point: labels.NAME, annotations.NAME,
	 * group.NAME; empty: all of them as a list. *out is an empty text; what it points to must last until the end.
	 */
	void (*field)(void *arg, int alert, enum message_field field, struct slice name,
				  struct template_operand *out);
	bool (*in_set)(void *arg, int alert, enum message_set set);

	/* Order of two names of severities (below 0, 0, above 0) in *order; false when they are none. */
	bool (*compare)(void *arg, struct slice a, struct slice b, int *order);

	/* What is put into the text where a value stands: the value in the form of the text around it; NULL: as it is. Must last until the end. */
	struct slice (*shown)(void *arg, struct slice value);
	void *arg;
};

/* Whether a text can be rendered; false, with *error filled, when it can't. */
bool message_template_check(struct slice text, struct template_error *error);

/*
 * Renders into out[size], which is always terminated; *length is without the terminator. False, with *error filled, when the text has a mistake:
 * what is in `out` is then of no use. What is too long is cut at a character, and *cut set.
 */
bool message_template_render(struct slice text, const struct message_template_values *values, char *out,
							 size_t size, size_t *length, bool *cut, struct template_error *error);

#endif
