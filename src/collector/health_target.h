/*
 * health_target.h: a health check and what is known about its target.
 *
 * Belongs here: the state of one target, its regular moments, what it keeps over a reload and a restart.
 * Does not belong here: attempts (health_probe.h), rows (health_rows.h), the order in which targets have their turn (health.c).
 */
#ifndef OBSERV_COLLECTOR_HEALTH_TARGET_H
#define OBSERV_COLLECTOR_HEALTH_TARGET_H

#include "collector/health_probe.h"
#include "core/breaker.h"

enum round_part { ROUND_NONE, ROUND_ANSWERED, ROUND_LOST };

struct health_target {
	const struct health_check *check;
	uint64_t identity; /* kind, url, name */
	uint64_t settings; /* everything else of the check */
	struct breaker breaker;
	struct breaker_rules rules;
	int64_t slot_ms;      /* the next regular moment, monotonic */
	int64_t try_ms;       /* the next attempt; NEVER: with the next slot */
	int64_t last_wall_ms; /* when the last attempt began, ms since 1970; INT64_MIN: never */
	struct probe *probe;  /* under way; NULL: none */
	bool retried;
	int64_t begun_us; /* the row's time */

	enum round_part part; /* in the round that goes on */
	bool held;            /* `result` waits for the round's verdict */
	bool doubted;         /* the last attempt was inconclusive */
	struct health_result result;

	bool tried, good;              /* of the last attempt */
	char saved[BREAKER_TEXT_SIZE]; /* what the state file says */
};

/* Whether its failures may be the fault of this machine's network. */
bool target_is_remote(const struct health_target *t);

/* Prepares a target for the check, without any past. */
void target_init(struct health_target *t, const struct health_check *check);

/* Takes over what is known about the same target. */
void target_inherit(struct health_target *t, const struct health_target *old);

/* Sets the next regular moment: the same in the wall clock for all checks of an interval on this VPS, so that a round is a round. */
void target_plan(struct health_target *t, const char *vps_name, int64_t now_ms);

/* The first moment after a start: the next regular one if an attempt was made recently, else soon; spread by `random`. */
void target_plan_first(struct health_target *t, const char *vps_name, int64_t now_ms, uint32_t random);

/* When to try again, by the breaker's state. */
void target_plan_retry(struct health_target *t, int64_t now_ms);

#endif
