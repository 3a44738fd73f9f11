/*
 * obs-agent: main(): options, configuration, and which of the three things to do.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/agent.h"
#include "collector/config.h"
#include "collector/log.h"
#include "collector/once.h"
#include "collector/options.h"

/* What the file says, as it was understood. The connection string is not shown: it holds a password. */
static int
print_config(const struct config *c)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_printf(&b, "the configuration is valid\n  enabled: %s\n  postgres_url: given, not tried\n",
				  c->enabled ? "true" : "false");
	strbuf_printf(&b, "  collection_interval: %d s\n", c->interval_s);
	strbuf_printf(&b, "  health_checks: %d configured (checked for form only: not run by this version)\n",
				  c->check_count);
	for (int i = 0; i < c->check_count; i++)
		strbuf_printf(&b, "    %s each %d s, timeout %d s\n", c->checks[i].url, c->checks[i].interval_s,
					  c->checks[i].timeout_s);
	strbuf_printf(&b, "  log_files: %d configured (checked for form only: not read by this version)\n",
				  c->log_count);
	for (int i = 0; i < c->log_count; i++)
		strbuf_printf(&b, "    %s\n", c->logs[i].pattern);
	ssize_t written = b.failed ? -1 : write(STDOUT_FILENO, b.data, b.len);
	strbuf_free(&b);
	return written < 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}

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
	if (!options.once && !options.check_config)
		agent_hold_signals();
	if (options.config && !config_load(options.config, options.app_name, &config, &errors)) {
		/* each line names file, line and key */
		log_lines(LOG_LEVEL_ERROR, errors.data);
		return EXIT_CODE_CONFIG;
	}
	strbuf_free(&errors);
	if (options.check_config)
		return print_config(&config);
	if (options.once)
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
