/*
 * status.h: how the agent is doing, for `obs-agent status`: a state file that it writes and somebody else reads.
 *
 * Belongs here: what is in the file, and how it is shown. Does not belong here: metrics of the agent (self_metrics.h), when to write.
 * The file is lines of "NAME: VALUE", in this order; of a source "SOURCE.NAME: VALUE". It is replaced as a whole.
 */
#ifndef OBSERV_COLLECTOR_STATUS_H
#define OBSERV_COLLECTOR_STATUS_H

#include "collector/agent_view.h"

/* Writes STATE_DIR/status-VPS; where that fails there is no status. Also tells systemd in one line. */
void status_write(const struct agent_view *a, const struct spool_state *spool, int64_t now_ms);

/* Prints what the file of another agent says. Returns the exit code: 0 only for an agent that runs. */
int status_run(const struct options *o);

/* The value of a name in the state file that an agent before this one left; false when there is none. */
bool status_previous(const struct options *o, const char *name, char *value, size_t size);

#endif
