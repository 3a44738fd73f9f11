/* log_lines.c: from lines of a log file to entries. See log_lines.h for what belongs here. */
#include "core/log_lines.h"

/* What a workspace keeps between two lines, each buffer; a file keeps none when it is at rest. */
#define KEEP_BYTES ((size_t) 256 << 10)

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

enum holding {
	HOLD_NONE,
	HOLD_TEXT,  /* a record of text, to which lines may be added */
	HOLD_JSON,  /* an object that has not ended */
	HOLD_CHUNKS /* a line that Docker has cut into pieces */
};

/* One call. */
struct feed {
	struct log_lines *l;
	struct log_workspace *w;
	log_emit emit;
	void *into;
	int64_t read_us, outer_us;
	struct log_notes notes;
	bool wrapped;  /* the line came in Docker's envelope */
	bool no_hold;  /* what does not end here is given out as it is */
	bool holds_it; /* a record that is held back begins with this line */
};

static void process_line(struct feed *f, struct slice line);
static void read_objects(struct feed *f, struct slice text);

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

static struct slice
used_of(const struct log_buffer *b)
{
	/* An empty one may have no memory, and a message is never NULL. */
	return b->used == 0 ? (struct slice){"", ""} : (struct slice){b->p, b->p + b->used};
}

static bool
is_blank(struct slice s)
{
	while (s.p < s.end && is_space(*s.p))
		s.p++;
	return s.p == s.end;
}

static struct log_settings
settings_of(const struct feed *f)
{
	return (struct log_settings){
		.defaults = {.level = f->l->level, .zone_s = f->l->zone_s, .read_us = f->read_us},
		.zone_given = f->l->zone_given,
		.outer_us = f->outer_us,
	};
}

/* --- giving out */

static void
emit_text(struct feed *f, struct slice text, const struct log_mapped *mapped)
{
	struct log_settings settings = settings_of(f);
	struct log_entry entry;

	while (text.p < text.end && text.end[-1] == '\n')
		text.end--;
	log_entry_of_text(f->w, text, mapped, &settings, &f->notes, &entry);
	f->emit(f->into, &entry);
	f->l->after_json = false;
}

/* Text that looked like an object. What can be read of it is used: level and time. */
static void
emit_broken(struct feed *f, struct slice text, const char *error, uint32_t at)
{
	struct log_settings settings = settings_of(f);
	struct log_choice none = {0};
	struct log_json json = {0};
	struct log_json_values values;
	struct log_mapped mapped;
	struct log_notes before = f->notes;

	(void) log_json_scan(&json, text, &values);
	log_map(text, &values, &settings.defaults, &none, &mapped);
	f->notes.flags |= LOG_ENTRY_PARSE_ERROR;
	f->notes.parse_error = error;
	f->notes.parse_at = at;
	emit_text(f, text, &mapped);
	f->notes = before;
}

/*
 * Lines that began as an object which came to no end: one text, but for whole objects of one line among them.
 */
static void
emit_lines(struct feed *f, struct slice text, const char *error, uint32_t at)
{
	struct slice rest = text, line, run = {text.p, text.p};

	while (slice_line(&rest, &line)) {
		struct log_json json = {0};

		if (*line.p != '{' || log_json_scan(&json, line, NULL) != LOG_JSON_DONE ||
			!is_blank((struct slice){line.p + json.at, line.end})) {
			run.end = line.end;
			continue;
		}
		if (!is_blank(run))
			emit_broken(f, run, error, at);
		read_objects(f, line);
		run = (struct slice){rest.p, rest.p};
	}
	if (!is_blank(run))
		emit_broken(f, run, error, at);
}

/* --- holding back */

/* From now on it is about the lines held back: their notes and times. They are whatever they are: nothing is held anew. */
static struct feed
turn_to_held(struct feed *f)
{
	struct feed before = *f;

	f->notes = f->l->notes;
	f->outer_us = f->l->outer_us;
	f->read_us = f->l->first_us;
	f->no_hold = true;
	f->l->holding = HOLD_NONE;
	return before;
}

/* Gives out what is held back, as it is. */
static void
release(struct feed *f)
{
	struct log_lines *l = f->l;
	enum holding was = (enum holding) l->holding;

	if (was == HOLD_NONE)
		return;
	struct feed before = turn_to_held(f);
	if (was == HOLD_JSON) {
		emit_lines(f, used_of(&l->held), l->json.error != NULL ? l->json.error : "object does not end",
				   l->json.at);
	} else {
		f->notes.flags |= was == HOLD_CHUNKS ? LOG_ENTRY_UNTERMINATED : 0;
		emit_text(f, used_of(&l->held), NULL);
	}
	l->held.used = 0;
	*f = before;
}

