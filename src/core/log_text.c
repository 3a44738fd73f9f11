/* log_text.c: lines of plain text. See log_text.h for what belongs here. */
#include "core/log_text.h"

#include "core/log_level.h"
#include "core/log_severity.h"

/* Words at the beginning among which a level is looked for, and bytes in which a time is. */
#define LEVEL_WORDS 7
#define TIME_WITHIN 200

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
starts_any(struct slice s, const char *const *prefixes)
{
	for (; *prefixes != NULL; prefixes++)
		if (slice_starts(s, *prefixes))
			return true;
	return false;
}

static bool
ends(struct slice s, const char *suffix)
{
	size_t len = strlen(suffix);

	return (size_t) (s.end - s.p) >= len && memcmp(s.end - len, suffix, len) == 0;
}

/* java.lang.IllegalStateException: …, System.NullReferenceException */
static bool
is_exception(struct slice line)
{
	struct slice name = {line.p, line.p};
	bool dotted = false;

	while (name.end < line.end && (is_letter(*name.end) || is_digit(*name.end) || *name.end == '_' ||
								   *name.end == '$' || *name.end == '.')) {
		dotted = dotted || *name.end == '.';
		name.end++;
	}
	return dotted && (name.end == line.end || *name.end == ':' || *name.end == ' ' || *name.end == '\n') &&
		   (ends(name, "Exception") || ends(name, "Error") || ends(name, "Throwable"));
}

/* main.(*server).handle(0xc000012345, {0x1, 0x2}) */
static bool
is_go_call(struct slice line)
{
	const char *open = memchr(line.p, '(', (size_t) (line.end - line.p));
	const char *blank = memchr(line.p, ' ', (size_t) (line.end - line.p));

	return open != NULL && (blank == NULL || blank > open) && line.end[-1] == ')';
}

enum log_trace
log_trace_begin(struct slice line)
{
	static const char *const go[] = {"panic: ", "fatal error: ", "goroutine ", "runtime: ", NULL};

	if (slice_starts(line, "Traceback (most recent call last)"))
		return LOG_TRACE_PYTHON;
	if (slice_starts(line, "thread '") && memchr(line.p, '\n', (size_t) (line.end - line.p)) == NULL &&
		ends(line, ":"))
		return LOG_TRACE_RUST;
	return starts_any(line, go) ? LOG_TRACE_GO : LOG_TRACE_TEXT;
}

/* Whether a trace may hide in that record: it has a level below warning. */
static bool
is_calm(struct slice record)
{
	const char *level = log_text_level(record);

	return level != NULL && log_level_rank(slice_of(level)) < log_level_rank(slice_of("warning"));
}

static enum log_trace
next_of_text(struct slice record, struct slice line)
{
	static const char *const more[] = {"Caused by:",
									   "Suppressed:",
									   "Stack trace:",
									   "stack backtrace:",
									   "note: run with `RUST_BACKTRACE",
									   "[stacktrace]",
									   "[previous exception]",
									   NULL};

	if (starts_any(line, more))
		return LOG_TRACE_TEXT;
	if (*line.p == '#' && line.end - line.p > 2 && is_digit(line.p[1]))
		return LOG_TRACE_TEXT;
	if (slice_starts(line, "Traceback (most recent call last)"))
		return is_calm(record) ? LOG_TRACE_NEW : LOG_TRACE_PYTHON;
	if (is_exception(line))
		return is_calm(record) ? LOG_TRACE_NEW : LOG_TRACE_TEXT;
	return LOG_TRACE_NEW;
}

/* Blanks at the beginning. */
static ptrdiff_t
indent(struct slice line)
{
	const char *p = line.p;

	while (p < line.end && is_blank(*p))
		p++;
	return p - line.p;
}

/* Whether an indented line is part of the record. A file may have all of its lines indented: then only frames are, and what is deeper. */
static bool
is_below(struct slice record, struct slice line)
{
	static const char *const frames[] = {"at ", "File \"", "... ", "in ", "from ", "thrown in ", NULL};

	return !is_blank(*record.p) || indent(line) > indent(record) ||
		   starts_any((struct slice){line.p + indent(line), line.end}, frames);
}

