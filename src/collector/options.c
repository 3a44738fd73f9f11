/* options.c: The command line and its --help. See options.h for what belongs here. */
#include "collector/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/log.h"
#include "collector/version.h"
#include "core/slice.h"

#define MAX_NAME_BYTES 200

static const char usage[] =
	"obs-agent collects the metrics of this machine and writes them to PostgreSQL with the extension "
	"observ.\n"
	"\n"
	"usage: obs-agent --config FILE --app-name NAME [options]\n"
	"       obs-agent --once [--json] [options]\n"
	"       obs-agent --check-config --config FILE [--app-name NAME]\n"
	"       obs-agent status --app-name NAME [--json] [--vps-name NAME] [--state-dir DIR]\n"
	"       obs-agent explain disk|net|logs [options]\n"
	"\n"
	"  status            how the agent that runs is doing, from its state file (at most 10 s old)\n"
	"  explain           what is measured, what is left out, and why; logs needs --config\n"
	"  --config FILE     YAML file with a section \"monitoring:\"\n"
	"  --app-name NAME   application that the rows belong to\n"
	"  --vps-name NAME   name of this machine (default: its host name)\n"
	"  --once            print one sample of one second and end; writes nothing to the database\n"
	"  --json            with --once and status: for programs\n"
	"  --check-config    check the file, say what would be done, and end\n"
	"  --proc-root DIR   read DIR/proc and DIR/sys (or DIR itself in place of /proc) instead of this "
	"machine's\n"
	"  --state-dir DIR   where the agent keeps its identity (default: $STATE_DIRECTORY or "
	"/var/lib/obs-agent/NAME)\n"
	"  --help, --version\n"
	"\n"
	"exit codes: 0 done or stopped by a signal, 1 failure at run time (status: no agent runs), 2 wrong "
	"usage, 3 error in the "
	"configuration,\n"
	"            4 monitoring is not enabled in the configuration\n"
	"signals:    TERM, INT: deliver what is waiting (5 s at most) and end; HUP: read the configuration "
	"again, try at once\n"
	"manual:     docs/obs-agent.md\n";

enum {
	OPT_CONFIG = 256,
	OPT_APP,
	OPT_VPS,
	OPT_ONCE,
	OPT_JSON,
	OPT_CHECK,
	OPT_PROC,
	OPT_STATE,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"app-name", required_argument, NULL, OPT_APP},
	{"vps-name", required_argument, NULL, OPT_VPS},
	{"once", no_argument, NULL, OPT_ONCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"check-config", no_argument, NULL, OPT_CHECK},
	{"proc-root", required_argument, NULL, OPT_PROC},
	{"state-dir", required_argument, NULL, OPT_STATE},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int
print(const char *text)
{
	size_t len = strlen(text);

	return write(STDOUT_FILENO, text, len) == (ssize_t) len ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

static int
wrong(const char *what, const char *value)
{
	log_line(LOG_LEVEL_ERROR, "%s%s%s; see obs-agent --help", what, value ? ": " : "", value ? value : "");
	return EXIT_CODE_USAGE;
}

static bool
is_name(const char *name)
{
	return *name && strlen(name) <= MAX_NAME_BYTES && slice_is_printable(slice_of(name));
}

/* Names of things that are given relative to where the agent was started stay valid. */
static const char *
absolute(const char *path)
{
	char *found = path ? realpath(path, NULL) : NULL;

	return found ? found : path;
}

/* "status", "explain disk": what is to be done in place of collecting. */
static int
parse_command(int count, char **words, struct options *o)
{
	static const struct {
		const char *first, *second;
		enum command command;
	} commands[] = {
		{"status", NULL, COMMAND_STATUS},
		{"explain", "disk", COMMAND_EXPLAIN_DISK},
		{"explain", "net", COMMAND_EXPLAIN_NET},
		{"explain", "logs", COMMAND_EXPLAIN_LOGS},
	};

	if (count == 0)
		return -1;
	if (o->once || o->check_config)
		return wrong("unexpected argument", words[0]);
	if (strcmp(words[0], "explain") == 0 && count == 1)
		return wrong("explain needs one of disk, net, logs", NULL);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		int wanted = commands[i].second ? 2 : 1;
		if (strcmp(words[0], commands[i].first) != 0 ||
			(commands[i].second && strcmp(words[1], commands[i].second) != 0))
			continue;
		if (count > wanted)
			return wrong("unexpected argument", words[wanted]);
		o->command = commands[i].command;
		return -1;
	}
	return wrong(strcmp(words[0], "explain") == 0 ? "explain knows disk, net and logs, not"
												  : "unexpected argument",
				 words[strcmp(words[0], "explain") == 0]);
}

static int
check(struct options *o)
{
	static char host[256];

	if (!o->vps_name) {
		if (gethostname(host, sizeof host - 1) < 0 || !*host)
			return wrong("this machine has no host name: --vps-name is required", NULL);
		o->vps_name = host;
	}
	if (!is_name(o->vps_name))
		return wrong("--vps-name must be 1 to 200 bytes of UTF-8 without control characters", NULL);
	bool collects = o->command == COMMAND_COLLECT && !o->once;
	if (!o->config && (collects || o->check_config || o->command == COMMAND_EXPLAIN_LOGS))
		return wrong("--config is required", NULL);
	if (!o->app_name && ((collects && !o->check_config) || (o->command == COMMAND_STATUS && !o->state_dir)))
		return wrong("--app-name is required", NULL);
	if (o->app_name && (!is_name(o->app_name) || strchr(o->app_name, '/') || strcmp(o->app_name, ".") == 0 ||
						strcmp(o->app_name, "..") == 0))
		return wrong("--app-name must be 1 to 200 bytes of UTF-8 without control characters and without /",
					 NULL);
	if (o->json && !o->once && o->command != COMMAND_STATUS)
		return wrong("--json goes with --once and status", NULL);
	o->config = absolute(o->config);
	o->proc_root = absolute(o->proc_root);
	o->state_dir = absolute(o->state_dir);
	if (o->proc_root && strlen(o->proc_root) > 400)
		return wrong("--proc-root is too long", NULL);
	return -1;
}

int
options_parse(int argc, char **argv, struct options *out)
{
	int c;

	*out = (struct options){0};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
		switch (c) {
		case OPT_CONFIG:
			out->config = optarg;
			break;
		case OPT_APP:
			out->app_name = optarg;
			break;
		case OPT_VPS:
			out->vps_name = optarg;
			break;
		case OPT_ONCE:
			out->once = true;
			break;
		case OPT_JSON:
			out->json = true;
			break;
		case OPT_CHECK:
			out->check_config = true;
			break;
		case OPT_PROC:
			out->proc_root = optarg;
			break;
		case OPT_STATE:
			out->state_dir = optarg;
			break;
		case OPT_HELP:
			return print(usage);
		case OPT_VERSION:
			return print("obs-agent (observ) " OBSERV_VERSION "\n");
		case ':':
			return wrong("a value is missing after", argv[optind - 1]);
		default:
			return wrong("unknown option", argv[optind - 1]);
		}
	if ((c = parse_command(argc - optind, argv + optind, out)) >= 0)
		return c;
	return check(out);
}
