/*
 * Templates of channels for title and body: what they can say, checking them, and what happens when one can't be rendered. What does not belong here: their
 * language (core/message_template.h), the usual texts (message_text.c).
 */
#include "postgres.h"

#include "ext/message_parts.h"

#include <limits.h>

#include "core/message_template.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define TITLE_MAX 4096         /* bytes */
#define BODY_MAX  (128 * 1024) /* more than any service takes; mail would */
#define TEXT_MAX  (16 * 1024)  /* characters of {{ text }} */

#define LIST_SEPARATOR '\x1f'

/* --- values */

static void
say(struct template_operand *out, const char *text)
{
	if (text != NULL)
		out->text = slice_of(text);
}

static void
count(struct template_operand *out, double number)
{
	out->is_number = true;
	out->number = number;
}

/* A label by its name, or all of them as name=value. */
static void
say_pairs(struct template_operand *out, Jsonb *object, struct slice name, bool instance)
{
	StringInfoData all;
	int n;
	MessagePair *pairs = observ_sorted_pairs(object, &n);

	initStringInfo(&all);
	for (int i = 0; i < n; i++) {
		if (name.p < name.end && slice_equals(name, pairs[i].name))
			out->text = slice_of(pairs[i].value);
		if (i > 0)
			appendStringInfoChar(&all, LIST_SEPARATOR);
		appendStringInfo(&all, "%s=%s", pairs[i].name, pairs[i].value);
	}
	if (name.p == name.end) {
		out->is_list = true;
		out->text = slice_of(all.data);
	} else if (out->text.p == out->text.end && instance && slice_equals(name, "instance"))
		say_pairs(out, object, slice_of("vps_name"), false);
}

/* Names or instances of all alerts, each once. */
static void
say_each(struct template_operand *out, const Message *message, bool names)
{
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < message->n_alerts; i++) {
		const MessageAlert *alerts = message->alerts;
		const char *text = names ? alerts[i].name : alerts[i].instance;
		bool said = text[0] == '\0';

		for (int j = 0; j < i && !said; j++)
			said = strcmp(names ? alerts[j].name : alerts[j].instance, text) == 0;
		if (!said)
			appendStringInfo(&all, "%s%s", all.len > 0 ? (char[]){LIST_SEPARATOR, '\0'} : "", text);
	}
	out->is_list = true;
	out->text = slice_of(all.data);
}

static int
count_marks(const Message *message, enum mark mark)
{
	int n = 0;

	for (int i = 0; i < message->n_alerts; i++)
		n += message->alerts[i].mark == mark;
	return n;
}

static void
message_field(const Message *message, enum message_field field, struct slice name,
			  struct template_operand *out)
{
	switch (field) {
	case MESSAGE_TITLE:
		return say(out, message->title);
	case MESSAGE_TEXT:
		return say(out, observ_message_text(message, TEXT_MAX, NULL));
	case MESSAGE_REASON:
		return say(out, message->reason);
	case MESSAGE_CHANNEL:
		return say(out, message->channel);
	case MESSAGE_ROUTE:
		return say(out, message->route);
	case MESSAGE_SEQ:
		return count(out, message->seq);
	case MESSAGE_FIRING:
		return count(out, message->n_firing);
	case MESSAGE_RESOLVED:
		return count(out, message->n_resolved);
	case MESSAGE_NEW:
		return count(out, count_marks(message, MARK_NEW));
	case MESSAGE_STILL:
		return count(out, message->n_firing - count_marks(message, MARK_NEW));
	case MESSAGE_ALERTS:
		return count(out, message->n_firing + message->n_resolved);
	case MESSAGE_LEFT_OUT:
		return count(out, message->left_out);
	case MESSAGE_NAMES:
	case MESSAGE_INSTANCES:
		return say_each(out, message, field == MESSAGE_NAMES);
	case MESSAGE_EXTERNAL_URL:
		return say(out, message->external_url);
	case MESSAGE_GROUP:
		return say_pairs(out, message->group_labels, name, true);
	case MESSAGE_STATUS:
		return say(out, message->firing ? "firing" : "resolved");
	case MESSAGE_SEVERITY:
		return say(out, observ_severity_name(message->severity));
	case MESSAGE_URL:
		return say(out, message->url);
	case MESSAGE_LABELS:
		return say_pairs(out, message->common_labels, name, true);
	case MESSAGE_ANNOTATIONS:
		return say_pairs(out, message->common_annotations, name, false);
	default:
		return;
	}
}

