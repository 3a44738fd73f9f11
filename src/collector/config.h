/*
 * config.h: the `monitoring:` section of an application's config.yml.
 *
 * Belongs here: keys, types, defaults, ranges; docs/obs-agent.md has the same table for people.
 * Does not belong here: YAML itself (yaml_tree.h), the command line (options.h).
 */
#ifndef OBSERV_COLLECTOR_CONFIG_H
#define OBSERV_COLLECTOR_CONFIG_H

#include <stdbool.h>

#include "common/strbuf.h"

struct health_check {
	char *url;
	int interval_s;
	int timeout_s;
};

struct config {
	bool enabled;
	char *postgres_url; /* expanded; holds a password: never print it */
	int interval_s;
	struct health_check *checks;
	int check_count;
	char **log_files; /* {app} expanded */
	int log_file_count;
};

/*
 * Reads and checks the whole section; true when there is nothing wrong with it. Otherwise every error is one line in
 * `errors`: "FILE:LINE: KEY: what". `app_name` replaces {app}; NULL leaves it. Frees with config_free() in both cases.
 */
bool config_load(const char *path, const char *app_name, struct config *out, struct strbuf *errors);
void config_free(struct config *c);

#endif
