/* log_entry.c: records made into what goes into a row. See log_entry.h for what belongs here. */
#include "core/log_entry.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/log_text.h"
#include "core/log_time.h"

/* Bytes that notes take at most. */
#define NOTES_MAX (LOG_JSON_QUOTED_MAX(LOG_TIME_TEXT_MAX) + LOG_JSON_QUOTED_MAX(LOG_LEVEL_MAX) + 512)

/* Of a message template: how many values, and bytes of all of them. */
#define RENDER_VALUES 64
#define RENDER_BYTES  65536

/* Everything that the notes of one entry say. */
struct told {
	const struct log_notes *notes;
	unsigned flags;
	struct slice time, level; /* p NULL: nothing to tell */
};

static size_t
length(struct slice s)
{
	return (size_t) (s.end - s.p);
}

/* At most `max` bytes, cut at the start of a character. */
static struct slice
cut(struct slice s, size_t max)
{
	if (length(s) <= max)
		return s;
	s.end = s.p + max;
	while (s.end > s.p && ((unsigned char) *s.end & 0xc0) == 0x80)
		s.end--;
	return s;
}

static struct slice
used_of(const struct log_buffer *b)
{
	return (struct slice){b->p, b->p + b->used};
}

static char *
put(char *to, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len);
	return to + len;
}

static char *
put_number(char *to, const char *name, int64_t number)
{
	return to + snprintf(to, 64, "\"%s\":%" PRId64 ",", name, number);
}

static char *
put_quoted(char *to, const char *name, struct slice text)
{
	to = put(to, name);
	to += log_json_quote(text, to);
	*to++ = ',';
	return to;
}

/* {"truncated":true,…} without braces and with a comma at its end; nothing when there is nothing to tell. */
static char *
put_notes(char *to, const struct told *told)
{
	const struct log_notes *notes = told->notes;

	if (told->flags & LOG_ENTRY_TRUNCATED)
		to = put(to, "\"truncated\":true,");
	if (told->flags & LOG_ENTRY_UNTERMINATED)
		to = put(to, "\"unterminated\":true,");
	if (told->flags & LOG_ENTRY_BAD_BYTES)
		to = put_number(to, "bad_bytes", notes->bad_bytes);
	if (told->flags & (LOG_ENTRY_TRUNCATED | LOG_ENTRY_BAD_BYTES))
		to = put_number(to, "bytes", notes->bytes);
	if (told->flags & LOG_ENTRY_PARSE_ERROR)
		to += snprintf(to, 128, "\"parse_error\":\"%s at byte %" PRIu32 "\",", notes->parse_error,
					   notes->parse_at);
	if (told->flags & LOG_ENTRY_REPAIRED)
		to = put(to, "\"repaired\":true,");
	if (told->flags & LOG_ENTRY_BAD_TIME)
		to = put_quoted(to, "\"time\":", cut(told->time, LOG_TIME_TEXT_MAX));
	if (told->flags & LOG_ENTRY_ZONE_ASSUMED)
		to = put(to, "\"zone\":\"assumed\",");
	if (told->level.p != NULL)
		to = put_quoted(to, "\"level\":", cut(told->level, LOG_LEVEL_MAX));
	if (notes->from_stderr)
		to = put(to, "\"stream\":\"stderr\",");
	return to;
}

/*
 * Begins the context: {"observ":{…}, with a comma at its end. The notes stand first, so that a key of the same name that is
 * spelled with escapes wins, as in any jsonb. `name` NULL: the object has both names itself.
 */
static bool
begin_context(struct log_workspace *w, const struct told *told, const char *name, size_t more)
{
	struct log_buffer *b = &w->context;

	b->used = 0;
	if (!log_buffer_reserve(b, &w->memory, NOTES_MAX + more))
		return false;
	char *start = put(b->p, "{");
	if (name != NULL) {
		char *inner = put(put(put(start, "\""), name), "\":{");
		char *end = put_notes(inner, told);
		if (end > inner)
			start = put(end - 1, "},");
	}
	b->used = (size_t) (start - b->p);
	return true;
}

