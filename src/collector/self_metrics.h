/*
 * self_metrics.h: what the agent costs and how it is doing, as labelled metrics observ_agent_*: docs/obs-agent.md lists them.
 *
 * Belongs here: the figures of the process, the spool, the writer. Does not belong here: figures of one source (its measure()).
 */
#ifndef OBSERV_COLLECTOR_SELF_METRICS_H
#define OBSERV_COLLECTOR_SELF_METRICS_H

#include "collector/agent_view.h"

/* Puts one set of samples into the spool. */
void self_metrics_put(const struct agent_view *a, const struct spool_state *spool, int64_t now_ms);

#endif