enum log_trace
log_trace_next(enum log_trace trace, struct slice record, struct slice line)
{
	static const char *const go[] = {"goroutine ", "created by ", "[signal ", "exit status ",
									 "panic: ",    "[recovered]", NULL};
	static const char *const python[] = {"During handling of the above exception",
										 "The above exception was the direct cause", NULL};

	if (trace == LOG_TRACE_NEW || line.p >= line.end)
		return trace;
	if (is_blank(*line.p) && !is_below(record, line))
		return LOG_TRACE_NEW;
	if (is_blank(*line.p))
		return trace == LOG_TRACE_PYTHON_END ? LOG_TRACE_TEXT : trace;
	switch (trace) {
	case LOG_TRACE_PYTHON:
		return LOG_TRACE_PYTHON_END;
	case LOG_TRACE_PYTHON_END:
		if (starts_any(line, python))
			return LOG_TRACE_PYTHON_END;
		if (slice_starts(line, "Traceback (most recent call last)"))
			return LOG_TRACE_PYTHON;
		return LOG_TRACE_NEW;
	case LOG_TRACE_GO:
		return starts_any(line, go) || is_go_call(line) ? LOG_TRACE_GO : LOG_TRACE_NEW;
	case LOG_TRACE_RUST:
		return LOG_TRACE_TEXT;
	default:
		return next_of_text(record, line);
	}
}

/* Whether a text without level is the trace of an error. */
static bool
is_trace(struct slice text)
{
	static const char *const begin[] = {"Traceback (most recent call last)",
										"Exception in thread ",
										"Caused by:",
										"Unhandled exception",
										"Uncaught ",
										"PHP Fatal error:",
										"PHP Parse error:",
										"Fatal error:",
										NULL};
	struct slice word = text;

	if (starts_any(text, begin) || is_exception(text))
		return true;
	if (slice_starts(text, "thread '") && memchr(text.p, '\n', (size_t) (text.end - text.p)) != NULL)
		return true;
	while (word.p < word.end && is_blank(*word.p))
		word.p++;
	return word.p > text.p && (slice_starts(word, "at ") || slice_starts(word, "File \""));
}

/*
 * A word that is certainly meant as a level: in capitals, in brackets, before a colon, or behind level=. A name of one letter is
 * none: "A" is an article.
 */
static const char *
level_of_word(struct slice word)
{
	static const char *const keys[] = {"level=", "lvl=", "severity=", "loglevel=", "log.level=", NULL};
	bool sure = false, capitals = true;

	for (const char *const *key = keys; *key != NULL; key++)
		if (slice_starts(word, *key)) {
			word.p += strlen(*key);
			sure = true;
		}
	while (word.p < word.end && strchr("[(<\"|", *word.p) != NULL && *word.p != '\0') {
		sure = sure || *word.p != '"';
		word.p++;
	}
	/* Monolog and Laravel: production.ERROR: */
	for (const char *p = word.p; p < word.end && word.end[-1] == ':'; p++)
		if (*p == '.' && p[1] >= 'A' && p[1] <= 'Z')
			word.p = p + 1;
	struct slice name = {word.p, word.p};
	while (name.end < word.end && (is_letter(*name.end) || is_digit(*name.end))) {
		capitals = capitals && !(*name.end >= 'a' && *name.end <= 'z');
		name.end++;
	}
	if (name.end < word.end && *name.end == ':')
		sure = true;
	else if (name.end < word.end && strchr("])>\"|,", *name.end) == NULL)
		return NULL;
	if (name.end - name.p < 3 || (!sure && !capitals))
		return NULL;
	return slice_equals(name, "OK") || slice_equals(name, "ALL") ? NULL : log_severity_of_name(name);
}

const char *
log_text_level(struct slice text)
{
	static const char *const crash[] = {"panic: ", "fatal error: ", NULL};
	struct slice line, rest, word;

	if (starts_any(text, crash)) /* Go's runtime */
		return "fatal";
	if (text.p >= text.end || !slice_line(&text, &line))
		return NULL;
	rest = line;
	for (int i = 0; i < LEVEL_WORDS && slice_word(&rest, &word); i++) {
		const char *level = level_of_word(word);

		if (level != NULL)
			return level;
	}
	return is_trace((struct slice){line.p, text.end}) ? "error" : NULL;
}

struct slice
log_text_time(struct slice text)
{
	struct slice none = {0}, start = text;
	const char *within = text.end - text.p > TIME_WITHIN ? text.p + TIME_WITHIN : text.end;

	while (start.p < text.end && (*start.p == '[' || *start.p == '<'))
		start.p++;
	if (start.p >= text.end)
		return none;
	if (slice_starts(start, "time=") || slice_starts(start, "ts=")) {
		start.p = (const char *) memchr(start.p, '=', 5) + 1;
		if (start.p < start.end && *start.p == '"')
			start.p++;
		return start;
	}
	if (is_digit(*start.p) && text.end - start.p > 4 && (start.p[4] == '-' || start.p[4] == '/'))
		return start;
	if (*start.p >= 'A' && *start.p <= 'S' && text.end - start.p > 3 && start.p[3] == ' ')
		return start;
	/* 127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] */
	const char *bracket = memchr(text.p, '[', (size_t) (within - text.p));
	if (bracket != NULL && text.end - bracket > 20 && bracket[3] == '/' && bracket[7] == '/')
		return (struct slice){bracket + 1, text.end};
	return none;
}
