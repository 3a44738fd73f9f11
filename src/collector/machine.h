/*
 * machine.h: the source `machine`: rows of observ.vps_metrics.
 *
 * Belongs here: when a sample is due, rows as records. Does not belong here: how a sample comes about (sampler.h).
 */
#ifndef OBSERV_COLLECTOR_MACHINE_H
#define OBSERV_COLLECTOR_MACHINE_H

#include "collector/source.h"

extern const struct source_ops machine_source;

#endif
