/* Says "ready" when the first answer is there, so that whoever starts it knows that it is reading. */
#include "probe.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "deliver.h"

#define MAX_READS 4000000

static void
read_once(PGconn *conn)
{
	PGresult *res = PQexecPrepared(conn, "probe", 0, NULL, NULL, NULL, 0);

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		die("the probe's query failed", PQerrorMessage(conn));
	PQclear(res);
}

void
probe(const char *conninfo, const char *sql)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	double *ms = calloc(MAX_READS, sizeof *ms);
	PGconn *conn = PQconnectdb(conninfo);
	int reads = 0;

	if (ms == NULL)
		die("out of memory", NULL);
	if (PQstatus(conn) != CONNECTION_OK)
		die("cannot connect", PQerrorMessage(conn));
	PQclear(PQprepare(conn, "probe", sql, 0, NULL));
	for (int i = 0; i < 10; i++)
		read_once(conn);
	printf("ready\n");
	fflush(stdout);
	while (reads < MAX_READS && poll(&input, 1, 0) == 0) {
		int64_t before = clock_us(CLOCK_MONOTONIC);

		read_once(conn);
		ms[reads++] = (double) (clock_us(CLOCK_MONOTONIC) - before) / 1000;
	}
	printf("{\"reads\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", reads,
		   quantile(ms, reads, 0.5), quantile(ms, reads, 0.99), quantile(ms, reads, 1));
	PQfinish(conn);
	free(ms);
}
