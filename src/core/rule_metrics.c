/* rule_metrics.c: The names, and what a threshold makes of a value. See rule_metrics.h for what belongs here. */
#include "core/rule_metrics.h"

#include <string.h>

#include "core/nearest.h"
#include "core/slice.h"

const char *const rule_source_names[RULE_SOURCES] = {"vps_metrics",    "health_checks", "log_entries",
													 "metric_samples", "absence",       "query"};

const char *const rule_operator_names[RULE_OPERATORS] = {"gt", "gte", "lt", "lte", "eq", "ne"};

const char *const rule_aggregate_names[RULE_AGGREGATES] = {
	"last", "avg",  "min",      "max",   "sum",    "count",   "p50",    "p95",
	"p99",  "rate", "increase", "delta", "stddev", "predict", "anomaly"};

#define COLUMN(name, unit, help)                                                                             \
	{                                                                                                        \
		name, RULE_VPS_METRICS, name, NULL, false, RULE_GAUGE, unit, help                                    \
	}
#define EVENTS(name, unit, help)                                                                             \
	{                                                                                                        \
		name, RULE_VPS_METRICS, name, NULL, false, RULE_EVENTS, unit, help                                   \
	}
#define REST_OF(name, column, help)                                                                          \
	{                                                                                                        \
		name, RULE_VPS_METRICS, column, NULL, true, RULE_GAUGE, "%", help                                    \
	}
#define PER_CORE(name, column, help)                                                                         \
	{                                                                                                        \
		name, RULE_VPS_METRICS, column, "cpu_cores", false, RULE_GAUGE, "", help                             \
	}
#define CHECK(name, column, kind, unit, help)                                                                \
	{                                                                                                        \
		name, RULE_HEALTH_CHECKS, column, NULL, false, kind, unit, help                                      \
	}
#define LOGS(name, unit, help)                                                                               \
	{                                                                                                        \
		name, RULE_LOG_ENTRIES, NULL, NULL, false, RULE_WINDOWED, unit, help                                 \
	}

/* Columns in the order of the table. */
const struct rule_metric rule_metrics[] = {
	COLUMN("cpu_percent", "%", "processor busy, without waiting for I/O and steal"),
	COLUMN("memory_percent", "%", "memory in use: total - available"),
	COLUMN("memory_mb", "MiB", "memory in use"),
	COLUMN("disk_percent", "%", "root filesystem in use"),
	COLUMN("disk_gb", "GiB", "root filesystem in use"),
	COLUMN("load_avg_1m", "", "load average over 1 minute"),
	COLUMN("load_avg_5m", "", "load average over 5 minutes"),
	COLUMN("load_avg_15m", "", "load average over 15 minutes"),
	COLUMN("cpu_iowait_percent", "%", "processor waiting for I/O"),
	COLUMN("cpu_steal_percent", "%", "processor taken by the hypervisor"),
	COLUMN("cpu_cores", "", "cores online"),
	COLUMN("memory_available_mb", "MiB", "memory available"),
	COLUMN("swap_percent", "%", "swap in use; none without swap"),
	COLUMN("swap_io_per_s", "pages/s", "pages swapped in and out"),
	COLUMN("inode_percent", "%", "inodes of the root filesystem in use"),
	COLUMN("disk_read_bps", "B/s", "read from block devices"),
	COLUMN("disk_write_bps", "B/s", "written to block devices"),
	COLUMN("disk_busy_percent", "%", "time that the busiest block device had I/O in flight"),
	COLUMN("net_rx_bps", "B/s", "received"),
	COLUMN("net_tx_bps", "B/s", "sent"),
	COLUMN("net_errors_per_s", "1/s", "network errors and drops"),
	COLUMN("tcp_retransmit_percent", "%", "TCP segments sent again"),
	COLUMN("psi_cpu", "%", "time that some task waited for a processor"),
	COLUMN("psi_memory", "%", "time that some task waited for memory"),
	COLUMN("psi_io", "%", "time that some task waited for I/O"),
	COLUMN("processes", "", "processes"),
	COLUMN("zombies", "", "zombie processes"),
	COLUMN("open_files_percent", "%", "file handles allocated"),
	COLUMN("conntrack_percent", "%", "connection tracking entries"),
	EVENTS("oom_kills", "", "processes killed for lack of memory since the sample before"),
	COLUMN("uptime_seconds", "s", "time since boot"),
	COLUMN("clock_offset_ms", "ms", "clock of the VPS minus that of the database"),
	COLUMN("interval_ms", "ms", "time that the rates of the sample cover"),
	PER_CORE("load_avg_1m_per_core", "load_avg_1m", "load average over 1 minute by cores"),
	PER_CORE("load_avg_5m_per_core", "load_avg_5m", "load average over 5 minutes by cores"),
	PER_CORE("load_avg_15m_per_core", "load_avg_15m", "load average over 15 minutes by cores"),
	REST_OF("memory_available_percent", "memory_percent", "memory available: 100 - memory_percent"),
	REST_OF("disk_available_percent", "disk_percent", "root filesystem free: 100 - disk_percent"),
	REST_OF("swap_available_percent", "swap_percent", "swap free: 100 - swap_percent"),
	REST_OF("inode_available_percent", "inode_percent", "inodes free: 100 - inode_percent"),
	CHECK("health_consecutive_failures", NULL, RULE_STANDING, "", "failures in a row up to now"),
	CHECK("health_failure_percent", NULL, RULE_WINDOWED, "%",
		  "share of the checks in the window that failed"),
	CHECK("health_response_ms", "response_time_ms", RULE_GAUGE, "ms",
		  "time until the whole answer was there"),
	CHECK("health_dns_ms", "dns_ms", RULE_GAUGE, "ms", "time for the name"),
	CHECK("health_connect_ms", "connect_ms", RULE_GAUGE, "ms", "time to connect"),
	CHECK("health_tls_ms", "tls_ms", RULE_GAUGE, "ms", "time for the TLS handshake"),
	CHECK("health_first_byte_ms", "first_byte_ms", RULE_GAUGE, "ms", "time until the first byte"),
	CHECK("tls_days_left", "tls_expires_at", RULE_STANDING, "days", "until the certificate expires"),
	CHECK("health_status_changes", NULL, RULE_WINDOWED, "",
		  "changes between success and failure in the window"),
	LOGS("log_count", "", "entries in the window"),
	LOGS("log_rate", "1/s", "entries per second of the window"),
	{"data_age_seconds", RULE_ABSENCE, NULL, NULL, false, RULE_STANDING, "s",
	 "time since the newest sample of a VPS or application"},
	{NULL}};