/* Nothing else may be held. False: no memory. */
static bool
hold(struct feed *f, enum holding what, struct slice text)
{
	struct log_lines *l = f->l;

	l->held.used = 0;
	if (!log_buffer_add(&l->held, &f->w->memory, text))
		return false;
	l->holding = (uint8_t) what;
	l->notes = f->notes;
	l->outer_us = f->outer_us;
	l->first_us = l->last_us = f->read_us;
	l->held_wrapped = f->wrapped;
	f->holds_it = true;
	return true;
}

/* Adds to what is held. False, nothing is changed: it is enough. */
static bool
hold_more(struct feed *f, const char *between, struct slice text)
{
	struct log_lines *l = f->l;
	size_t gap = strlen(between), more = gap + (size_t) (text.end - text.p);

	if (l->held.used + more > LOG_JOIN_MAX_BYTES || f->read_us - l->first_us > LOG_JOIN_MAX_US ||
		!log_buffer_reserve(&l->held, &f->w->memory, more))
		return false;
	(void) log_buffer_add(&l->held, &f->w->memory, (struct slice){between, between + gap});
	(void) log_buffer_add(&l->held, &f->w->memory, text);
	l->notes.flags |= f->notes.flags;
	l->notes.bytes += f->notes.bytes + 1;
	l->notes.bad_bytes += f->notes.bad_bytes;
	l->last_us = f->read_us;
	return true;
}

/* --- JSON */

/* A record begins: what is held back is over. A bracket alone is that of an array whose first object this is. */
static void
begin_object(struct feed *f)
{
	struct log_lines *l = f->l;

	if (l->holding == HOLD_TEXT && slice_equals(used_of(&l->held), "["))
		l->holding = HOLD_NONE;
	release(f);
}

/* Docker's envelope: the line inside of it, or a piece of one. False: no memory. */
static bool
open_envelope(struct feed *f, struct slice text, const struct log_json_values *values, int64_t us)
{
	struct log_lines *l = f->l;
	struct feed before = *f;
	struct slice inner;
	bool done = true;

	if (!log_entry_value(f->w, text, &values->of[KEY_LOG], &f->w->inner, &inner))
		return false;
	bool ends = inner.p < inner.end && inner.end[-1] == '\n';
	inner.end -= ends;
	f->notes.from_stderr = slice_equals(log_json_text(text, &values->of[KEY_STREAM]), "stderr");
	f->outer_us = us;
	bool joined =
		l->holding == HOLD_CHUNKS && l->notes.from_stderr == f->notes.from_stderr && hold_more(f, "", inner);
	if (!joined && !ends) {
		release(f);
		done = hold(f, HOLD_CHUNKS, inner);
	} else if (ends) {
		if (joined) {
			struct log_buffer spare = f->w->inner;

			f->w->inner = l->held;
			l->held = spare;
			l->holding = HOLD_NONE;
			inner = used_of(&f->w->inner);
			f->notes = l->notes;
			f->outer_us = l->outer_us;
			f->read_us = l->first_us;
		} else if (l->holding == HOLD_CHUNKS) {
			release(f);
		}
		f->wrapped = true;
		process_line(f, inner);
	}
	before.holds_it = f->holds_it;
	*f = before;
	return done;
}

static void
emit_object(struct feed *f, struct slice text, const struct log_json *json,
			const struct log_json_values *values)
{
	struct log_workspace *w = f->w;
	struct log_settings settings = settings_of(f);
	struct log_object object = {.text = text, .json = json, .values = values};
	struct log_json again = {0};
	struct log_json_values mended;
	struct log_mapped mapped;
	struct log_entry entry;
	unsigned flags = f->notes.flags;
	bool done = true;

	if (json->mend) {
		w->mended.used = 0;
		done = log_buffer_reserve(&w->mended, &w->memory, LOG_JSON_MENDED_MAX((size_t) (text.end - text.p)));
		if (done) {
			object.text = (struct slice){w->mended.p, w->mended.p + log_json_mend(text, w->mended.p)};
			done = log_json_scan(&again, object.text, &mended) == LOG_JSON_DONE;
			object.json = &again;
			object.values = &mended;
			f->notes.flags |= LOG_ENTRY_REPAIRED;
		}
	}
	if (done) {
		log_map(object.text, object.values, &settings.defaults,
				f->wrapped ? &f->l->inner_choice : &f->l->choice, &mapped);
		object.mapped = &mapped;
		bool wraps = mapped.format->wraps && !f->wrapped && !f->no_hold;
		if (wraps && open_envelope(f, object.text, object.values,
								   mapped.time == LOG_MAPPED_TIME ? mapped.timestamp_us : INT64_MIN)) {
			f->notes.flags = flags;
			return;
		}
		begin_object(f);
		done = log_entry_of_object(w, &object, &settings, &f->notes, &entry);
	}
	if (done) {
		f->emit(f->into, &entry);
		f->l->after_json = true;
	} else {
		begin_object(f);
		emit_text(f, text, NULL);
	}
	f->notes.flags = flags;
}

