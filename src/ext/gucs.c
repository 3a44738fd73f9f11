/*
 * Configuration parameters (GUCs) of observ: names, ranges, defaults, contexts, in one table per type.
 * What does not belong here: reading a parameter to decide something. docs/configuration.md lists them for users.
 *
 * None is PGC_POSTMASTER, so that the library can be loaded at any time. What concerns the tables of one database is PGC_SUSET, so that
 * ALTER DATABASE … SET can give each database its own.
 */
#include "postgres.h"

#include "ext/gucs.h"

#include <limits.h>

#include "utils/guc.h"

bool observ_enabled = true;
char *observ_databases = NULL;
char *observ_maintenance_database = NULL;
char *observ_worker_role = NULL;
char *observ_armed = NULL;
int observ_maintain_partitions_interval = 3600;
int observ_refresh_fleet_summary_interval = 5;
int observ_roll_up_interval = 60;
int observ_roll_up_lag = 600;
int observ_apply_retention_interval = 3600;
int observ_job_statement_timeout = 60000;
int observ_job_lock_timeout = 500;
int observ_premake = 7 * 86400;
int observ_late_window = 7 * 86400;
int observ_max_future_skew = 120;
int observ_metrics_partition_width = 86400;
int observ_backpressure = 0;
int observ_expire_series_interval = 3600;
int observ_update_log_templates_interval = 10;
int observ_log_templates_max = 10000;
int observ_evaluation_interval = 15;
int observ_dispatch_interval = 5;
int observ_rule_statement_timeout = 1000;
int observ_max_alerts_per_rule = 1000;
int observ_silence_max_duration = 0;
int observ_catchup_max = 20;
int observ_evaluation_cache = OBSERV_CACHE_AUTO;
int observ_max_series_per_vps = 10000;
int observ_max_series = 2000000;
int observ_notification_max_age = 3600;
int observ_emergency_max_age = 6 * 3600;
int observ_max_deliveries = 1000;
bool observ_allow_link_local = false;
char *observ_external_url = NULL;
char *observ_http_proxy = NULL;
char *observ_ca_file = NULL;

static const struct config_enum_entry partition_widths[] = {
	{"1h", 3600, false}, {"6h", 6 * 3600, false}, {"1d", 86400, false}, {NULL, 0, false}};

static const struct config_enum_entry caches[] = {{"auto", OBSERV_CACHE_AUTO, false},
												  {"on", OBSERV_CACHE_ON, false},
												  {"off", OBSERV_CACHE_OFF, false},
												  {NULL, 0, false}};

typedef struct IntParameter {
	const char *name;
	const char *description;
	int *value;
	int boot, min, max;
	GucContext context;
	int flags;
} IntParameter;

static const IntParameter int_parameters[] = {
	{"observ.maintain_partitions_interval", "How often partitions are created ahead (0 = never).",
	 &observ_maintain_partitions_interval, 3600, 0, 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.refresh_fleet_summary_interval",
	 "How often the fleet summary takes in what arrived (0 = never).", &observ_refresh_fleet_summary_interval,
	 5, 0, 3600, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.roll_up_interval", "How often metrics and health checks are rolled up (0 = never).",
	 &observ_roll_up_interval, 60, 0, 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.roll_up_lag", "How long after its end a bucket is rolled up.", &observ_roll_up_lag, 600, 0,
	 7 * 86400, PGC_SUSET, GUC_UNIT_S},
	{"observ.apply_retention_interval", "How often old partitions are dropped (0 = never).",
	 &observ_apply_retention_interval, 3600, 0, 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.job_statement_timeout", "Longest time one run of a job may take (0 = no limit).",
	 &observ_job_statement_timeout, 60000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS},
	{"observ.job_lock_timeout", "Longest time a job waits for one lock (0 = no limit).",
	 &observ_job_lock_timeout, 500, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS},
	{"observ.premake", "How far ahead of the clock partitions exist.", &observ_premake, 7 * 86400, 3600,
	 60 * 86400, PGC_SUSET, GUC_UNIT_S},
	{"observ.late_window", "How old a row may be when it arrives.", &observ_late_window, 7 * 86400, 3600,
	 60 * 86400, PGC_SUSET, GUC_UNIT_S},
	{"observ.max_future_skew", "How far in the future a row's timestamp may lie when it arrives.",
	 &observ_max_future_skew, 120, 1, 3600, PGC_SUSET, GUC_UNIT_S},
	{"observ.backpressure", "Shortest pause between two batches that agents are asked to keep (0 = none).",
	 &observ_backpressure, 0, 0, 3600000, PGC_SUSET, GUC_UNIT_MS},
	{"observ.expire_series_interval", "How often series without samples are looked for (0 = never).",
	 &observ_expire_series_interval, 3600, 0, 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.update_log_templates_interval",
	 "How often log entries that arrived are counted by template (0 = never).",
	 &observ_update_log_templates_interval, 10, 0, 3600, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.log_templates_max", "How many templates of log messages are told apart.",
	 &observ_log_templates_max, 10000, 100, 1000000, PGC_SUSET, 0},
	{"observ.evaluation_interval", "How often alert rules are evaluated (0 = never).",
	 &observ_evaluation_interval, 15, 0, 3600, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.dispatch_interval", "How often notifications that are due are looked for (0 = never).",
	 &observ_dispatch_interval, 5, 0, 3600, PGC_SIGHUP, GUC_UNIT_S},
	{"observ.rule_statement_timeout", "Longest time the query of an alert rule may take.",
	 &observ_rule_statement_timeout, 1000, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MS},
	{"observ.max_alerts_per_rule",
	 "How many live alerts one rule may have; what is beyond becomes one summary alert.",
	 &observ_max_alerts_per_rule, 1000, 1, 1000000, PGC_SUSET, 0},
	{"observ.silence_max_duration",
	 "How long a silence that is made or extended may last from then on (0 = no limit).",
	 &observ_silence_max_duration, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_S},
	{"observ.catchup_max", "How many missed evaluations are made up for after a pause.", &observ_catchup_max,
	 20, 0, 1000, PGC_SUSET, 0},
	{"observ.max_series_per_vps", "How many series of labelled metrics a VPS may have.",
	 &observ_max_series_per_vps, 10000, 0, 10000000, PGC_SUSET, 0},
	{"observ.max_series", "How many series of labelled metrics all VPSs may have together.",
	 &observ_max_series, 2000000, 0, INT_MAX, PGC_SUSET, 0},
	{"observ.notification_max_age", "How long it is tried to deliver a notification.",
	 &observ_notification_max_age, 3600, 1, 7 * 86400, PGC_SUSET, GUC_UNIT_S},
	{"observ.emergency_max_age", "How long it is tried to deliver a notification of severity emergency.",
	 &observ_emergency_max_age, 6 * 3600, 1, 7 * 86400, PGC_SUSET, GUC_UNIT_S},
	{"observ.max_deliveries", "How many notifications may be under way at a time.", &observ_max_deliveries,
	 1000, 1, 10000, PGC_SUSET, 0},
};

