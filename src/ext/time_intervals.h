/* Named times and times of maintenance: jsonb and time zones around core/time_interval.h. What does not belong here: who uses them for what. */
#ifndef OBSERV_EXT_TIME_INTERVALS_H
#define OBSERV_EXT_TIME_INTERVALS_H

#include "core/time_interval.h"
#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/jsonb.h"

typedef struct ObservTimes {
	int n;
	struct time_interval *interval;
	pg_tz *zone;
} ObservTimes;

/* Reads an array of intervals; NULL, palloc'd text in *problem, when it is none. Raises nothing. */
extern ObservTimes *observ_read_times(Jsonb *times, const char *zone, const char **problem);

/* The same for what a person has just written: raises 22023, which zone must be one of IANA's. what: whose times they are: "a time interval". */
extern ObservTimes *observ_check_times(Jsonb *times, const char *zone, const char *what);

extern bool observ_times_show(const ObservTimes *times, TimestampTz at);

/* When that changes after `at`; limit when it does not before. */
extern TimestampTz observ_times_change(const ObservTimes *times, TimestampTz at, TimestampTz limit);

#endif