/* Whether a line is worth reading as JSON: brackets and commas, then a brace that a key, its end or the next line follows. */
static bool
looks_like_json(struct slice s)
{
	while (s.p < s.end && (is_space(*s.p) || *s.p == '[' || *s.p == ']' || *s.p == ','))
		s.p++;
	if (s.p >= s.end || *s.p != '{')
		return false;
	for (s.p++; s.p < s.end && is_space(*s.p);)
		s.p++;
	return s.p == s.end || *s.p == '"' || *s.p == '}';
}

/* Objects one after another, in an array or not. An object that goes on in the next line is held, if it is the first. */
static void
read_objects(struct feed *f, struct slice text)
{
	const char *start = text.p;
	bool first = true;

	for (;; first = false) {
		struct log_json json = {0};
		struct log_json_values values;

		while (text.p < text.end && (is_space(*text.p) || *text.p == '[' || *text.p == ']' || *text.p == ','))
			text.p++;
		if (text.p >= text.end)
			return;
		enum log_json_result result = log_json_scan(&json, text, &values);
		if (result == LOG_JSON_DONE) {
			emit_object(f, (struct slice){text.p, text.p + json.at}, &json, &values);
			text.p += json.at;
			continue;
		}
		begin_object(f);
		if (result == LOG_JSON_MORE && first && !f->no_hold &&
			(f->notes.flags & (LOG_ENTRY_TRUNCATED | LOG_ENTRY_UNTERMINATED)) == 0 &&
			hold(f, HOLD_JSON, text)) {
			f->l->json = json;
			return;
		}
		emit_broken(f, text, result == LOG_JSON_MORE ? "object does not end" : json.error,
					(uint32_t) (text.p - start) + json.at);
		return;
	}
}

/* The next line of an object. False: the line is none, the lines before it are given out. */
static bool
continue_json(struct feed *f, struct slice line)
{
	struct log_lines *l = f->l;
	struct log_notes notes = l->notes;
	size_t used = l->held.used;

	if (!hold_more(f, "\n", line)) {
		release(f);
		return false;
	}
	switch (log_json_scan(&l->json, used_of(&l->held), NULL)) {
	case LOG_JSON_MORE:
		if ((f->notes.flags & (LOG_ENTRY_TRUNCATED | LOG_ENTRY_UNTERMINATED)) != 0)
			release(f);
		return true;
	case LOG_JSON_DONE: {
		struct feed before = turn_to_held(f);
		read_objects(f, used_of(&l->held));
		*f = before;
		return true;
	}
	case LOG_JSON_ERROR:
		break;
	}
	l->held.used = used;
	l->notes = notes;
	release(f);
	return false;
}

/* --- lines */

/* A line of a pretty-printed array around objects. */
static bool
is_array_bracket(struct slice line)
{
	while (line.p < line.end && (is_space(*line.p) || *line.p == '[' || *line.p == ']' || *line.p == ','))
		line.p++;
	return line.p == line.end;
}

/* A line that is clean and not blank. */
static void
process_line(struct feed *f, struct slice line)
{
	struct log_lines *l = f->l;
	bool same = l->held_wrapped == f->wrapped, json = looks_like_json(line);

	if (is_blank(line) || (l->holding == HOLD_JSON && same && continue_json(f, line)))
		return;
	if (l->holding == HOLD_TEXT && same &&
		(!json || (is_space(*line.p) && !slice_equals(used_of(&l->held), "[")))) {
		enum log_trace next = log_trace_next((enum log_trace) l->trace, used_of(&l->held), line);

		if (next != LOG_TRACE_NEW && hold_more(f, "\n", line)) {
			l->trace = (uint8_t) next;
			return;
		}
	}
	if (json) {
		read_objects(f, line);
		return;
	}
	if (l->after_json && l->holding == HOLD_NONE && is_array_bracket(line))
		return;
	release(f);
	if (f->no_hold || !hold(f, HOLD_TEXT, line))
		emit_text(f, line, NULL);
	else
		l->trace = (uint8_t) log_trace_begin(line);
}

