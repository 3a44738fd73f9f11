/*
 * Whether a VPS is up, degraded, stale or down, from the age of its newest sign of life and its health checks.
 * What does not belong here: the clock and the tables; both come in as numbers.
 *
 * Silence goes by the expected interval: one late row is no news (jitter, a retry), more than two intervals are stale, more than three
 * are down, the gap threshold that the rest of observ uses (collector-hub.md 2.12). A silent VPS can't be judged by its last checks, so
 * silence is looked at first.
 */
#include "core/fleet_status.h"

#define STALE_INTERVALS 2
#define DOWN_INTERVALS  3

enum fleet_status
fleet_status_decide(int64_t age_us, int64_t expected_us, int checks_ok, int checks_total)
{
	if (expected_us <= 0)
		expected_us = FLEET_DEFAULT_INTERVAL_US;
	/* age / n > expected rather than age > n * expected: no overflow, whatever interval a user wrote. */
	if (age_us / DOWN_INTERVALS > expected_us ||
		(age_us / DOWN_INTERVALS == expected_us && age_us % DOWN_INTERVALS > 0))
		return FLEET_DOWN;
	if (age_us / STALE_INTERVALS > expected_us ||
		(age_us / STALE_INTERVALS == expected_us && age_us % STALE_INTERVALS > 0))
		return FLEET_STALE;
	if (checks_total > 0 && checks_ok <= 0)
		return FLEET_DOWN;
	if (checks_ok < checks_total)
		return FLEET_DEGRADED;
	return FLEET_UP;
}

const char *
fleet_status_name(enum fleet_status status)
{
	static const char *const names[] = {
		[FLEET_UP] = "up", [FLEET_DEGRADED] = "degraded", [FLEET_STALE] = "stale", [FLEET_DOWN] = "down"};

	return names[status];
}
