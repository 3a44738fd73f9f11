/* options.h: the command line. */
#ifndef OBSERV_COLLECTOR_OPTIONS_H
#define OBSERV_COLLECTOR_OPTIONS_H

#include <stdbool.h>

/* Documented in docs/obs-agent.md and in --help. */
enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILURE = 1,
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_CONFIG = 3,
	EXIT_CODE_DISABLED = 4,
};

enum command {
	COMMAND_COLLECT,
	COMMAND_STATUS,
	COMMAND_EXPLAIN_DISK,
	COMMAND_EXPLAIN_NET,
	COMMAND_EXPLAIN_LOGS,
};

struct options {
	enum command command;
	const char *config;
	const char *app_name;
	const char *vps_name;
	const char *proc_root;
	const char *state_dir;
	bool once, json, check_config;
};

/* Fills `out`; -1 to go on, or the exit code to end with (everything has been said). */
int options_parse(int argc, char **argv, struct options *out);

#endif
