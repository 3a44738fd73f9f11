/* Each step of a transaction is answered before the next is sent, as obs-agent does it. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "statements.h"

#define COPY_CHUNK 65536

void
die(const char *what, const char *detail)
{
	fprintf(stderr, "loader: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
	exit(1);
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

/* Documentation/scheduler/sched-stats.rst in Linux. */
double
session_backend_cpu(const struct session *s)
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
set_role(struct session *s)
{
	struct strbuf sql = STRBUF_INIT;

	strbuf_printf(&sql, "SET ROLE %s", s->delivery->role);
	if (s->delivery->role_of_number)
		strbuf_printf(&sql, "%d", s->number);
	command(s, sql.data);
	strbuf_free(&sql);
}

void
session_open(struct session *s)
{
	s->agent = -2;
	s->insert_sql = (struct strbuf) STRBUF_INIT;
	s->conn = PQconnectdb(s->delivery->conninfo);
	if (PQstatus(s->conn) != CONNECTION_OK)
		die("cannot connect", PQerrorMessage(s->conn));
	if (s->delivery->role != NULL)
		set_role(s);
	load_statement(s->load, &s->insert_sql);
	if (s->delivery->unprepared)
		return;
	if (s->load->method == METHOD_INSERT)
		finish(s, PQprepare(s->conn, "insert", s->insert_sql.data, 0, NULL), PGRES_COMMAND_OK);
	if (s->load->begin_batch)
		finish(s, PQprepare(s->conn, "begin_batch", SQL_BEGIN_BATCH, 0, NULL), PGRES_COMMAND_OK);
}

void
session_close(struct session *s)
{
	strbuf_free(&s->insert_sql);
	PQfinish(s->conn);
}

static PGresult *
execute(struct session *s, const char *name, const char *sql, int params, const char *const *values,
		const int *lengths, const int *formats)
{
	if (s->delivery->unprepared)
		return PQexecParams(s->conn, sql, params, NULL, values, lengths, formats, 0);
	return PQexecPrepared(s->conn, name, params, values, lengths, formats, 0);
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
	char agent_id[48], seq[24], vps[32], app[32], clamped[24], quarantined[24], duplicates[24];
	struct strbuf sent_at = STRBUF_INIT;
	PGresult *res;

	next_seq(s, p);
	snprintf(agent_id, sizeof agent_id, "bench-%s-%d", p->vps < 0 ? "session" : "vps",
			 p->vps < 0 ? s->number : p->vps);
	snprintf(seq, sizeof seq, "%lld", (long long) s->seq);
	snprintf(clamped, sizeof clamped, "%ld", s->clamped);
	snprintf(quarantined, sizeof quarantined, "%ld", s->quarantined);
	snprintf(duplicates, sizeof duplicates, "%ld", s->duplicates);
	vps_name(vps, sizeof vps, p->vps);
	app_name(app, sizeof app, p->vps);
	encode_timestamp(&sent_at, clock_us(CLOCK_REALTIME) + s->clock_ahead_us);
	const char *values[BEGIN_BATCH_PARAMS] = {agent_id,
											  seq,
											  sent_at.data,
											  p->vps < 0 ? NULL : vps,
											  p->vps < 0 ? NULL : app,
											  "bench",
											  "10000",
											  clamped,
											  quarantined,
											  "0",
											  duplicates};

	res = execute(s, "begin_batch", SQL_BEGIN_BATCH, BEGIN_BATCH_PARAMS, values, NULL, NULL);
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
		die("begin_batch failed", PQresultErrorMessage(res));
	bool accepted = PQgetvalue(res, 0, 0)[0] == 't';
	PQclear(res);
	strbuf_free(&sent_at);
	if (accepted)
		s->clamped = s->quarantined = s->duplicates = 0;
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
	long inserted = finish(s, execute(s, "insert", s->insert_sql.data, params, values, lengths, formats),
						   PGRES_COMMAND_OK);
	s->rows_inserted += inserted;
	s->duplicates += p->rows - inserted;
}

/* What obs-agent does with a row from before accept_from. */
static void
quarantine(struct session *s, const struct payload *p)
{
	char vps[32], app[32];
	const char *values[] = {
		vps, app, "{timestamp is too far in the past}",
		"{\"{\\\"timestamp\\\": \\\"2001-01-01T00:00:00Z\\\", \\\"cpu_percent\\\": 1}\"}"};

	vps_name(vps, sizeof vps, p->vps);
	app_name(app, sizeof app, p->vps);
	s->quarantined +=
		finish(s, PQexecParams(s->conn, SQL_QUARANTINE, 4, NULL, values, NULL, NULL, 0), PGRES_COMMAND_OK);
}

void
session_start_copy(struct session *s)
{
	finish(s, PQexec(s->conn, s->insert_sql.data), PGRES_COPY_IN);
}

void
session_send_copy(struct session *s, const struct payload *p)
{
	for (size_t sent = 0; sent < p->bytes.len; sent += COPY_CHUNK) {
		size_t left = p->bytes.len - sent;

		if (PQputCopyData(s->conn, p->bytes.data + sent, (int) (left < COPY_CHUNK ? left : COPY_CHUNK)) != 1)
			die("COPY failed", PQerrorMessage(s->conn));
	}
}

void
session_end_copy(struct session *s)
{
	if (PQputCopyEnd(s->conn, NULL) != 1)
		die("COPY failed", PQerrorMessage(s->conn));
	s->rows_inserted += finish(s, PQgetResult(s->conn), PGRES_COMMAND_OK);
	while (PQgetResult(s->conn) != NULL)
		;
}

/* An agent's transaction. */
static void
flush(struct session *s, const struct payload *p, bool rows, bool bad_row)
{
	command(s, SQL_BEGIN);
	bool accepted = begin_batch(s, p);
	if (accepted && rows)
		insert(s, p);
	if (accepted && bad_row)
		quarantine(s, p);
	command(s, SQL_COMMIT);
	s->accepted += accepted;
}

void
session_send(struct session *s, const struct payload *p)
{
	if (s->load->method == METHOD_COPY) {
		session_start_copy(s);
		session_send_copy(s, p);
		session_end_copy(s);
		s->accepted++;
	} else if (!s->load->begin_batch) {
		insert(s, p);
		s->accepted++;
	} else {
		flush(s, p, true, false);
	}
}

void
session_send_with_bad_row(struct session *s, const struct payload *p)
{
	flush(s, p, true, true);
}

void
session_report(struct session *s, const struct payload *p)
{
	flush(s, p, false, false);
}
