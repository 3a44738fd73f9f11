/*
 * breaker.h: a circuit breaker: what keeps failing is left alone for a while, and tried again within a minute.
 *
 * Belongs here: states, the pauses between probes, the text that survives a restart.
 * Does not belong here: what a failure is, clocks, files. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_BREAKER_H
#define OBSERV_CORE_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

#define BREAKER_MAX_PAUSE_MS 60000
#define BREAKER_TEXT_SIZE    64

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker_rules {
	int failures;     /* consecutive ones that open it; at least 1 */
	int successes;    /* consecutive ones that close it again; at least 1 */
	int64_t pause_ms; /* before the first probe; then twice, then four times that, never more than a minute */
};

/* All zero: closed, nothing known. */
struct breaker {
	enum breaker_state state;
	int failures;     /* in a row */
	int successes;    /* in a row, while half-open */
	int openings;     /* in a row, without having been closed between */
	int64_t probe_ms; /* open: when to try again, by the caller's clock */
};

/* Whether the target may be tried at `now_ms`. An open breaker whose pause is over becomes half-open by that. */
bool breaker_allows(struct breaker *b, int64_t now_ms);

/* What the try gave. `random` shortens a pause by up to a tenth, so that targets that failed together are not tried together. */
void breaker_succeeded(struct breaker *b, const struct breaker_rules *rules);
void breaker_failed(struct breaker *b, const struct breaker_rules *rules, int64_t now_ms, uint32_t random);

/* "closed", "open", "half-open": as observ.health_checks has it. */
const char *breaker_state_name(enum breaker_state state);

/* A line of words for a file, with the rest of the pause. */
void breaker_write(const struct breaker *b, int64_t now_ms, char out[BREAKER_TEXT_SIZE]);

/* Reads it back, as of `now_ms`. False, closed, for anything else. */
bool breaker_read(struct slice text, int64_t now_ms, struct breaker *out);

#endif
