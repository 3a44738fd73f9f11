/*
 * explain.h: `obs-agent explain disk|net|logs`: what is measured on this machine, what is left out, and why.
 *
 * Belongs here: words. Does not belong here: the rules themselves (core/mounts.h, core/topology.h, the source tail).
 */
#ifndef OBSERV_COLLECTOR_EXPLAIN_H
#define OBSERV_COLLECTOR_EXPLAIN_H

#include "collector/config.h"
#include "collector/options.h"

/* Prints what o->command asks for. `config` is looked at for logs only. Returns the exit code. */
int explain_run(const struct options *o, const struct config *config);

#endif
