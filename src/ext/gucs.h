/* Configuration parameters of observ (GUCs). Values are read-only for everybody but gucs.c. */
#ifndef OBSERV_EXT_GUCS_H
#define OBSERV_EXT_GUCS_H

/* Whether samples stay in memory between evaluations. */
enum ObservCache { OBSERV_CACHE_AUTO, OBSERV_CACHE_ON, OBSERV_CACHE_OFF };

extern bool observ_enabled;
extern char *observ_databases;
extern char *observ_maintenance_database;
extern char *observ_worker_role;
extern char *observ_armed;
extern int observ_maintain_partitions_interval;   /* s, 0 = off */
extern int observ_refresh_fleet_summary_interval; /* s, 0 = off */
extern int observ_roll_up_interval;               /* s, 0 = off */
extern int observ_roll_up_lag;                    /* s */
extern int observ_apply_retention_interval;       /* s, 0 = off */
extern int observ_job_statement_timeout;          /* ms */
extern int observ_job_lock_timeout;               /* ms */
extern int observ_premake;                        /* s */
extern int observ_late_window;                    /* s */
extern int observ_max_future_skew;                /* s */
extern int observ_metrics_partition_width;        /* s */
extern int observ_backpressure;                   /* ms */
extern int observ_expire_series_interval;         /* s, 0 = off */
extern int observ_update_log_templates_interval;  /* s, 0 = off */
extern int observ_log_templates_max;
extern int observ_evaluation_interval;    /* s */
extern int observ_dispatch_interval;      /* s */
extern int observ_rule_statement_timeout; /* ms */
extern int observ_max_alerts_per_rule;
extern int observ_silence_max_duration; /* seconds; 0: no limit */
extern int observ_catchup_max;
extern int observ_evaluation_cache; /* enum ObservCache */
extern int observ_max_series_per_vps;
extern int observ_max_series;
extern int observ_notification_max_age; /* s */
extern int observ_emergency_max_age;    /* s */
extern int observ_max_deliveries;
extern bool observ_allow_link_local;
extern char *observ_external_url; /* "": none */
extern char *observ_http_proxy;   /* "": none */
extern char *observ_ca_file;      /* "": the system's */

extern void observ_gucs_init(void);

#endif
