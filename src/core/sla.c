/*
 * Uptime and error budget. What does not belong here: which checks count (ext/sla.c reads and leaves out).
 */
#include "core/sla.h"

#include <math.h>

bool
sla_objective_usable(double objective_percent)
{
	return objective_percent > 0 && objective_percent < 100;
}

struct sla_level
sla_level_of(struct sla_counts counts, double objective_percent)
{
	double allowed = (100 - objective_percent) / 100; /* share of the checks that may fail */
	double failed, budget_us = allowed * (double) counts.observed_us;
	struct sla_level level = {.uptime_percent = NAN,
							  .budget_us = llround(budget_us),
							  .budget_used_percent = NAN,
							  .budget_left_us = llround(budget_us)};

	if (counts.checks <= 0)
		return level;
	failed = (double) counts.failures / (double) counts.checks;
	/* From the counts, not from 1 - failed: 999 of 1,000 are 99.9 and not 99.90000000000001. */
	level.uptime_percent = 100 * (double) (counts.checks - counts.failures) / (double) counts.checks;
	/* 99.9 is not a binary number: without rounding, 1 failure of 1,000 would be more than its budget. */
	level.budget_used_percent = round(100e6 * failed / allowed) / 1e6;
	level.budget_left_us = llround(budget_us - failed * (double) counts.observed_us);
	return level;
}
