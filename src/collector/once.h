/*
 * once.h: --once: one sample, for people or for programs.
 */
#ifndef OBSERV_COLLECTOR_ONCE_H
#define OBSERV_COLLECTOR_ONCE_H

#include "collector/options.h"

/* Prints one sample of one second and the filesystems. Returns the exit code. */
int once_run(const struct options *options);

#endif
