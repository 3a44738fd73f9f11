/* Service levels: uptime and error budget from counts of checks. Pure. */
#ifndef OBSERV_CORE_SLA_H
#define OBSERV_CORE_SLA_H

#include <stdbool.h>
#include <stdint.h>

/* What happened in a period. */
struct sla_counts {
	int64_t checks;      /* conclusive checks that count */
	int64_t failures;    /* of these, how many failed */
	int64_t observed_us; /* time that the checks stand for */
};

struct sla_level {
	double uptime_percent;      /* good checks of all; NAN without a check */
	int64_t budget_us;          /* downtime that the objective allows in the time observed */
	double budget_used_percent; /* above 100: the objective is missed; NAN without a check */
	int64_t budget_left_us;     /* below 0: overspent */
};

/* Whether an objective leaves an error budget at all: between 0 and 100 percent, both excluded; false for NAN. */
extern bool sla_objective_usable(double objective_percent);

/*
 * Beyer et al. 2016, "Site Reliability Engineering", chapter 4 (an indicator is good events / valid events) and chapter 3 (the error budget
 * is 1 - objective). The objective must be usable. budget_used_percent, rounded
 * to 6 decimals, is above 100 when uptime_percent is below the objective, and not otherwise.
 */
extern struct sla_level sla_level_of(struct sla_counts counts, double objective_percent);

#endif
