/*
 * self_metrics.h: what the agent costs and how it is doing, as labelled metrics observ_agent_*: docs/obs-agent.md lists them.
 *
 * Belongs here: the figures of the process, the spool, the writer. Does not belong here: figures of one source (its measure()).
 */
#ifndef OBSERV_COLLECTOR_SELF_METRICS_H
#define OBSERV_COLLECTOR_SELF_METRICS_H

#include "collector/agent_view.h"

#define SELF_METRICS_MAX 24

struct self_metrics {
	double said[SELF_METRICS_MAX];
	int64_t everything_ms; /* when all of them are said again, changed or not */
};

/* Puts samples into the spool: those that have changed since the last call, and each ten minutes all. */
void self_metrics_put(struct self_metrics *self, const struct agent_view *a, const struct spool_state *spool,
					  int64_t now_ms);

#endif
