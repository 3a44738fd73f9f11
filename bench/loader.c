/*
 * loader: the client half of the benchmarks. Makes rows, sends them by INSERT or COPY, and prints what it did as JSON.
 *
 * Belongs here: command line and report. Does not belong here: what rows look like (samples.c), their encoding (payload.c), the
 * conversation (session.c).
 *
 *     loader load  --conninfo C --table T --method insert --vps 100 --steps 1000 --batch 1000 …
 *     loader agents --conninfo C --table T --method insert --order vps --begin-batch --vps 500 --steps 100 --batch 60 --interval-ms 5000 …
 *     loader probe --conninfo C --sql 'SELECT …'
 */
#include <getopt.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "agents.h"
#include "deliver.h"
#include "payload.h"
#include "probe.h"

/* What the command line sets, as text: bench/surroundings.py is the only caller and documents the meaning. */
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
	OPT_LEAST,
	OPT_ODD,
	OPT_INTERVAL_MS,
	OPT_NO_SPLAY,
	OPT_ROLE_OF_NUMBER,
	OPT_UNPREPARED,
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
	{"least", required_argument, NULL, OPT_LEAST},
	{"odd", no_argument, NULL, OPT_ODD},
	{"interval-ms", required_argument, NULL, OPT_INTERVAL_MS},
	{"no-splay", no_argument, NULL, OPT_NO_SPLAY},
	{"role-of-number", no_argument, NULL, OPT_ROLE_OF_NUMBER},
	{"unprepared", no_argument, NULL, OPT_UNPREPARED},
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
print_columns(const struct load *load, const struct payloads *payloads)
{
	printf("\"columns\": {");
	for (int c = 0; c < load->columns; c++) {
		enum metric m = load->column[c];

		printf("%s\"%s\": {\"sum\": %.17g, \"measured\": %ld}", c ? ", " : "", metric_columns[m].name,
			   payloads->sum[m], payloads->measured[m]);
	}
	printf("}}\n");
}

static long
count_rows(const struct payloads *payloads)
{
	long rows = 0;

	for (int i = 0; i < payloads->count; i++)
		rows += payloads->list[i].rows;
	return rows;
}

static struct load
given_load(void)
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
		.least = (int) number(OPT_LEAST, 0, 1),
		.odd = given[OPT_ODD] != NULL,
		.sessions = (int) number(OPT_SESSIONS, 1, 1),
		.start_us = number(OPT_START_US, clock_us(CLOCK_REALTIME), 0),
		.seed = (uint64_t) number(OPT_SEED, 42, 0),
		.table = given[OPT_TABLE],
	};

	if (load.table == NULL)
		die("--table is missing", NULL);
	if (load.least > load.batch)
		die("--least is more than --batch", given[OPT_LEAST]);
	load_set_columns(&load);
	return load;
}

static struct delivery
given_delivery(void)
{
	return (struct delivery){.conninfo = given[OPT_CONNINFO],
							 .role = given[OPT_ROLE],
							 .role_of_number = given[OPT_ROLE_OF_NUMBER] != NULL,
							 .unprepared = given[OPT_UNPREPARED] != NULL,
							 .first_seq = number(OPT_FIRST_SEQ, 1, 1),
							 .one_copy = given[OPT_ONE_COPY] != NULL};
}

static void
free_payloads(struct payloads *payloads)
{
	for (int i = 0; i < payloads->count; i++)
		strbuf_free(&payloads->list[i].bytes);
	free(payloads->list);
}

static void
probe_given(void)
{
	probe(given[OPT_CONNINFO], given[OPT_SQL] ? given[OPT_SQL] : "SELECT 1");
}

static void
load_rows(void)
{
	struct load load = given_load();
	struct delivery delivery = given_delivery();
	struct payloads payloads = {0};
	struct outcome out;

	if (delivery.one_copy && (load.method != METHOD_COPY || load.binary))
		die("--one-copy is for COPY in text", NULL);
	if (!load_make(&load, &payloads))
		die("out of memory", NULL);
	deliver(&load, &payloads, &delivery, &out);
	printf("{\"rows\": %ld, \"inserted\": %ld, \"batches\": %d, \"accepted\": %ld, \"seconds\": %.6f, "
		   "\"server_cpu\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, ",
		   count_rows(&payloads), out.rows_inserted, payloads.count, out.accepted, out.seconds,
		   out.server_cpu, quantile(out.batch_ms, out.batches, 0.5),
		   quantile(out.batch_ms, out.batches, 0.99), quantile(out.batch_ms, out.batches, 1));
	print_columns(&load, &payloads);
	free_payloads(&payloads);
	free(out.batch_ms);
}

static void
print_quantiles(const char *name, double *ms, int count)
{
	printf("\"%s\": {\"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f, \"max\": %.3f}, ", name,
		   quantile(ms, count, 0.5), quantile(ms, count, 0.95), quantile(ms, count, 0.99),
		   quantile(ms, count, 1));
}

static void
agents(void)
{
	struct load load = given_load();
	struct delivery delivery = given_delivery();
	struct schedule schedule = {.interval_ms = (int) number(OPT_INTERVAL_MS, 5000, 1),
								.splay = given[OPT_NO_SPLAY] == NULL,
								.odd = load.odd};
	struct payloads payloads = {0};
	struct turnout out;

	if (load.method != METHOD_INSERT || !load.by_vps || !load.begin_batch)
		die("agents insert by the ingest protocol, each rows of its own VPS", NULL);
	if (!load_make(&load, &payloads))
		die("out of memory", NULL);
	run_agents(&load, &payloads, &delivery, &schedule, &out);
	printf("{\"rows\": %ld, \"inserted\": %ld, \"flushes\": %ld, \"sent_again\": %ld, \"clamped\": %ld, "
		   "\"quarantined\": %ld, \"seconds\": %.6f, \"connect_seconds\": %.6f, \"server_cpu\": %.6f, ",
		   count_rows(&payloads), out.rows_inserted, out.flushes, out.sent_again, out.clamped,
		   out.quarantined, out.seconds, out.connect_seconds, out.server_cpu);
	print_quantiles("first_ms", out.first_ms, out.firsts);
	print_quantiles("flush_ms", out.flush_ms, out.count);
	print_quantiles("due_ms", out.due_ms, out.count);
	print_columns(&load, &payloads);
	free_payloads(&payloads);
	free(out.first_ms);
	free(out.flush_ms);
	free(out.due_ms);
}

static const struct {
	const char *name;
	void (*run)(void);
} commands[] = {{"load", load_rows}, {"agents", agents}, {"probe", probe_given}};

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			read_options(argc - 1, argv + 1);
			commands[i].run();
			return 0;
		}
	die("usage: loader load|agents|probe --conninfo … (see bench/surroundings.py)", NULL);
}
