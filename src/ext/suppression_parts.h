/* The parts that suppression.c puts together. What does not belong here: what others may ask (suppression.h). */
#ifndef OBSERV_EXT_SUPPRESSION_PARTS_H
#define OBSERV_EXT_SUPPRESSION_PARTS_H

#include "ext/matcher_sets.h"
#include "ext/suppression.h"

/* Values of the labels in `names` that an alert has, palloc'd. */
extern struct slice *observ_alert_values(const ObservLabelNames *names, const ObservAlert *alert);

/* Rules of inhibition and their sources at that time; NULL when there are none. Adds the labels that they ask for to `names`. */
typedef struct ObservInhibitions ObservInhibitions;
extern ObservInhibitions *observ_load_inhibitions(TimestampTz at, ObservLabelNames *names);

/* What they do to an alert with those values; by is SUPPRESSED_NOT when nothing. */
extern ObservSuppression observ_inhibition_of(const ObservInhibitions *all, const ObservAlert *alert,
											  const struct slice *values);

/* Windows of maintenance that are open at that time; NULL when there are none. */
typedef struct ObservMaintenances ObservMaintenances;
extern ObservMaintenances *observ_load_maintenance(TimestampTz at);
extern ObservSuppression observ_maintenance_of(const ObservMaintenances *all, const ObservAlert *alert);

#endif
