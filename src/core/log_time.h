/*
 * log_time.h: times as loggers write them.
 *
 * Belongs here: reading text and numbers, what is plausible. Does not belong here: where a time stands in a line.
 * NEUTRAL, pure: the caller knows the clock and the zone.
 *
 * Read are RFC 3339 and its relatives (blank or _ for T, comma for the point, 0 to 9 or more digits of a fraction, +02, +0200, +02:00,
 * Z, UTC, GMT, slashes in the date), the times of web servers (02/Jan/2026:03:04:05 +0000) and syslog (Jan  2 03:04:05, the year is that of
 * the read time or the one before), and seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
 */
#ifndef OBSERV_CORE_LOG_TIME_H
#define OBSERV_CORE_LOG_TIME_H

#include "core/slice.h"

enum log_time_result {
	LOG_TIME_NONE, /* not a time */
	LOG_TIME_OK,
	LOG_TIME_NO_ZONE /* a time; `zone_s` was applied */
};

/* Reads a time at the beginning of `s` in words of the calendar; `*end` is behind it. */
enum log_time_result log_time_prefix(struct slice s, int32_t zone_s, int64_t read_us, int64_t *out_us,
									 const char **end);

/* Reads all of `s`, also numbers. */
enum log_time_result log_time_parse(struct slice s, int32_t zone_s, int64_t read_us, int64_t *out_us);

/* From the year 2000 to a day after the read time. */
bool log_time_plausible(int64_t us, int64_t read_us);

#endif
