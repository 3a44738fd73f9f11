/* log.c: Lines on standard error. See log.h for what belongs here. */
#include "collector/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "core/hash.h"
#include "core/slice.h"

#define LINE_MAX_BYTES 2000

static struct {
	char text[300];
	int64_t at_us;
} last_problem;

static void write_line(enum log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void
write_line(enum log_level level, const char *format, va_list args)
{
	static const struct {
		const char *journal;
		const char *terminal;
	} prefix[] = {
		[LOG_LEVEL_ERROR] = {"<3>", "obs-agent: error: "},
		[LOG_LEVEL_WARNING] = {"<4>", "obs-agent: warning: "},
		[LOG_LEVEL_INFO] = {"<6>", "obs-agent: "},
	};
	char raw[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 32];
	int used;

	vsnprintf(raw, sizeof raw, format, args);
	used =
		snprintf(line, 32, "%s", getenv("JOURNAL_STREAM") ? prefix[level].journal : prefix[level].terminal);
	slice_printable(slice_of(raw), line + used, LINE_MAX_BYTES);
	if (level != LOG_LEVEL_INFO) {
		slice_printable(slice_of(raw), last_problem.text, sizeof last_problem.text);
		last_problem.at_us = clock_us(CLOCK_REALTIME);
	}
	size_t len = strlen(line);
	line[len++] = '\n';
	/* A log that nobody reads any more must not stop the agent. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void
log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

const char *
log_last_problem(int64_t *at_us)
{
	*at_us = last_problem.at_us;
	return last_problem.text;
}

void
log_lines(enum log_level level, const char *text)
{
	struct slice rest = slice_of(text), line;

	while (slice_line(&rest, &line))
		log_line(level, "%.*s", (int) (line.end - line.p), line.p);
}

void
problem_occurred(struct problem *p, enum log_level level, int64_t now_ms, const char *what,
				 const char *format, ...)
{
	uint64_t face = hash_string(HASH_SEED, what);
	va_list args;

	if (!problem_active(p)) {
		p->since_ms = now_ms;
		p->count = 0;
	}
	p->count++;
	for (int i = 0; i < p->faces; i++)
		if (p->face[i] == face)
			return;
	if (p->faces == PROBLEM_FACES)
		return;
	p->face[p->faces++] = face;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

void
problem_over(struct problem *p, int64_t now_ms, const char *good_news)
{
	if (!problem_active(p))
		return;
	log_line(LOG_LEVEL_INFO, "%s, after %lld s and %lld failures", good_news,
			 (long long) ((now_ms - p->since_ms + 500) / 1000), (long long) p->count);
	p->faces = 0;
}
