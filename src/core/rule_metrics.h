/*
 * rule_metrics.h: what alert rules can be about: the names of metrics, their sources, operators and aggregates.
 *
 * Belongs here: the tables of names, looking them up, the name that somebody probably meant. Does not belong here: reading values.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_RULE_METRICS_H
#define OBSERV_CORE_RULE_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/alert_state.h"

enum rule_source {
	RULE_VPS_METRICS,
	RULE_HEALTH_CHECKS,
	RULE_LOG_ENTRIES,
	RULE_METRIC_SAMPLES,
	RULE_ABSENCE,
	RULE_QUERY,
	RULE_SOURCES
};
extern const char *const rule_source_names[RULE_SOURCES];

enum rule_operator { RULE_GT, RULE_GTE, RULE_LT, RULE_LTE, RULE_EQ, RULE_NE, RULE_OPERATORS };
extern const char *const rule_operator_names[RULE_OPERATORS];

enum rule_aggregate {
	RULE_LAST,
	RULE_AVG,
	RULE_MIN,
	RULE_MAX,
	RULE_SUM,
	RULE_COUNT,
	RULE_P50,
	RULE_P95,
	RULE_P99,
	RULE_RATE,
	RULE_INCREASE,
	RULE_DELTA,
	RULE_STDDEV,
	RULE_PREDICT,
	RULE_ANOMALY,
	RULE_AGGREGATES
};
extern const char *const rule_aggregate_names[RULE_AGGREGATES];

/* Which aggregates a metric can have. */
enum rule_metric_kind {
	RULE_GAUGE,    /* values that go up and down: all but rate and increase */
	RULE_EVENTS,   /* each sample counts what happened since the one before: its increase is the sum */
	RULE_WINDOWED, /* worked out over the window, which is needed; aggregate last only */
	RULE_STANDING, /* how things stand at the time of the evaluation; aggregate last only */
};

/*
 * A metric that observ knows. Of vps_metrics: a column, or the quotient of two ("load_avg_5m_per_core"), or 100 minus a column
 * ("memory_available_percent"). Of health_checks, log_entries and absence: what their source works out.
 */
struct rule_metric {
	const char *name;
	enum rule_source source;
	const char *column;  /* of the table; NULL: worked out from several, see the source */
	const char *divisor; /* another column; NULL: none */
	bool complement;     /* 100 - column */
	enum rule_metric_kind kind;
	const char *unit; /* %, s, ms, MB, … for people */
	const char *help;
};

/* All of them, by source; ends with name NULL. */
extern const struct rule_metric rule_metrics[];

/* Further names of some; ends with alias NULL. */
struct rule_metric_alias {
	const char *alias, *name;
};
extern const struct rule_metric_alias rule_metric_aliases[];

/* By name or alias (cpu_usage); NULL: none. */
const struct rule_metric *rule_metric_find(const char *name);

/* By name, in any case; RULE_SOURCES, RULE_OPERATORS: none. Operators also as signs: >, >=, <, <=, =, ==, !=, <>. */
enum rule_source rule_source_find(const char *name);
enum rule_operator rule_operator_find(const char *name);

/* The name closest to one that does not exist, by edit distance; NULL: none is close. `also`: further names, ended by NULL; may be NULL. */
const char *rule_metric_nearest(const char *name, const char *const *also);

/* What a value means for a rule. NaN is no value: not for this. has_clear: with hysteresis (alerting.md 2.1). */
enum alert_signal rule_signal(enum rule_operator op, double threshold, bool has_clear, double clear_threshold,
							  double value);

#endif