/* Ends it; without a member there is none. */
static struct slice
end_context(struct log_workspace *w)
{
	struct log_buffer *b = &w->context;

	if (b->p[b->used - 1] == ',')
		b->used--;
	if (b->used == 1)
		return (struct slice){0};
	b->p[b->used++] = '}';
	return used_of(b);
}

static void
settle_time(const struct log_settings *settings, enum log_mapped_time time, int64_t us, struct log_entry *out)
{
	if (time != LOG_MAPPED_TIME && settings->outer_us != INT64_MIN) {
		out->timestamp_us = settings->outer_us;
		return;
	}
	if (time == LOG_MAPPED_TIME_NO_ZONE && !settings->zone_given)
		out->flags |= LOG_ENTRY_ZONE_ASSUMED;
	if (time == LOG_MAPPED_BAD_TIME)
		out->flags |= LOG_ENTRY_BAD_TIME;
	if (time == LOG_MAPPED_NO_TIME)
		out->flags |= LOG_ENTRY_NO_TIME;
	out->timestamp_us =
		time == LOG_MAPPED_TIME || time == LOG_MAPPED_TIME_NO_ZONE ? us : settings->defaults.read_us;
}

/* The time at the beginning of a line. */
static enum log_mapped_time
time_of_text(struct slice text, const struct log_defaults *defaults, int64_t *us, struct slice *written)
{
	struct slice at = log_text_time(text);
	const char *end;

	if (at.p == NULL)
		return LOG_MAPPED_NO_TIME;
	enum log_time_result result = log_time_prefix(at, defaults->zone_s, defaults->read_us, us, &end);
	if (result == LOG_TIME_NONE)
		return LOG_MAPPED_NO_TIME;
	*written = (struct slice){at.p, end};
	if (!log_time_plausible(*us, defaults->read_us))
		return LOG_MAPPED_BAD_TIME;
	return result == LOG_TIME_OK ? LOG_MAPPED_TIME : LOG_MAPPED_TIME_NO_ZONE;
}

void
log_entry_of_text(struct log_workspace *w, struct slice text, const struct log_mapped *mapped,
				  const struct log_settings *settings, const struct log_notes *notes, struct log_entry *out)
{
	struct told told = {.notes = notes};
	enum log_mapped_time time;
	int64_t us = 0;

	*out = (struct log_entry){.message = text, .flags = notes->flags};
	if (mapped != NULL) {
		time = mapped->time;
		us = mapped->timestamp_us;
		told.time = mapped->time_as_written;
		out->level = slice_of(mapped->level != NULL ? mapped->level : mapped->level_text);
	} else {
		const char *level = log_text_level(text);

		time = time_of_text(text, &settings->defaults, &us, &told.time);
		out->level = slice_of(level != NULL ? level : settings->defaults.level);
	}
	settle_time(settings, time, us, out);
	told.flags = out->flags;
	if (begin_context(w, &told, "observ", 0))
		out->context = end_context(w);
}

bool
log_entry_value(const struct log_workspace *w, struct slice text, const struct log_json_value *value,
				struct log_buffer *into, struct slice *out)
{
	struct slice s = log_json_text(text, value);
	size_t n = length(s);
	int64_t replaced = 0;

	*out = s;
	if (value->type != LOG_JSON_STRING || !value->escaped)
		return true;
	into->used = 0;
	if (!log_buffer_reserve(into, &w->memory, n + LOG_CLEANED_MAX(n)))
		return false;
	n = log_json_unescape(s, into->p);
	*out = (struct slice){into->p, into->p + n};
	if (log_clean_length(*out, true) < n) {
		s = *out;
		out->p = into->p + n;
		out->end = out->p + log_clean(s, into->p + n, &replaced);
	}
	return true;
}

/* journald writes what is no UTF-8 as a list of bytes. */
static bool
message_of_bytes(struct log_workspace *w, struct slice list, struct slice *out)
{
	struct log_buffer *b = &w->unescaped;
	size_t n = 0;
	int64_t replaced = 0;
	int byte = -1;

	b->used = 0;
	if (!log_buffer_reserve(b, &w->memory, length(list) + LOG_CLEANED_MAX(length(list))))
		return false;
	for (const char *p = list.p; p < list.end; p++) {
		if (*p >= '0' && *p <= '9') {
			byte = (byte < 0 ? 0 : byte) * 10 + (*p - '0');
			if (byte <= 255)
				continue;
			*out = list; /* something else */
			return true;
		}
		if (byte >= 0)
			b->p[n++] = (char) byte;
		byte = -1;
	}
	out->p = b->p + n;
	out->end = out->p + log_clean((struct slice){b->p, b->p + n}, b->p + n, &replaced);
	return true;
}

