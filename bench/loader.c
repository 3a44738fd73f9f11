/*
 * loader: the client half of the benchmarks. Makes rows, sends them by INSERT or COPY, and prints what it did as JSON.
 *
 * Belongs here: command line and report. Does not belong here: what rows look like (samples.c), their encoding (payload.c), the
 * conversation (session.c).
 *
 *     loader load  --conninfo C --table T --method insert --vps 100 --steps 1000 --batch 1000 …
 *     loader probe --conninfo C --sql 'SELECT …'
 */
#include <getopt.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/clock.h"
#include "payload.h"
#include "probe.h"
#include "session.h"

/* What the command line sets, as text: bench/client.py is the only caller and documents the meaning. */
enum option_number {
	OPT_CONNINFO = 256,
	OPT_SQL,
	OPT_TABLE,
	OPT_METHOD,
	OPT_FORMAT,
	OPT_COLUMNS,
	OPT_ORDER,
	OPT_ROLE,
	OPT_VPS,
	OPT_STEPS,
	OPT_STEP_S,
	OPT_BATCH,
	OPT_SESSIONS,
	OPT_START_US,
	OPT_SEED,
	OPT_FIRST_SEQ,
	OPT_BEGIN_BATCH,
	OPT_ONE_COPY,
	OPT_END
};

static const struct option long_options[] = {
	{"conninfo", required_argument, NULL, OPT_CONNINFO},
	{"sql", required_argument, NULL, OPT_SQL},
	{"table", required_argument, NULL, OPT_TABLE},
	{"method", required_argument, NULL, OPT_METHOD},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"columns", required_argument, NULL, OPT_COLUMNS},
	{"order", required_argument, NULL, OPT_ORDER},
	{"role", required_argument, NULL, OPT_ROLE},
	{"vps", required_argument, NULL, OPT_VPS},
	{"steps", required_argument, NULL, OPT_STEPS},
	{"step-s", required_argument, NULL, OPT_STEP_S},
	{"batch", required_argument, NULL, OPT_BATCH},
	{"sessions", required_argument, NULL, OPT_SESSIONS},
	{"start-us", required_argument, NULL, OPT_START_US},
	{"seed", required_argument, NULL, OPT_SEED},
	{"first-seq", required_argument, NULL, OPT_FIRST_SEQ},
	{"begin-batch", no_argument, NULL, OPT_BEGIN_BATCH},
	{"one-copy", no_argument, NULL, OPT_ONE_COPY},
	{NULL, 0, NULL, 0},
};

static const char *given[OPT_END];

static void
read_options(int argc, char **argv)
{
	int found;

	while ((found = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (found < OPT_CONNINFO || found >= OPT_END)
			exit(2);
		given[found] = optarg ? optarg : "yes";
	}
	if (optind != argc)
		die("unexpected argument", argv[optind]);
	if (given[OPT_CONNINFO] == NULL)
		die("--conninfo is missing", NULL);
}

static bool
is(enum option_number option, const char *value)
{
	return given[option] != NULL && strcmp(given[option], value) == 0;
}

static int64_t
number(enum option_number option, int64_t missing, int64_t least)
{
	char *end;
	int64_t value;

	if (given[option] == NULL)
		return missing;
	value = strtoll(given[option], &end, 10);
	if (*end != '\0' || value < least)
		die("not a usable number", given[option]);
	return value;
}

static void
report(const struct load *load, const struct payloads *payloads, struct outcome *outcome)
{
	long rows = 0;

	for (int i = 0; i < payloads->count; i++)
		rows += payloads->list[i].rows;
	printf("{\"rows\": %ld, \"inserted\": %ld, \"batches\": %d, \"accepted\": %ld, \"seconds\": %.6f, "
		   "\"server_cpu\": %.6f, "
		   "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"columns\": {",
		   rows, outcome->rows_inserted, payloads->count, outcome->accepted, outcome->seconds,
		   outcome->server_cpu, quantile(outcome->batch_ms, outcome->batches, 0.5),
		   quantile(outcome->batch_ms, outcome->batches, 0.99),
		   quantile(outcome->batch_ms, outcome->batches, 1));
	for (int c = 0; c < load->columns; c++) {
		enum metric m = load->column[c];

		printf("%s\"%s\": {\"sum\": %.17g, \"measured\": %ld}", c ? ", " : "", metric_columns[m].name,
			   payloads->sum[m], payloads->measured[m]);
	}
	printf("}}\n");
}

static void
load_rows(void)
{
	struct load load = {
		.method = is(OPT_METHOD, "copy") ? METHOD_COPY : METHOD_INSERT,
		.binary = is(OPT_FORMAT, "binary"),
		.all_columns = is(OPT_COLUMNS, "all"),
		.by_vps = is(OPT_ORDER, "vps"),
		.begin_batch = given[OPT_BEGIN_BATCH] != NULL,
		.vps = (int) number(OPT_VPS, 1, 1),
		.steps = (int) number(OPT_STEPS, 1, 1),
		.step_s = (int) number(OPT_STEP_S, 10, 1),
		.batch = (int) number(OPT_BATCH, 1000, 1),
		.sessions = (int) number(OPT_SESSIONS, 1, 1),
		.start_us = number(OPT_START_US, clock_us(CLOCK_REALTIME), 0),
		.seed = (uint64_t) number(OPT_SEED, 42, 0),
		.table = given[OPT_TABLE],
	};
	struct delivery delivery = {.conninfo = given[OPT_CONNINFO],
								.role = given[OPT_ROLE],
								.first_seq = number(OPT_FIRST_SEQ, 1, 1),
								.one_copy = given[OPT_ONE_COPY] != NULL};
	struct payloads payloads = {0};
	struct outcome outcome;

	if (load.table == NULL)
		die("--table is missing", NULL);
	if (delivery.one_copy && (load.method != METHOD_COPY || load.binary))
		die("--one-copy is for COPY in text", NULL);
	load_set_columns(&load);
	if (!load_make(&load, &payloads))
		die("out of memory", NULL);
	deliver(&load, &payloads, &delivery, &outcome);
	report(&load, &payloads, &outcome);
	for (int i = 0; i < payloads.count; i++)
		strbuf_free(&payloads.list[i].bytes);
	free(payloads.list);
	free(outcome.batch_ms);
}

int
main(int argc, char **argv)
{
	if (argc < 2 || (strcmp(argv[1], "load") != 0 && strcmp(argv[1], "probe") != 0))
		die("usage: loader load|probe --conninfo … (see bench/client.py)", NULL);
	read_options(argc - 1, argv + 1);
	if (strcmp(argv[1], "probe") == 0)
		probe(given[OPT_CONNINFO], given[OPT_SQL] ? given[OPT_SQL] : "SELECT 1");
	else
		load_rows();
	return 0;
}
