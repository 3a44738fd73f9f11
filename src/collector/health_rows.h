/*
 * health_rows.h: what health checks say to the database.
 *
 * Belongs here: rows of observ.health_checks, events about the agent's own doubt, the words in them.
 * Does not belong here: when there is something to say (health.c).
 */
#ifndef OBSERV_COLLECTOR_HEALTH_ROWS_H
#define OBSERV_COLLECTOR_HEALTH_ROWS_H

#include "collector/health_target.h"
#include "collector/spool.h"

/* "connect: Connection refused"; empty when all is well. */
void health_error_text(const struct health_result *r, struct strbuf *out);

/* A row about an attempt, and one about a slot that the breaker kept from being one. The breaker is shown as it is now. */
void health_row(struct spool *spool, const struct health_target *t, const struct health_result *r,
				int64_t timestamp_us, bool inconclusive);
void health_row_skipped(struct spool *spool, const struct health_target *t, int64_t timestamp_us,
						int64_t now_ms);

/* agent_connectivity: doubt begins (`since_us` 0), or is over. */
void health_event(struct spool *spool, int lost, int checks, int64_t timestamp_us, int64_t since_us);

#endif