static const char *
flag(bool set)
{
	return set ? "true" : NULL;
}

static void
alert_field(const MessageAlert *alert, enum message_field field, struct slice name,
			struct template_operand *out)
{
	switch (field) {
	case MESSAGE_NAME:
		return say(out, alert->name);
	case MESSAGE_INSTANCE:
		return say(out, alert->instance);
	case MESSAGE_MARK:
		return say(out, observ_mark_word(alert->mark));
	case MESSAGE_SUMMARY:
		return say(out, alert->summary);
	case MESSAGE_DESCRIPTION:
		return say(out, alert->description);
	case MESSAGE_RUNBOOK_URL:
		return say(out, alert->runbook_url);
	case MESSAGE_VALUE:
		return count(out, alert->value);
	case MESSAGE_PEAK:
		return count(out, alert->peak);
	case MESSAGE_THRESHOLD:
		return count(out, alert->threshold);
	case MESSAGE_DURATION:
		return count(out, alert->duration_seconds);
	case MESSAGE_ACKED_BY:
		return say(out, alert->acked_by);
	case MESSAGE_RESOLVED_REASON:
		return say(out, alert->resolved_reason);
	case MESSAGE_FLAPPING:
		return say(out, flag(alert->flapping));
	case MESSAGE_STALE:
		return say(out, flag(alert->stale));
	case MESSAGE_REOPENED:
		return say(out, flag(alert->reopened));
	case MESSAGE_STARTS_AT:
		return say(out, observ_time_text(alert->starts_at, 6));
	case MESSAGE_ENDS_AT:
		return say(out, observ_time_text(alert->ends_at, 6));
	case MESSAGE_ALERT_ID:
		return say(out, psprintf(INT64_FORMAT, alert->alert_id));
	case MESSAGE_FINGERPRINT:
		return say(out, alert->fingerprint);
	case MESSAGE_LINE:
		return say(out, observ_message_line(alert));
	case MESSAGE_SILENCE_URL:
		return say(out, alert->silence_url);
	case MESSAGE_EXPLAIN_URL:
	case MESSAGE_URL:
		return say(out, alert->explain_url);
	case MESSAGE_STATUS:
		return say(out, alert->firing ? "firing" : "resolved");
	case MESSAGE_SEVERITY:
		return say(out, observ_severity_name(alert->severity));
	case MESSAGE_LABELS:
		return say_pairs(out, alert->labels, name, true);
	case MESSAGE_ANNOTATIONS:
		return say_pairs(out, alert->annotations, name, false);
	default:
		return;
	}
}

/* What is rendered, for those that the core calls. */
typedef struct Rendering {
	const Message *message;
	MessageForm value; /* NULL: as it is */
} Rendering;

static void
read_field(void *arg, int alert, enum message_field field, struct slice name, struct template_operand *out)
{
	const Message *message = ((const Rendering *) arg)->message;

	if (alert < 0)
		message_field(message, field, name, out);
	else
		alert_field(&message->alerts[alert], field, name, out);
}

static bool
is_in_set(void *arg, int number, enum message_set set)
{
	const MessageAlert *alert = &((const Rendering *) arg)->message->alerts[number];

	switch (set) {
	case SET_FIRING:
		return alert->firing;
	case SET_RESOLVED:
		return !alert->firing;
	case SET_NEW:
		return alert->mark == MARK_NEW;
	case SET_STILL:
		return alert->mark == MARK_STILL;
	default:
		return true;
	}
}

