/* One thread per connection; each step of a transaction is answered before the next is sent, as obs-agent does it. */
#include "session.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/clock.h"
#include "collector/encode.h"
#include "collector/statements.h"

#define COPY_CHUNK 65536

struct session {
	const struct load *load;
	const struct payloads *payloads;
	const struct delivery *delivery;
	pthread_barrier_t *barrier;
	PGconn *conn;
	int number;
	int agent; /* VPS that seq counts for */
	int64_t seq;
	long rows_inserted, accepted;
	int64_t start_us, end_us;
	double server_cpu;
	double *batch_ms;
	int batches;
};

void
die(const char *what, const char *detail)
{
	fprintf(stderr, "loader: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
	exit(1);
}

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

double
quantile(double *values, int count, double share)
{
	if (count == 0)
		return 0;
	qsort(values, (size_t) count, sizeof *values, ascending);
	return values[(int) (share * (count - 1))];
}

/* Checks an answer, and says how many rows it touched. */
static long
finish(struct session *s, PGresult *res, ExecStatusType expected)
{
	if (PQresultStatus(res) != expected)
		die("statement failed",
			PQresultErrorMessage(res)[0] ? PQresultErrorMessage(res) : PQerrorMessage(s->conn));
	long rows = strtol(PQcmdTuples(res), NULL, 10);
	PQclear(res);
	return rows;
}

static void
command(struct session *s, const char *sql)
{
	finish(s, PQexec(s->conn, sql), PGRES_COMMAND_OK);
}

/* Processor time of the session's backend so far, in seconds (Documentation/scheduler/sched-stats.rst in Linux). */
static double
backend_cpu(const struct session *s)
{
	long long ns = 0;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/schedstat", PQbackendPID(s->conn));
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%lld", &ns) != 1)
		ns = 0;
	fclose(file);
	return (double) ns / 1e9;
}

static void
open_session(struct session *s)
{
	struct strbuf sql = STRBUF_INIT;

	s->conn = PQconnectdb(s->delivery->conninfo);
	if (PQstatus(s->conn) != CONNECTION_OK)
		die("cannot connect", PQerrorMessage(s->conn));
	if (s->delivery->role != NULL) {
		strbuf_printf(&sql, "SET ROLE %s", s->delivery->role);
		command(s, sql.data);
		strbuf_reset(&sql);
	}
	if (s->load->method == METHOD_INSERT) {
		load_statement(s->load, &sql);
		finish(s, PQprepare(s->conn, "insert", sql.data, 0, NULL), PGRES_COMMAND_OK);
	}
	if (s->load->begin_batch)
		finish(s, PQprepare(s->conn, "begin_batch", SQL_BEGIN_BATCH, 0, NULL), PGRES_COMMAND_OK);
	strbuf_free(&sql);
}

static void
next_seq(struct session *s, const struct payload *p)
{
	if (p->vps != s->agent) {
		s->agent = p->vps;
		s->seq = s->delivery->first_seq;
	} else {
		s->seq++;
	}
}

/* The first statement of an agent's transaction; false when the batch was applied before. */
static bool
begin_batch(struct session *s, const struct payload *p)
{
	char agent_id[48], seq[24], vps[32], app[32];
	struct strbuf sent_at = STRBUF_INIT;
	PGresult *res;

	next_seq(s, p);
	snprintf(agent_id, sizeof agent_id, "bench-%s-%d", p->vps < 0 ? "session" : "vps",
			 p->vps < 0 ? s->number : p->vps);
	snprintf(seq, sizeof seq, "%lld", (long long) s->seq);
	vps_name(vps, sizeof vps, p->vps);
	app_name(app, sizeof app, p->vps);
	encode_timestamp(&sent_at, clock_us(CLOCK_REALTIME));
	const char *values[] = {
		agent_id, seq, sent_at.data, p->vps < 0 ? NULL : vps, p->vps < 0 ? NULL : app, "bench", "10000", "0",
		"0",      "0", "0"};

	res = PQexecPrepared(s->conn, "begin_batch", BEGIN_BATCH_PARAMS, values, NULL, NULL, 0);
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
		die("begin_batch failed", PQresultErrorMessage(res));
	bool accepted = PQgetvalue(res, 0, 0)[0] == 't';
	PQclear(res);
	strbuf_free(&sent_at);
	return accepted;
}

static void
insert(struct session *s, const struct payload *p)
{
	const char *values[MAX_PARAMS];
	int lengths[MAX_PARAMS], formats[MAX_PARAMS], params = KEY_PARAMS + s->load->columns;

	for (int i = 0; i < params; i++) {
		values[i] = p->bytes.data + p->start[i];
		lengths[i] = (int) (p->start[i + 1] - p->start[i] - 1);
		formats[i] = s->load->binary;
	}
	s->rows_inserted +=
		finish(s, PQexecPrepared(s->conn, "insert", params, values, lengths, formats, 0), PGRES_COMMAND_OK);
}

static void
start_copy(struct session *s)
{
	struct strbuf sql = STRBUF_INIT;

	load_statement(s->load, &sql);
	finish(s, PQexec(s->conn, sql.data), PGRES_COPY_IN);
	strbuf_free(&sql);
}

static void
send_copy(struct session *s, const struct payload *p)
{
	for (size_t sent = 0; sent < p->bytes.len; sent += COPY_CHUNK) {
		size_t left = p->bytes.len - sent;

		if (PQputCopyData(s->conn, p->bytes.data + sent, (int) (left < COPY_CHUNK ? left : COPY_CHUNK)) != 1)
			die("COPY failed", PQerrorMessage(s->conn));
	}
}

static void
end_copy(struct session *s)
{
	if (PQputCopyEnd(s->conn, NULL) != 1)
		die("COPY failed", PQerrorMessage(s->conn));
	s->rows_inserted += finish(s, PQgetResult(s->conn), PGRES_COMMAND_OK);
	while (PQgetResult(s->conn) != NULL)
		;
}

static void
send_batch(struct session *s, const struct payload *p)
{
	bool accepted = true;

	if (s->load->method == METHOD_COPY) {
		start_copy(s);
		send_copy(s, p);
		end_copy(s);
	} else if (!s->load->begin_batch) {
		insert(s, p);
	} else {
		command(s, SQL_BEGIN);
		accepted = begin_batch(s, p);
		if (accepted)
			insert(s, p);
		command(s, SQL_COMMIT);
	}
	s->accepted += accepted;
}

/* All batches of a VPS go through the same session, so that their numbers arrive in order. */
static bool
is_mine(const struct session *s, int index)
{
	int vps = s->payloads->list[index].vps;

	return (vps < 0 ? index : vps) % s->load->sessions == s->number;
}

static void *
run_session(void *arg)
{
	struct session *s = arg;

	open_session(s);
	pthread_barrier_wait(s->barrier);
	s->server_cpu = -backend_cpu(s);
	s->start_us = clock_us(CLOCK_MONOTONIC);
	if (s->delivery->one_copy)
		start_copy(s);
	for (int i = 0; i < s->payloads->count; i++) {
		int64_t before = clock_us(CLOCK_MONOTONIC);

		if (!is_mine(s, i))
			continue;
		if (s->delivery->one_copy) {
			send_copy(s, &s->payloads->list[i]);
			s->accepted++;
			continue;
		}
		send_batch(s, &s->payloads->list[i]);
		s->batch_ms[s->batches++] = (double) (clock_us(CLOCK_MONOTONIC) - before) / 1000;
	}
	if (s->delivery->one_copy)
		end_copy(s);
	s->end_us = clock_us(CLOCK_MONOTONIC);
	s->server_cpu += backend_cpu(s);
	PQfinish(s->conn);
	return NULL;
}

static void
start_session(struct session *s, pthread_t *thread)
{
	s->agent = -2;
	s->batch_ms = calloc((size_t) s->payloads->count + 1, sizeof *s->batch_ms);
	if (s->batch_ms == NULL || pthread_create(thread, NULL, run_session, s) != 0)
		die("out of memory", NULL);
}

void
deliver(const struct load *load, const struct payloads *payloads, const struct delivery *delivery,
		struct outcome *out)
{
	struct session *sessions = calloc((size_t) load->sessions, sizeof *sessions);
	pthread_t *threads = calloc((size_t) load->sessions, sizeof *threads);
	int64_t start = INT64_MAX, end = 0;
	pthread_barrier_t barrier;

	*out = (struct outcome){.batch_ms = calloc((size_t) payloads->count + 1, sizeof *out->batch_ms)};
	if (sessions == NULL || threads == NULL || out->batch_ms == NULL ||
		pthread_barrier_init(&barrier, NULL, (unsigned) load->sessions) != 0)
		die("out of memory", NULL);
	for (int i = 0; i < load->sessions; i++) {
		sessions[i] = (struct session){
			.load = load, .payloads = payloads, .delivery = delivery, .barrier = &barrier, .number = i};
		start_session(&sessions[i], &threads[i]);
	}
	for (int i = 0; i < load->sessions; i++) {
		struct session *s = &sessions[i];

		pthread_join(threads[i], NULL);
		out->rows_inserted += s->rows_inserted;
		out->accepted += s->accepted;
		out->server_cpu += s->server_cpu;
		start = s->start_us < start ? s->start_us : start;
		end = s->end_us > end ? s->end_us : end;
		memcpy(out->batch_ms + out->batches, s->batch_ms, (size_t) s->batches * sizeof *s->batch_ms);
		out->batches += s->batches;
		free(s->batch_ms);
	}
	out->seconds = (double) (end - start) / 1e6;
	pthread_barrier_destroy(&barrier);
	free(sessions);
	free(threads);
}
