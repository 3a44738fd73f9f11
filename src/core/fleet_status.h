/* Status of one VPS and application in the fleet summary. Pure. */
#ifndef OBSERV_CORE_FLEET_STATUS_H
#define OBSERV_CORE_FLEET_STATUS_H

#include <stdint.h>

enum fleet_status { FLEET_UP, FLEET_DEGRADED, FLEET_STALE, FLEET_DOWN };

#define FLEET_DEFAULT_INTERVAL_US INT64_C(60000000)

/*
 * age_us: now minus the newest sign of life. expected_us: how often rows should come, 0 or less: unknown (60 s).
 * checks_ok of checks_total: health checks whose latest conclusive result is a success.
 */
extern enum fleet_status fleet_status_decide(int64_t age_us, int64_t expected_us, int checks_ok,
											 int checks_total);

/* The name users see: up, degraded, stale, down. */
extern const char *fleet_status_name(enum fleet_status status);

#endif
