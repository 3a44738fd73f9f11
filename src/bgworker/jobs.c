/*
 * The table of jobs, and observ_data._jobs(), which shows it to SQL so that names and periods exist once.
 * What does not belong here: running them (job_run.c), their results (job_runs.c).
 */
#include "postgres.h"

#include "bgworker/jobs.h"
#include "bgworker/detach.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* clang-format off */
const ObservJob observ_jobs[] = {
	{"maintain_partitions", "observ.maintain_partitions_interval", &observ_maintain_partitions_interval,
	 "SELECT * FROM observ.maintain_partitions(pg_catalog.now())", .movable = true},
	{"refresh_fleet_summary", "observ.refresh_fleet_summary_interval", &observ_refresh_fleet_summary_interval,
	 "SELECT * FROM observ.refresh_fleet_summary(pg_catalog.now())"},
	{"expire_series", "observ.expire_series_interval", &observ_expire_series_interval,
	 "SELECT * FROM observ.expire_series(pg_catalog.now())", .movable = true},
	{"roll_up", "observ.roll_up_interval", &observ_roll_up_interval,
	 "SELECT * FROM observ.roll_up(pg_catalog.now())", .movable = true},
	{"apply_retention", "observ.apply_retention_interval", &observ_apply_retention_interval,
	 "SELECT * FROM observ.apply_retention(pg_catalog.now())", .movable = true, .when_blocked = observ_detach_blocked},
	{"update_log_templates", "observ.update_log_templates_interval", &observ_update_log_templates_interval,
	 "SELECT * FROM observ.update_log_templates(pg_catalog.now())"},
	{"evaluate_alerts", "observ.evaluation_interval", &observ_evaluation_interval,
	 "SELECT * FROM observ.evaluate_alerts(pg_catalog.now())", .then = "dispatch_notifications"},
	{"dispatch_notifications", "observ.dispatch_interval", &observ_dispatch_interval,
	 "SELECT * FROM observ.dispatch_notifications(pg_catalog.now())", .until = "next_flush_at"},
};
/* clang-format on */
const int observ_job_count = lengthof(observ_jobs);

OBSERV_SQL_FUNCTION(observ_list_jobs);

int
observ_job_by_name(const char *name)
{
	for (int i = 0; i < observ_job_count; i++)
		if (strcmp(observ_jobs[i].name, name) == 0)
			return i;
	return -1;
}

/* observ_data._jobs() → setof (job_name text, period interval, parameter text, command text); period NULL: switched off. */
Datum
observ_list_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < observ_job_count; i++) {
		const ObservJob *job = &observ_jobs[i];
		Interval *period = palloc0(sizeof(Interval));
		Datum values[4];
		bool nulls[4] = {false, *job->period == 0, false, false};

		period->time = (TimeOffset) *job->period * USECS_PER_SEC;
		values[0] = CStringGetTextDatum(job->name);
		values[1] = IntervalPGetDatum(period);
		values[2] = CStringGetTextDatum(job->period_parameter);
		values[3] = CStringGetTextDatum(job->command);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
