/*
 * log_lines.h: from lines of a log file to entries: joining, splitting, flushing.
 *
 * Belongs here: which lines are one record, what is held back and for how long. Does not belong here: JSON (log_json.h), which key
 * means what (log_map.h), times (log_time.h), clean text (log_clean.h), files (collector/tail.h).
 * NEUTRAL, pure: memory comes from the caller's function; a file at rest holds none but its struct.
 *
 * A line gives no entry (blank), one, or several (JSON array, several objects). Lines of one record give one entry: pretty-printed
 * JSON, chunks of Docker's json-file, stack traces and whatever is indented below a line of text. What is not finished is held
 * back: always the last lines that were fed, never some in between, so a position before them is a safe one.
 */
#ifndef OBSERV_CORE_LOG_LINES_H
#define OBSERV_CORE_LOG_LINES_H

#include "core/log_entry.h"
#include "core/log_text.h"

/* What is joined at most, and how long the end of a record is waited for. */
#define LOG_JOIN_MAX_BYTES (1 << 20)
#define LOG_IDLE_US        INT64_C(1000000)
#define LOG_JOIN_MAX_US    INT64_C(5000000)

/* How a line came. */
enum log_line_flag {
	LOG_LINE_TRUNCATED = 1,   /* its end was cut off */
	LOG_LINE_UNTERMINATED = 2 /* the file ended without a newline */
};

struct log_line {
	struct slice text; /* without its newline; any bytes */
	unsigned flags;
	int64_t bytes; /* in the file, with what was cut off, without the newline */
};

/* One file. The first members are the caller's to change at any time. */
struct log_lines {
	const char *level; /* of lines that have none; "info" */
	int32_t zone_s;    /* seconds east of UTC, for times without zone */
	bool zone_given;   /* by configuration: nothing to flag */

	/* private */
	struct log_workspace *space;
	struct log_buffer held; /* clean text of the lines held back, with a newline between two */
	struct log_notes notes; /* of them */
	int64_t outer_us;       /* time that Docker gave them; INT64_MIN: none */
	int64_t first_us, last_us;
	struct log_json json; /* how far the object in them has been read */
	uint32_t held_lines;
	uint8_t holding;   /* enum holding */
	uint8_t trace;     /* enum log_trace */
	bool held_wrapped; /* they came in Docker's envelope */
	bool after_json;   /* the last record was JSON */
	struct log_choice choice, inner_choice;
};

void log_workspace_init(struct log_workspace *w, struct log_memory memory);
void log_workspace_free(struct log_workspace *w);

/* A file from its beginning, or from a position between records. */
void log_lines_init(struct log_lines *l, struct log_workspace *w);
/* Frees; what is held back is forgotten. */
void log_lines_free(struct log_lines *l);

/* The next line. `read_us` is the wall clock, microseconds since 1970. */
void log_lines_feed(struct log_lines *l, const struct log_line *line, int64_t read_us, log_emit emit,
					void *into);

/* Emits what is held back and has been waited for long enough. INT64_MAX: everything (the file is gone for good, the agent ends). */
void log_lines_flush(struct log_lines *l, int64_t now_us, log_emit emit, void *into);

/* When log_lines_flush() wants to be called; INT64_MAX: nothing is held back. */
int64_t log_lines_due_us(const struct log_lines *l);

/*
 * How many of the lines fed last are held back, and the bytes of memory that they take. After each feed it is 0, 1 (that line
 * alone) or one more than before.
 */
uint32_t log_lines_pending(const struct log_lines *l);
size_t log_lines_pending_bytes(const struct log_lines *l);

/* What the file is taken for: "logcore", "pino", … "json", "text"; for people. */
const char *log_lines_format(const struct log_lines *l);

#endif
