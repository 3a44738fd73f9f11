/*
 * log_json.h: one pass over the text of a JSON object: is it one, where does it end, where are the values of known keys.
 *
 * Belongs here: the grammar (RFC 8259), what PostgreSQL's jsonb refuses and how it is mended, strings without their escapes.
 * Does not belong here: what a key means (log_map.h), bytes that are no UTF-8 (log_clean.h goes first).
 * NEUTRAL, pure; nothing is allocated.
 */
#ifndef OBSERV_CORE_LOG_JSON_H
#define OBSERV_CORE_LOG_JSON_H

#include "core/log_keys.h"

/* What is read at most; more is an error. jsonb itself gives up at some thousand levels. */
#define LOG_JSON_DEPTH 64
#define LOG_JSON_KEYS  500
/* Numbers beyond are kept as strings: numeric can't hold them, or takes 131,072 digits to print them. */
#define LOG_JSON_DIGITS   300
#define LOG_JSON_EXPONENT 308

enum log_json_type {
	LOG_JSON_STRING,
	LOG_JSON_NUMBER,
	LOG_JSON_OBJECT,
	LOG_JSON_ARRAY,
	LOG_JSON_WORD /* true, false, null; also NaN and Infinity */
};

/* A value of a known key. Offsets are those of the text that is scanned. */
struct log_json_value {
	uint32_t start, end; /* a string's quotes are outside */
	uint32_t member;     /* where its member begins: at the comma before it, or at the key of the first one */
	uint8_t type;
	bool escaped; /* a string with backslashes */
};

struct log_json_values {
	uint64_t seen[2], twice[2]; /* bits by key: is there; is there more than once, the last one counts */
	struct log_json_value of[LOG_KEYS];
};

/* Zeroed: before the first byte. May be copied; knows the text by offsets. */
struct log_json {
	uint32_t at;        /* read up to here; after an error: the byte that does not fit */
	uint16_t keys, top; /* members, and those of the object itself */
	uint8_t depth, want;
	bool mend;       /* there is something that jsonb refuses */
	uint64_t arrays; /* bits by depth: that container is an array */
	const char *error;
};

enum log_json_result {
	LOG_JSON_DONE, /* `at` is behind the closing brace */
	LOG_JSON_MORE, /* the text is used up inside the object; a string never goes on in the next line */
	LOG_JSON_ERROR
};

/*
 * Reads on. `text` is clean and begins with the object's brace; when it has grown since the last call (at the end of a line), the
 * scan goes on. Values (may be NULL) are only found by a scan that began at the beginning.
 */
enum log_json_result log_json_scan(struct log_json *j, struct slice text, struct log_json_values *values);

static inline bool
log_json_has(const struct log_json_values *v, enum log_key key)
{
	return (v->seen[key >> 6] >> (key & 63) & 1) != 0;
}

/* Text of a value, without quotes. */
static inline struct slice
log_json_text(struct slice text, const struct log_json_value *v)
{
	return (struct slice){text.p + v->start, text.p + v->end};
}

/* At most this many bytes come out of `n`. */
#define LOG_JSON_MENDED_MAX(n) (2 * (n))

/*
 * Writes an object that was read to its end so that jsonb takes it; returns the number of bytes. \u0000 and lone surrogates become \ufffd, tabs in
 * strings \t, numbers out of range, NaN and Infinity strings.
 */
size_t log_json_mend(struct slice text, char *out);

/*
 * Writes a string (without its quotes) without its escapes to `out`, which takes as many bytes; returns how many. \u0000 and lone surrogates
 * become U+FFFD; other control characters may come out.
 */
size_t log_json_unescape(struct slice string, char *out);

/* The member of that name on top of an object that was read to its end. False when there is none. */
bool log_json_find(struct slice text, struct slice name, struct log_json_value *out);

/* Bytes that log_json_quote() writes at most for `n`, with quotes. */
#define LOG_JSON_QUOTED_MAX(n) (6 * (n) + 2)

/* Writes clean text as a JSON string, returns the number of bytes. */
size_t log_json_quote(struct slice text, char *out);

#endif
