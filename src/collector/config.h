/*
 * config.h: the `monitoring:` section of an application's config.yml.
 *
 * Belongs here: keys, types, defaults, ranges; docs/obs-agent.md has the same table for people.
 * Does not belong here: YAML itself (yaml_tree.h), the command line (options.h), what the values do.
 * {app} in URLs and file names is replaced by the application's name, ${NAME} in secrets by the environment.
 */
#ifndef OBSERV_COLLECTOR_CONFIG_H
#define OBSERV_COLLECTOR_CONFIG_H

#include <stdbool.h>

#include "common/strbuf.h"

struct text_list {
	char **item;
	int count;
};

enum check_kind {
	CHECK_HTTP, /* http://, https:// */
	CHECK_TCP,  /* tcp://HOST:PORT */
	CHECK_POSTGRES, /* postgres:// or postgresql:// connection string; the password is never shown or stored as the row's url */
	CHECK_REDIS, /* redis://[:PASSWORD@]HOST[:PORT] or redis:///path/to.sock */
	CHECK_UNIT   /* unit:NAME.service */
};

struct status_range {
	int first, last;
};

struct health_check {
	char *url;  /* as it is used; may hold a password */
	char *name; /* the row's url: `name` of the configuration, or the url without a password */
	enum check_kind kind;
	int interval_s;                /* default collection_interval */
	int timeout_s;                 /* 5 */
	char *method;                  /* GET */
	struct text_list headers;      /* "Name: value" */
	char *body;                    /* sent with the request; NULL: none */
	struct status_range *expected; /* `expected_status`: 200, [200, 204], "200-399"; default 200-399 */
	int expected_count;
	char *body_contains, *body_not_contains, *body_regex; /* NULL: not looked at; POSIX extended */
	char *json_path;       /* `$.status == "UP"`, `$.queue < 100`, `$.items[0].id`, `length($.items) > 0` */
	int max_latency_ms;    /* 0: none */
	bool follow_redirects; /* true */
	bool verify_tls;       /* true */
	int ip_family;         /* 0 whichever answers, 4, 6 */
	int max_lag_s;         /* postgres: replication lag that is a failure; 0: none */
	int failure_threshold; /* 3: consecutive failures that open the breaker */
	int cooldown_s;        /* 30 */
};

struct log_source {
	char *pattern;       /* path, may be a glob */
	bool from_beginning; /* `start_at: beginning` (default end): files that are there at the first start */
	char *timezone;      /* of times without a zone; NULL: the machine's */
	char *level;         /* of lines that have none; "info" */
};

struct scrape_target {
	char *url;
	char *job;                    /* label `job`; default the host and port */
	char *layer;                  /* label `layer`: application (default), business, system */
	int interval_s;               /* default collection_interval */
	int timeout_s;                /* 2 */
	int max_series;               /* 2000 */
	struct text_list allow, deny; /* metric names, `*` at the end; empty allow: all */
};

struct config {
	bool enabled;
	char *postgres_url; /* expanded; holds a password: never print it */
	int interval_s;     /* collection_interval: between flushes, and between samples unless adaptive */
	bool adaptive;      /* 5 to 30 s between samples */
	struct health_check *checks;
	int check_count;
	struct log_source *logs;
	int log_count;
	int max_line_bytes; /* `log_max_line_bytes`, 65536 */
	int pinned_max_mb; /* `log_deleted_max_mb`, 256: what deleted files that are still read may hold on disk */
	struct scrape_target *scrapes;
	int scrape_count;
	char *statsd_socket;   /* `statsd: {socket: PATH}`; NULL: none */
	int statsd_max_series; /* 2000 */
	int spool_max_mb;      /* 64, 1 to 4096 */
	/* `collect:` what is measured beside the machine as a whole; all true */
	bool containers, disks, interfaces, units, peers;
	struct text_list unit_patterns; /* `units:` names or globs; default *.service that are not static */
};

/*
 * Reads and checks the whole section; true when there is nothing wrong with it. Otherwise every error is one line in
 * `errors`: "FILE:LINE: KEY: what". `app_name` replaces {app}; NULL leaves it. Frees with config_free() in both cases.
 */
bool config_load(const char *path, const char *app_name, struct config *out, struct strbuf *errors);
void config_free(struct config *c);

#endif
