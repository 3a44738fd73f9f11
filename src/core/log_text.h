/*
 * log_text.h: what can be said about lines of plain text: time, level, whether a line goes on with the record before it.
 *
 * Belongs here: stack traces of Java, Python, PHP, Go, Rust, JavaScript, .NET, Ruby; indentation. Does not belong here: JSON.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_LOG_TEXT_H
#define OBSERV_CORE_LOG_TEXT_H

#include "core/slice.h"

/* What was read last of a record of several lines. */
enum log_trace {
	LOG_TRACE_NEW, /* no record, or the line begins another one */
	LOG_TRACE_TEXT,
	LOG_TRACE_PYTHON,     /* inside of a Traceback */
	LOG_TRACE_PYTHON_END, /* behind its exception */
	LOG_TRACE_GO,
	LOG_TRACE_RUST /* behind "panicked at", before the message */
};

/* What a record that begins with that line is. Never LOG_TRACE_NEW. */
enum log_trace log_trace_begin(struct slice line);

/*
 * Whether the line goes on with the record `record` (its lines so far): what the record is then, else LOG_TRACE_NEW. A trace that follows a
 * record below warning is a record of its own: it would hide there.
 */
enum log_trace log_trace_next(enum log_trace trace, struct slice record, struct slice line);

/*
 * The level that is written in the first words of a line, by its common name: ERROR, [error], <warn>, error:, level=error. "error" for
 * stack traces that have none, "fatal" for a panic of Go. NULL: none.
 */
const char *log_text_level(struct slice text);

/* Where a time may begin: at the beginning, or in brackets there, or behind an address in an access log. `p` NULL: nowhere. */
struct slice log_text_time(struct slice text);

#endif