typedef struct StringParameter {
	const char *name;
	const char *description;
	char **value;
	const char *boot;
	GucContext context;
	int flags;
	GucStringCheckHook check;
} StringParameter;

/* What links begin with; notifications would hold nonsense. */
static bool
check_address(char **value, void **extra, GucSource source)
{
	const char *url = *value;

	if (url[0] == '\0' ||
		((pg_strncasecmp(url, "http://", 7) == 0 || pg_strncasecmp(url, "https://", 8) == 0) &&
		 strpbrk(url, " \t\r\n\"<>") == NULL))
		return true;
	GUC_check_errdetail("It must begin with http:// or https:// and have no blanks.");
	return false;
}

static bool
check_path(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0' || is_absolute_path(*value))
		return true;
	GUC_check_errdetail("It must be an absolute path.");
	return false;
}

static const StringParameter string_parameters[] = {
	{"observ.databases",
	 "Databases that observ works in; empty: those that CREATE EXTENSION or observ.resume() armed.",
	 &observ_databases, "", PGC_SIGHUP, GUC_LIST_INPUT},
	{"observ.maintenance_database", "Database in which observ looks up which databases are armed.",
	 &observ_maintenance_database, "postgres", PGC_SIGHUP, 0},
	{"observ.worker_role", "Role that observ's schedulers connect as; empty: the bootstrap superuser.",
	 &observ_worker_role, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY},
	{"observ.armed", "Set by CREATE EXTENSION, observ.resume() and observ.pause(); not for hands.",
	 &observ_armed, "", PGC_SUSET,
	 GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE | GUC_NO_RESET_ALL},
	{"observ.external_url",
	 "Address of the dashboard, that links in notifications begin with; empty: no links.",
	 &observ_external_url, "", PGC_SUSET, 0, check_address},
	{"observ.http_proxy",
	 "Proxy that notifications are sent through, unless a channel has its own; empty: none.",
	 &observ_http_proxy, "", PGC_SUSET, GUC_SUPERUSER_ONLY},
	{"observ.ca_file",
	 "File with the certificates to trust when notifications are sent, unless a channel has its own; empty: "
	 "the "
	 "system's.",
	 &observ_ca_file, "", PGC_SUSET, 0, check_path},
};

/*
 * Defines every parameter and reserves the prefix. Called once, from _PG_init.
 */
void
observ_gucs_init(void)
{
	DefineCustomBoolVariable("observ.enabled",
							 "Whether observ's background workers may do anything in this cluster.",
							 "Turn it off in the configuration of a physical clone (staging, base backup).",
							 &observ_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("observ.allow_link_local",
							 "Whether notifications may be sent to link-local addresses.",
							 "Machines in clouds hand out their keys at 169.254.169.254.",
							 &observ_allow_link_local, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"observ.metrics_partition_width", "Width of the partitions of observ.vps_metrics.",
		"A change applies to partitions that are not created yet.", &observ_metrics_partition_width, 86400,
		partition_widths, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("observ.evaluation_cache",
							 "Whether samples stay in memory from one evaluation of alert rules to the next.",
							 "auto: in the scheduler only.", &observ_evaluation_cache, OBSERV_CACHE_AUTO,
							 caches, PGC_USERSET, 0, NULL, NULL, NULL);
	for (size_t i = 0; i < lengthof(int_parameters); i++) {
		const IntParameter *p = &int_parameters[i];

		DefineCustomIntVariable(p->name, p->description, NULL, p->value, p->boot, p->min, p->max, p->context,
								p->flags, NULL, NULL, NULL);
	}
	for (size_t i = 0; i < lengthof(string_parameters); i++) {
		const StringParameter *p = &string_parameters[i];

		DefineCustomStringVariable(p->name, p->description, NULL, p->value, p->boot, p->context, p->flags,
								   p->check, NULL, NULL);
	}
	MarkGUCPrefixReserved("observ");
}
