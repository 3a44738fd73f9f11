/*
 * agent.h: the loop of the running agent.
 *
 * Belongs here: ticks, signals, waiting. Does not belong here: how a sample comes about (sampler.h), the database (writer.h).
 */
#ifndef OBSERV_COLLECTOR_AGENT_H
#define OBSERV_COLLECTOR_AGENT_H

#include "collector/config.h"
#include "collector/options.h"

/* Holds back SIGTERM, SIGINT and SIGHUP until agent_run() takes them, so that none is lost (or deadly) while it starts. */
void agent_hold_signals(void);

/* Runs until a signal or a new configuration ends it. Takes over `config`. Returns the exit code. */
int agent_run(const struct options *options, struct config *config);

#endif