/* One {Name}, {@Name}, {Name,10:000} of a message template; `p` behind its brace. False: it is none, or there is no such value. */
static bool
render_value(struct log_workspace *w, struct slice object, struct slice name, size_t *budget)
{
	struct log_buffer *b = &w->unescaped;
	struct log_json_value value;

	for (const char *p = name.p; p < name.end; p++)
		if (*p == ':' || *p == ',')
			name.end = p;
	if (name.p < name.end && (*name.p == '@' || *name.p == '$'))
		name.p++;
	if (name.p >= name.end || !log_json_find(object, name, &value))
		return false;
	struct slice text = log_json_text(object, &value);
	if (length(text) > *budget || !log_buffer_reserve(b, &w->memory, length(text)))
		return false;
	*budget -= length(text);
	if (value.type != LOG_JSON_STRING)
		return log_buffer_add(b, &w->memory, text);
	b->used += log_json_unescape(text, b->p + b->used);
	return true;
}

/* Serilog's message template (messagetemplates.org) with the values of the object. */
static bool
render(struct log_workspace *w, struct slice object, struct slice template, struct slice *out)
{
	struct log_buffer *b = &w->unescaped;
	size_t budget = RENDER_BYTES;
	int values = 0;
	int64_t replaced = 0;

	b->used = 0;
	while (template.p < template.end) {
		char c = *template.p;
		const char *close;

		if ((c == '{' || c == '}') && template.end - template.p > 1 && template.p[1] == c) {
			template.p++;
		} else if (c == '{' && values < RENDER_VALUES &&
				   (close = memchr(template.p, '}', length(cut(template, 128)))) != NULL) {
			values++;
			if (render_value(w, object, (struct slice){template.p + 1, close}, &budget)) {
				template.p = close + 1;
				continue;
			}
		}
		if (!log_buffer_add(b, &w->memory, (struct slice){template.p, template.p + 1}))
			return false;
		template.p++;
	}
	size_t n = b->used;
	if (!log_buffer_reserve(b, &w->memory, LOG_CLEANED_MAX(n) + 1)) /* an empty template is a text, too */
		return false;
	out->p = b->p + n;
	out->end = out->p + log_clean((struct slice){b->p, b->p + n}, b->p + n, &replaced);
	return true;
}

static bool
find_message(struct log_workspace *w, const struct log_object *object, struct slice *out)
{
	enum log_key key = object->mapped->message;
	const struct log_json_value *value = &object->values->of[key];
	bool done;

	if (key == KEY_NONE) {
		*out = object->text;
		return true;
	}
	if (key == KEY_MESSAGE_UPPER && value->type == LOG_JSON_ARRAY)
		done = message_of_bytes(w, log_json_text(object->text, value), out);
	else if (key == KEY_AT_MT || key == KEY_MESSAGE_TEMPLATE)
		done = log_entry_value(w, object->text, value, &w->part, out) && render(w, object->text, *out, out);
	else
		done = log_entry_value(w, object->text, value, &w->unescaped, out);
	while (out->p < out->end && out->end[-1] == '\n')
		out->end--;
	return done;
}