/* Without what files and cuts put around a line. */
static struct slice
trim_line(const struct log_line *line)
{
	struct slice s = line->text;

	while (s.p < s.end && *s.p == '\0') /* the hole that copytruncate leaves */
		s.p++;
	if (slice_starts(s, BYTE_ORDER_MARK))
		s.p += strlen(BYTE_ORDER_MARK);
	if (line->flags & LOG_LINE_TRUNCATED) {
		/* The beginning of a character is none. */
		const char *p = s.end;
		for (int i = 0; i < 3 && p > s.p && ((unsigned char) p[-1] & 0xc0) == 0x80; i++)
			p--;
		unsigned char lead = p > s.p ? (unsigned char) p[-1] : 0;
		int len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
		if (len > 1 && s.end - (p - 1) < len)
			s.end = p - 1;
	}
	while (s.p < s.end && s.end[-1] == '\r')
		s.end--;
	return s;
}

static void
trim_workspace(struct log_workspace *w, size_t keep)
{
	log_buffer_reset(&w->clean, &w->memory, keep);
	log_buffer_reset(&w->mended, &w->memory, keep);
	log_buffer_reset(&w->inner, &w->memory, keep);
	log_buffer_reset(&w->unescaped, &w->memory, keep);
	log_buffer_reset(&w->part, &w->memory, keep);
	log_buffer_reset(&w->context, &w->memory, keep);
}

void
log_workspace_init(struct log_workspace *w, struct log_memory memory)
{
	*w = (struct log_workspace){.memory = memory};
}

void
log_workspace_free(struct log_workspace *w)
{
	trim_workspace(w, 0);
}

void
log_lines_init(struct log_lines *l, struct log_workspace *w)
{
	*l = (struct log_lines){.level = "info", .space = w, .outer_us = INT64_MIN};
}

void
log_lines_free(struct log_lines *l)
{
	log_buffer_reset(&l->held, &l->space->memory, 0);
	l->holding = HOLD_NONE;
	l->held_lines = 0;
}

void
log_lines_feed(struct log_lines *l, const struct log_line *line, int64_t read_us, log_emit emit, void *into)
{
	struct log_workspace *w = l->space;
	struct feed f = {.l = l,
					 .w = w,
					 .emit = emit,
					 .into = into,
					 .read_us = read_us,
					 .outer_us = INT64_MIN,
					 .notes.bytes = line->bytes};
	struct slice text = trim_line(line);
	size_t len = (size_t) (text.end - text.p);

	if (l->holding != HOLD_NONE)
		log_lines_flush(l, read_us, emit, into);
	f.notes.flags = ((line->flags & LOG_LINE_TRUNCATED) ? LOG_ENTRY_TRUNCATED : 0) |
					((line->flags & LOG_LINE_UNTERMINATED) ? LOG_ENTRY_UNTERMINATED : 0);
	size_t clean = log_clean_length(text, false);
	if (clean < len) {
		w->clean.used = 0;
		if (log_buffer_reserve(&w->clean, &w->memory, LOG_CLEANED_MAX(len))) {
			w->clean.used = log_clean(text, w->clean.p, &f.notes.bad_bytes);
			text = used_of(&w->clean);
			f.notes.flags |= f.notes.bad_bytes > 0 ? LOG_ENTRY_BAD_BYTES : 0;
		} else {
			text.end = text.p + clean;
			f.notes.flags |= LOG_ENTRY_TRUNCATED;
		}
	}
	process_line(&f, text);
	l->held_lines = l->holding == HOLD_NONE ? 0 : f.holds_it ? 1 : l->held_lines + 1;
	if (l->holding == HOLD_NONE)
		log_buffer_reset(&l->held, &w->memory, 0);
	trim_workspace(w, KEEP_BYTES);
}

void
log_lines_flush(struct log_lines *l, int64_t now_us, log_emit emit, void *into)
{
	struct feed f = {.l = l, .w = l->space, .emit = emit, .into = into, .outer_us = INT64_MIN};

	/* A clock that was set back would have it wait for long. */
	if (l->holding == HOLD_NONE || (now_us < log_lines_due_us(l) && now_us >= l->first_us))
		return;
	release(&f);
	log_buffer_reset(&l->held, &l->space->memory, 0);
	l->held_lines = 0;
	trim_workspace(l->space, KEEP_BYTES);
}

int64_t
log_lines_due_us(const struct log_lines *l)
{
	if (l->holding == HOLD_NONE)
		return INT64_MAX;
	int64_t whole = l->first_us + LOG_JOIN_MAX_US, idle = l->last_us + LOG_IDLE_US;
	return l->holding == HOLD_TEXT && idle < whole ? idle : whole;
}

uint32_t
log_lines_pending(const struct log_lines *l)
{
	return l->held_lines;
}

size_t
log_lines_pending_bytes(const struct log_lines *l)
{
	return l->held.size;
}

const char *
log_lines_format(const struct log_lines *l)
{
	return l->choice.format != 0 ? log_choice_name(&l->choice) : l->after_json ? "json" : "text";
}