static int
severity_of(struct slice name)
{
	for (int i = 0; i < OBSERV_SEVERITIES; i++)
		if (slice_equals(name, observ_severity_name(i)))
			return i;
	return -1;
}

static bool
compare_severities(void *arg, struct slice a, struct slice b, int *order)
{
	int x = severity_of(a), y = severity_of(b);

	*order = x - y;
	return x >= 0 && y >= 0;
}

/* --- rendering */

static struct slice
shown(void *arg, struct slice value)
{
	const Rendering *rendering = arg;

	return slice_of(rendering->value(pnstrdup(value.p, (Size) (value.end - value.p))));
}

/* value: form of values, NULL: as they are. NULL, with *error filled, when it can't be rendered. Into the current memory context. */
static char *
render(const char *text, const Message *message, MessageForm value, Size max, struct template_error *error)
{
	Rendering rendering = {message, value};
	struct message_template_values values = {.n_alerts = message->n_alerts,
											 .field = read_field,
											 .in_set = is_in_set,
											 .compare = compare_severities,
											 .shown = value == NULL ? NULL : shown,
											 .arg = &rendering};
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "template of a message", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(scratch);
	char *out = palloc(max), *copy = NULL;
	size_t length;
	bool cut, done = message_template_render(slice_of(text), &values, out, max, &length, &cut, error);

	MemoryContextSwitchTo(before);
	if (done)
		copy = observ_fit(out, cut ? (int) pg_mbstrlen(out) - 1 : INT_MAX, false, NULL);
	MemoryContextDelete(scratch);
	return copy;
}

static bool
is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

/* One of the two; NULL: the usual text, and the message says what is wrong with the template. */
static char *
render_or_say(const char *what, const char *text, MessageForm value, Message *message, Size max)
{
	struct template_error error;
	char *rendered;

	if (text == NULL)
		return NULL;
	rendered = render(text, message, value, max, &error);
	if (rendered == NULL) {
		message->template_error = psprintf("%s is not used: %s at character %d", what, error.message,
										   pg_mbstrlen_with_len(text, (int) error.offset) + 1);
		ereport(LOG, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					  errmsg("the usual text is sent through channel \"%s\": %s", message->channel,
							 message->template_error)));
	} else if (is_blank(rendered))
		return NULL;
	return rendered;
}

/* A title of the channel's own must not pass for trouble. */
static const char *
marked_as_test(const char *title)
{
	static const char mark[] = "[TEST]";

	return strncmp(title, mark, strlen(mark)) == 0 ? title : psprintf("%s %s", mark, title);
}

void
observ_apply_templates(const MessageTemplates *templates, Message *message)
{
	char *title, *body;

	if (message->test)
		message->title = marked_as_test(message->title);
	title = render_or_say("title_template", templates->title, NULL, message, TITLE_MAX);
	body = render_or_say("body_template", templates->body, templates->value, message, BODY_MAX);
	/* Afterwards: both may quote the usual texts. */
	if (title != NULL) {
		title = observ_fit(title, INT_MAX, true, NULL);
		message->title = message->test ? marked_as_test(title) : title;
	}
	message->body = body;
}

void
observ_check_message_template(const char *what, const char *text)
{
	struct template_error error;
	bool good = message_template_check(slice_of(text), &error);

	if (good)
		good = render(text, observ_test_message("example", "example", 0, &(MessageTemplates){0}), NULL,
					  BODY_MAX, &error) != NULL;
	if (!good) {
		/* A text that is too long ends in the middle of a character, perhaps. */
		int before = pg_mbcliplen(text, (int) strlen(text), (int) error.offset);

		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s does not render: %s", what, error.message),
						errdetail("At character %d of: %s", pg_mbstrlen_with_len(text, before) + 1, text),
						error.nearest != NULL ? errhint("Perhaps you mean %s. %s", error.nearest, error.hint)
						: error.hint != NULL  ? errhint("%s", error.hint)
											  : 0));
	}
}
