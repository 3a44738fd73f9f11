/*
 * obs-agent: main(): options, configuration, and which of the things to do.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/agent.h"
#include "collector/check_config.h"
#include "collector/config.h"
#include "collector/explain.h"
#include "collector/log.h"
#include "collector/once.h"
#include "collector/options.h"
#include "collector/status.h"

int
main(int argc, char **argv)
{
	struct options options;
	struct config config;
	struct strbuf errors = STRBUF_INIT;
	int code = options_parse(argc, argv, &options);

	if (code >= 0)
		return code;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* helpers that end are nobody's zombies */
	if (options.command == COMMAND_STATUS)
		return status_run(&options);
	if (options.command == COMMAND_COLLECT && !options.once && !options.check_config)
		agent_hold_signals();
	if (options.config && !config_load(options.config, options.app_name, &config, &errors)) {
		/* Each line names file, line and key. Whoever wants an explanation gets what can be explained. */
		bool goes_on = options.command != COMMAND_COLLECT;
		log_lines(goes_on ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, errors.data);
		if (!goes_on)
			return EXIT_CODE_CONFIG;
	}
	strbuf_free(&errors);
	if (options.check_config)
		return check_config_print(&config);
	if (options.command != COMMAND_COLLECT)
		code = explain_run(&options, &config);
	else if (options.once)
		code = once_run(&options);
	else if (!config.enabled) {
		log_line(LOG_LEVEL_INFO, "monitoring.enabled is not true in %s: nothing to do", options.config);
		code = EXIT_CODE_DISABLED;
	} else {
		malloc_trim(0);
		code = agent_run(&options, &config);
	}
	/* Without exit handlers: nothing that a dead mount or a dead server holds is waited for. */
	_exit(code);
}
