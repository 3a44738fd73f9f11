/*
 * log_entry.h: one record, text or a JSON object, made into what goes into a row.
 *
 * Belongs here: message, context with its notes, logger, time, level of an entry. Does not belong here: which lines are a record
 * (log_lines.h), which key is what (log_map.h).
 * NEUTRAL, pure: memory comes from the caller's function.
 */
#ifndef OBSERV_CORE_LOG_ENTRY_H
#define OBSERV_CORE_LOG_ENTRY_H

#include "core/log_clean.h"
#include "core/log_map.h"

#define LOG_LOGGER_MAX 256

/* What is worth knowing about an entry. All but NO_TIME are told in its context, too, under the key "observ". */
enum log_entry_flag {
	LOG_ENTRY_TRUNCATED = 1,    /* {"truncated": true, "bytes": in the file} */
	LOG_ENTRY_UNTERMINATED = 2, /* {"unterminated": true} */
	LOG_ENTRY_BAD_BYTES = 4,    /* {"bad_bytes": how many were replaced by U+FFFD, "bytes": in the file} */
	LOG_ENTRY_PARSE_ERROR = 8,  /* {"parse_error": "why"}: looked like JSON, kept as text */
	LOG_ENTRY_REPAIRED = 16,    /* {"repaired": true}: JSON that PostgreSQL refuses was mended */
	LOG_ENTRY_BAD_TIME = 32, /* {"time": "as written"}: implausible or no time; timestamp is the read time */
	LOG_ENTRY_ZONE_ASSUMED =
		64,                 /* {"zone": "assumed"}: time without zone, and the caller did not vouch for his */
	LOG_ENTRY_NO_TIME = 128 /* the line has none; timestamp is the read time */
};

/* What goes into a row: valid UTF-8 without control characters but tab and newline. Good during the call only. */
struct log_entry {
	struct slice
		level; /* never empty: trace debug info notice warning error critical fatal alert emergency, or as written, lower case */
	struct slice message; /* may be empty */
	struct slice context; /* text of a JSON object that jsonb accepts; p NULL: none */
	struct slice logger;  /* p NULL: none */
	int64_t timestamp_us;
	unsigned flags;
};

typedef void (*log_emit)(void *into, const struct log_entry *entry);

/* Working memory for all files of a process. */
struct log_workspace {
	struct log_memory memory;
	struct log_buffer clean, mended, inner, unescaped, part, context;
};

/* What was seen of a record before it is an entry. */
struct log_notes {
	unsigned flags;          /* enum log_entry_flag: what is known already */
	int64_t bytes;           /* in the file */
	int64_t bad_bytes;       /* replaced */
	const char *parse_error; /* of a line that looked like JSON */
	uint32_t parse_at;       /* the byte of the line that did not fit */
	bool from_stderr;        /* Docker's other stream */
};

/* What an entry takes from its file. */
struct log_settings {
	struct log_defaults defaults;
	bool zone_given;
	int64_t outer_us; /* the time of the envelope (Docker); INT64_MIN: none */
};

/*
 * Plain text, clean. `mapped` (or NULL): what could be read of a JSON object that is broken or cut off: its time and level are better
 * than a guess. Without memory it has no context.
 */
void log_entry_of_text(struct log_workspace *w, struct slice text, const struct log_mapped *mapped,
					   const struct log_settings *settings, const struct log_notes *notes,
					   struct log_entry *out);

/* An object that was read to its end, and jsonb takes. False: no memory. */
struct log_object {
	struct slice text;
	const struct log_json *json;
	const struct log_json_values *values;
	const struct log_mapped *mapped;
};
bool log_entry_of_object(struct log_workspace *w, const struct log_object *object,
						 const struct log_settings *settings, const struct log_notes *notes,
						 struct log_entry *out);

/* The text of a value, without escapes, clean: in `into`, or where it is. False: no memory. */
bool log_entry_value(const struct log_workspace *w, struct slice text, const struct log_json_value *value,
					 struct log_buffer *into, struct slice *out);

#endif