/* Appends members of an object (all of its text) but those of some keys, without braces, with a comma at the end. */
static void
put_members(struct log_buffer *b, const struct log_object *object, const enum log_key *without, int n)
{
	char *start = b->p + b->used, *to = start;
	const char *base = object->text.p, *from = base + 1, *end = object->text.end - 1;

	for (const char *next = from; next != NULL; from = next) {
		const struct log_json_value *first = NULL;
		for (int i = 0; i < n; i++) {
			const struct log_json_value *value = &object->values->of[without[i]];
			if (base + value->member >= from && (first == NULL || value->member < first->member))
				first = value;
		}
		const char *stop = first != NULL ? base + first->member : end;
		/* Where the first member was left out the comma behind it goes, too. */
		while (from < stop && to == start && (*from == ',' || *from == ' ' || *from == '\n' || *from == '\t'))
			from++;
		if (from < stop)
			memcpy(to, from, (size_t) (stop - from));
		to += from < stop ? stop - from : 0;
		next = first != NULL ? base + first->end + (first->type == LOG_JSON_STRING) : NULL;
	}
	while (to > start && (to[-1] == ' ' || to[-1] == '\n' || to[-1] == '\t' || to[-1] == '\r'))
		to--;
	if (to > start)
		*to++ = ',';
	b->used = (size_t) (to - b->p);
}

static const char *
notes_name(const struct log_json_values *v, bool own)
{
	if (!log_json_has(v, KEY_OBSERV) && !(own && log_json_has(v, KEY_CONTEXT_OBSERV)))
		return "observ";
	return log_json_has(v, KEY_OBSERV_SPARE) || (own && log_json_has(v, KEY_CONTEXT_OBSERV_SPARE))
			   ? NULL
			   : "_observ";
}

/* logcore's: members of the object `context`, and whatever stands beside the five usual keys. */
static bool
put_own_context(struct log_workspace *w, const struct log_object *object, const struct told *told)
{
	static const enum log_key usual[] = {KEY_TIMESTAMP, KEY_LEVEL, KEY_LOGGER, KEY_MESSAGE, KEY_CONTEXT};
	enum log_key there[sizeof usual / sizeof usual[0]];
	bool has = log_json_has(object->values, KEY_CONTEXT);
	int n = 0;

	for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
		if (log_json_has(object->values, usual[i]))
			there[n++] = usual[i];

	if (!begin_context(w, told, notes_name(object->values, true), length(object->text) + 2))
		return false;
	if (object->json->top > n)
		put_members(&w->context, object, there, n);
	if (has) {
		struct log_object context = *object;
		context.text = log_json_text(object->text, &object->values->of[KEY_CONTEXT]);
		put_members(&w->context, &context, NULL, 0);
	}
	return true;
}

static bool
is_own(const struct log_object *object)
{
	const struct log_json_values *v = object->values;

	if (!object->mapped->format->own_context || object->mapped->message != KEY_MESSAGE ||
		(v->twice[0] | v->twice[1]) != 0)
		return false;
	return !log_json_has(v, KEY_CONTEXT) || v->of[KEY_CONTEXT].type == LOG_JSON_OBJECT;
}

bool
log_entry_of_object(struct log_workspace *w, const struct log_object *object,
					const struct log_settings *settings, const struct log_notes *notes, struct log_entry *out)
{
	const struct log_mapped *mapped = object->mapped;
	struct told told = {.notes = notes, .time = mapped->time_as_written};
	bool own = is_own(object);

	*out = (struct log_entry){.flags = notes->flags};
	out->level = slice_of(mapped->level != NULL ? mapped->level : mapped->level_text);
	if (own)
		told.level = mapped->level_as_written;
	settle_time(settings, mapped->time, mapped->timestamp_us, out);
	told.flags = out->flags;
	if (!find_message(w, object, &out->message))
		return false;
	if (own) {
		if (!put_own_context(w, object, &told))
			return false;
	} else {
		/* A template is told apart by its values; of a key that is there twice both are kept. */
		enum log_key key = mapped->message;
		bool kept = key == KEY_NONE || key == KEY_AT_MT || key == KEY_MESSAGE_TEMPLATE ||
					key == KEY_FIELDS_MESSAGE || (object->values->twice[0] >> key & 1) != 0;

		if (!begin_context(w, &told, notes_name(object->values, false), length(object->text) + 2))
			return false;
		put_members(&w->context, object, &key, kept ? 0 : 1);
	}
	out->context = end_context(w);
	if (mapped->logger != KEY_NONE) {
		if (!log_entry_value(w, object->text, &object->values->of[mapped->logger], &w->part, &out->logger))
			return false;
		out->logger = cut(out->logger, LOG_LOGGER_MAX);
	}
	return true;
}
