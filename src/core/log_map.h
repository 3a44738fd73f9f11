/*
 * log_map.h: which value of a JSON line is its time, its level, its message, its logger.
 *
 * Belongs here: loggers, how they are told apart, what is particular to each. Does not belong here: text of an entry (log_entry.h).
 * NEUTRAL, pure. docs/log-formats.md has the same table for people.
 */
#ifndef OBSERV_CORE_LOG_MAP_H
#define OBSERV_CORE_LOG_MAP_H

#include "core/log_json.h"
#include "core/log_severity.h"

/* After this many lines of another logger a file is taken for one of that logger. */
#define LOG_FORMAT_MISSES 20

/* The longest level that is kept as written, and what is told of a time that is none. */
#define LOG_LEVEL_MAX     32
#define LOG_TIME_TEXT_MAX 64

/* Whose lines they are. */
struct log_format {
	const char *name;
	uint8_t needs[4]; /* keys that have to be there, up to KEY_NONE */
	uint8_t number;   /* this one has to be a number; KEY_NONE: none */
	uint8_t string;   /* this one has to be a string */
	uint8_t logger;   /* the logger's name, beside the usual keys */
	enum log_scale scale;
	const char *level; /* of lines without one; NULL: the file's */
	bool weak;         /* says little: each line is looked at anew */
	bool own_context;  /* `context` is the context, not the whole object */
	bool wraps;        /* its message is a line of another logger */
};

/* What a file's lines were so far. Zeroed: nothing is known. */
struct log_choice {
	uint8_t format; /* its number + 1 */
	uint8_t misses;
};

struct log_defaults {
	const char *level;
	int32_t zone_s;
	int64_t read_us;
};

enum log_mapped_time { LOG_MAPPED_NO_TIME, LOG_MAPPED_TIME, LOG_MAPPED_TIME_NO_ZONE, LOG_MAPPED_BAD_TIME };

struct log_mapped {
	const struct log_format *format;
	enum log_key message, logger;       /* KEY_NONE: there is none */
	const char *level;                  /* NULL: level_text */
	char level_text[LOG_LEVEL_MAX + 1]; /* as written, in lower case */
	struct slice level_as_written;      /* p NULL: there is none, or it differs in case only */
	enum log_mapped_time time;
	struct slice time_as_written; /* of a bad one */
	int64_t timestamp_us;         /* the read time unless there is a good one */
};

/* `text` is an object that was read to its end, with these values. */
void log_map(struct slice text, const struct log_json_values *v, const struct log_defaults *defaults,
			 struct log_choice *choice, struct log_mapped *out);

/* The name of what a file's lines are; "json" while nothing particular is known. */
const char *log_choice_name(const struct log_choice *choice);

#endif