const struct rule_metric_alias rule_metric_aliases[] = {{"cpu_usage", "cpu_percent"},
														{"cpu_usage_percent", "cpu_percent"},
														{"cpu_busy_percent", "cpu_percent"},
														{"memory_usage", "memory_percent"},
														{"memory_usage_percent", "memory_percent"},
														{"disk_usage", "disk_percent"},
														{"disk_usage_percent", "disk_percent"},
														{"swap_usage", "swap_percent"},
														{"inode_usage", "inode_percent"},
														{"load_average", "load_avg_1m"},
														{"response_time_ms", "health_response_ms"},
														{NULL}};

static const struct rule_metric *
by_name(const char *name)
{
	for (const struct rule_metric *metric = rule_metrics; metric->name != NULL; metric++)
		if (strcmp(metric->name, name) == 0)
			return metric;
	return NULL;
}

const struct rule_metric *
rule_metric_find(const char *name)
{
	for (const struct rule_metric_alias *a = rule_metric_aliases; a->alias != NULL; a++)
		if (strcmp(a->alias, name) == 0)
			return by_name(a->name);
	return by_name(name);
}

const char *
rule_metric_nearest(const char *name, const char *const *also)
{
	struct nearest nearest;

	nearest_begin(&nearest, name, 0);
	for (const struct rule_metric *metric = rule_metrics; metric->name != NULL; metric++)
		nearest_consider(&nearest, metric->name);
	for (const struct rule_metric_alias *a = rule_metric_aliases; a->alias != NULL; a++)
		nearest_consider(&nearest, a->alias);
	for (; also != NULL && *also != NULL; also++)
		nearest_consider(&nearest, *also);
	return nearest.name;
}

/* Place in a list of names, n when it is not there; ASCII letters in any case. */
static int
place_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++) {
		const char *a = name, *b = names[i];

		while (*a != '\0' && (*a >= 'A' && *a <= 'Z' ? *a + ('a' - 'A') : *a) == *b) {
			a++;
			b++;
		}
		if (*a == '\0' && *b == '\0')
			return i;
	}
	return n;
}

enum rule_source
rule_source_find(const char *name)
{
	return (enum rule_source) place_of(name, rule_source_names, RULE_SOURCES);
}

enum rule_operator
rule_operator_find(const char *name)
{
	static const struct {
		const char *sign;
		enum rule_operator op;
	} signs[] = {{">", RULE_GT}, {">=", RULE_GTE}, {"<", RULE_LT},  {"<=", RULE_LTE},
				 {"=", RULE_EQ}, {"==", RULE_EQ},  {"!=", RULE_NE}, {"<>", RULE_NE}};

	for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
		if (strcmp(name, signs[i].sign) == 0)
			return signs[i].op;
	return (enum rule_operator) place_of(name, rule_operator_names, RULE_OPERATORS);
}

static bool
holds(enum rule_operator op, double value, double threshold)
{
	switch (op) {
	case RULE_GT:
		return value > threshold;
	case RULE_GTE:
		return value >= threshold;
	case RULE_LT:
		return value < threshold;
	case RULE_LTE:
		return value <= threshold;
	case RULE_EQ:
		return value == threshold;
	default:
		return value != threshold;
	}
}

enum alert_signal
rule_signal(enum rule_operator op, double threshold, bool has_clear, double clear_threshold, double value)
{
	if (holds(op, value, threshold))
		return SIGNAL_BREACH;
	return has_clear && holds(op, value, clear_threshold) ? SIGNAL_HOLD : SIGNAL_CLEAR;
}
