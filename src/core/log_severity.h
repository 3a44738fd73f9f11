/*
 * log_severity.h: levels of all loggers, by one set of names.
 *
 * Belongs here: names and numbers of levels. Does not belong here: their order (log_level.h), which key holds them (log_map.h).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_LOG_SEVERITY_H
#define OBSERV_CORE_LOG_SEVERITY_H

#include "core/slice.h"

/* What a number means. */
enum log_scale {
	LOG_SCALE_ANY,    /* by its size: syslog 0 to 7, pino 10 to 60, Monolog from 100 on */
	LOG_SCALE_PINO,   /* 10 trace to 60 fatal; also bunyan */
	LOG_SCALE_PYTHON, /* 10 debug to 50 critical */
	LOG_SCALE_SYSLOG, /* RFC 5424: 0 emergency to 7 debug */
	LOG_SCALE_MONOLOG,
	LOG_SCALE_LOG4J,    /* inverted: 100 fatal to 600 trace */
	LOG_SCALE_LOGSTASH, /* 5000 trace to 40000 error */
	LOG_SCALES
};

/* The common name of a number, NULL when it is no level. */
const char *log_severity_of_number(enum log_scale scale, int64_t number);

/*
 * The common name of a name in any case: trace debug info notice warning error critical fatal alert emergency. Letters of MongoDB
 * ("E", "D3"), slog's "INFO+2". NULL: not known.
 */
const char *log_severity_of_name(struct slice name);

#endif
