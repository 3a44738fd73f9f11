/* Counts of health checks by URL, application, VPS and period: what observ.sla() is computed from. */
#ifndef OBSERV_EXT_SLA_QUERY_H
#define OBSERV_EXT_SLA_QUERY_H

#include "datatype/timestamp.h"

#define SLA_PERIODS 4
#define SLA_FILTERS 3

/* What is asked about; start[0] is the oldest. */
typedef struct SlaTimeLine {
	TimestampTz start[SLA_PERIODS]; /* all but the last one are full hours */
	TimestampTz
		hours_end; /* full hours before this are read from observ.health_1h, what follows from the raw rows */
	TimestampTz cut_hour;  /* before hours_end, yet to be read from the raw rows; -infinity: none */
	TimestampTz raw_from;  /* there are raw rows from here on */
	TimestampTz at;        /* the last moment that counts */
	TimestampTz away_from; /* maintenance windows lie between this … */
	TimestampTz away_to;   /* … and this; empty when there are none */
} SlaTimeLine;

/* vps_name, app_name, url; NULL: all. */
typedef struct SlaFilter {
	Datum value[SLA_FILTERS];
	bool isnull[SLA_FILTERS];
} SlaFilter;

/* Columns of the result, from 0. */
enum SlaResult {
	SLA_SCOPE,
	SLA_VPS_NAME,
	SLA_APP_NAME, /* NULL in rows of a VPS */
	SLA_URL,      /* NULL in rows of a VPS and of an application */
	SLA_PERIOD,   /* index of SlaTimeLine.start */
	SLA_CHECKS,
	SLA_FAILURES,
	SLA_INCONCLUSIVE,
	SLA_EXCLUDED,
	SLA_OBSERVED,  /* hours with a check, those wholly in maintenance left out; mean of the URLs */
	SLA_COUNTABLE, /* hours of the period, those wholly in maintenance left out; mean of the URLs */
	SLA_FIRST,     /* first check, or the beginning of its hour; NULL: none in the period */
	SLA_RESULTS
};

/* Leaves the rows in SPI_tuptable, in the order in which people are to see them; returns how many. Needs SPI_connect(). */
extern uint64 observ_sla_counts(const SlaTimeLine *line, const SlaFilter *filter);

#endif
