/*
 * log.h: what the agent has to say, one line each on standard error.
 *
 * Belongs here: the form of a line, and saying a lasting problem only when it begins and when it ends.
 * Does not belong here: what --once and --check-config print for people.
 */
#ifndef OBSERV_COLLECTOR_LOG_H
#define OBSERV_COLLECTOR_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };

/* Uses sd-daemon(3) priorities where systemd's journal listens. Control characters in the text become '?'. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each line of the text as a line of its own. */
void log_lines(enum log_level level, const char *text);

/* The last warning or error that was said, "" while there is none, and when (microseconds since 1970). */
const char *log_last_problem(int64_t *at_us);

/* A trouble that lasts: each of its faces is said once, counted until all is well, and then the end is said. */
#define PROBLEM_FACES 8
struct problem {
	int faces;
	uint64_t face[PROBLEM_FACES]; /* hashes of what has been said */
	int64_t since_ms;
	int64_t count;
};

/* It has been met at `now_ms`, as `what` (a name for this face of it); logs the text if that is news. */
void problem_occurred(struct problem *p, enum log_level level, int64_t now_ms, const char *what,
					  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* There is no problem (any more); says `good_news`, with how long it took, if there was one. */
void problem_over(struct problem *p, int64_t now_ms, const char *good_news);

static inline bool
problem_active(const struct problem *p)
{
	return p->faces > 0;
}

#endif
