/*
 * upkeep.h: what the agent does about itself, from time to time.
 *
 * Belongs here: when the state file, systemd and the metrics of the agent are due; what a start finds out about the last run.
 * Does not belong here: their contents (status.h, notify.h, self_metrics.h).
 */
#ifndef OBSERV_COLLECTOR_UPKEEP_H
#define OBSERV_COLLECTOR_UPKEEP_H

#include "collector/agent_view.h"
#include "collector/self_metrics.h"

struct upkeep {
	struct agent_view view;
	struct self_metrics self;
	int64_t status_ms, metrics_ms, watchdog_ms;
	int64_t watchdog_period_ms; /* 0: none */
};

/*
 * The agent is ready: says so to systemd, and records an event when the machine was rebooted since the last run. The view's
 * pointers must live as long as the agent.
 */
void upkeep_start(struct upkeep *u, const struct agent_view *view, int64_t now_ms);

void upkeep_run(struct upkeep *u, int64_t now_ms);
int64_t upkeep_wake_ms(const struct upkeep *u);

/* For the state file and systemd: a configuration is read, the agent ends. */
void upkeep_reloading(int64_t now_ms);
void upkeep_reloaded(struct upkeep *u, int64_t now_ms);
void upkeep_stopping(void);
/* The last word in the state file, for who asks later and for the downtime of a reboot. */
void upkeep_end(struct upkeep *u, int64_t now_ms);

#endif
