/*
 * health_state.h: what is known about targets, over a restart.
 *
 * Belongs here: the file, one line a target: its identity (a hash: no secrets), its last attempt, its breaker.
 */
#ifndef OBSERV_COLLECTOR_HEALTH_STATE_H
#define OBSERV_COLLECTOR_HEALTH_STATE_H

#include "collector/health_target.h"

/* Tells each target what the file says about it. A file that is missing or damaged says less, or nothing. */
void health_state_load(const char *path, struct health_target *targets, int count, int64_t now_ms);

/* Writes the file anew, beside the old one and then in its place. False, errno set, when that is not possible. */
bool health_state_save(const char *path, const struct health_target *targets, int count, int64_t now_ms);

#endif
