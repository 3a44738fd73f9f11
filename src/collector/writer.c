/* writer.c: States and steps of the conversation with the database. See writer.h for what belongs here. */
#include "collector/writer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "collector/waiting.h"
#include "collector/writer_put.h"
#include "collector/writer_statements.h"
#include "collector/writer_turn.h"
#include "core/schedule.h"

#define CONNECT_DEADLINE_MS 15000
#define FLUSH_DEADLINE_MS   15000
#define RETRY_FLOOR_MS      1000
#define OPERATOR_FLOOR_MS   15000
#define RETRY_CEILING_MS    60000
#define GOOD_NEWS           "the database takes rows again"

static void
report(struct writer *w, struct sqlstate_advice advice, int64_t now_ms)
{
	bool slow = advice.remedy == REMEDY_OPERATOR;
	const char *hint = w->hint[0] ? w->hint : advice.hint ? advice.hint : "";

	problem_occurred(&w->problem, slow ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, now_ms, w->message,
					 "the database does not take rows, they are kept: %s%s%s%s%s%s%s%s; trying again %s",
					 advice.problem ? advice.problem : "", advice.problem ? ": " : "", w->message,
					 w->sqlstate[0] ? " (SQLSTATE " : "", w->sqlstate, w->sqlstate[0] ? ")" : "",
					 hint[0] ? "; hint: " : "", hint, slow ? "each minute" : "with growing pauses");
}

/* Something failed; `w->sqlstate` and `w->message` say what. Whether the connection is of use any more is the caller's. */
static void
back_off(struct writer *w, int64_t now_ms)
{
	struct sqlstate_advice advice = advice_for_sqlstate(w->sqlstate);
	int64_t floor = advice.remedy == REMEDY_OPERATOR ? OPERATOR_FLOOR_MS : RETRY_FLOOR_MS;

	report(w, advice, now_ms);
	if (strcmp(w->sqlstate, "57014") == 0)
		turn_be_patient(w);
	batch_clear(&w->batch);
	turn_release_memory(w); /* an outage may last */
	w->bad_row[0] = '\0';
	w->put_refusals = 0;
	w->greeted = false; /* the next try begins with the newest sample */
	w->bare = false;
	w->gave_up = w->last_chance;
	w->state = w->conn ? WRITER_IDLE : WRITER_DOWN;
	w->wake_ms = now_ms + backoff_ms(w->attempt, floor, RETRY_CEILING_MS, (uint32_t) random());
	if (w->attempt < 30)
		w->attempt++;
}

static void
set_error(struct writer *w, const char *sqlstate, const char *message, const char *hint)
{
	snprintf(w->sqlstate, sizeof w->sqlstate, "%s", sqlstate ? sqlstate : "");
	slice_printable(slice_of(message ? message : "the connection was lost"), w->message, sizeof w->message);
	slice_printable(slice_of(hint ? hint : ""), w->hint, sizeof w->hint);
	size_t len = strlen(w->hint);
	if (len > 0 && w->hint[len - 1] == '.')
		w->hint[len - 1] = '\0'; /* the line goes on */
}

static void
set_result_error(struct writer *w, const PGresult *res)
{
	set_error(w, PQresultErrorField(res, PG_DIAG_SQLSTATE), PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY),
			  PQresultErrorField(res, PG_DIAG_MESSAGE_HINT));
}

/* The connection is of no use any more. What an earlier result said about it (a server that shuts down) counts more. */
static void
lose_connection(struct writer *w, const char *why, int64_t now_ms)
{
	if (!w->sqlstate[0])
		set_error(w, NULL, why, NULL);
	PQfinish(w->conn);
	w->conn = NULL;
	back_off(w, now_ms);
}

static void
lose_broken_connection(struct writer *w, int64_t now_ms)
{
	char message[300], sqlstate[6];

	clean_message(PQerrorMessage(w->conn), message, sizeof message, sqlstate);
	lose_connection(w, message, now_ms);
}

/* Whether what follows a step depends on its answer. */
static bool
is_awaited(enum writer_step step)
{
	return step == STEP_PUT || step == STEP_BATCH || step == STEP_COMMIT || step == STEP_ROLLBACK;
}

/*
 * Sends a step, and with it all that follow up to one whose answer is awaited. So COMMIT goes with the rows: when it can arrive, the
 * transaction has the lock of _begin_batch() already, which a greeting waits for.
 */
static void
send_steps(struct writer *w, enum writer_step step, int64_t now_ms)
{
	bool sent = true;

	w->state = WRITER_BUSY;
	w->sent_count = w->answered = 0;
	for (w->step = step; sent && w->step != STEP_DONE; w->step = turn_step_after(w)) {
		if ((w->step == STEP_COMMIT || w->step == STEP_PUT) && !w->greeting &&
			batch_last(&w->batch) > w->mine)
			w->mine = batch_last(&w->batch);
		w->in_transaction |= w->step == STEP_BEGIN;
		sent = writer_send(w);
		w->sent[w->sent_count++] = (struct sent){w->step, w->kind, w->params.rows};
		if (is_awaited(w->step))
			break;
	}
	if (!sent || !PQpipelineSync(w->conn))
		lose_broken_connection(w, now_ms);
}

static void
begin_transaction(struct writer *w, bool greeting, enum writer_step first, int64_t now_ms)
{
	w->greeting = greeting;
	w->deadline_ms = now_ms + FLUSH_DEADLINE_MS;
	w->sqlstate[0] = '\0';
	w->in_transaction = false;
	w->now = (struct batch_counts){0, 0, 0, 0};
	send_steps(w, first, now_ms);
}

static void
flush(struct writer *w, int64_t now_ms)
{
	if (turn_take(w, now_ms))
		begin_transaction(w, false, put_prepare(w) ? STEP_PUT : STEP_BEGIN, now_ms);
}

/* Asks for the number of the last batch: without it nothing can be sent. */
static void
greet(struct writer *w, int64_t now_ms)
{
	begin_transaction(w, true, turn_take_fresh(w) ? STEP_BEGIN : STEP_BATCH, now_ms);
}

static void
transaction_done(struct writer *w, int64_t now_ms)
{
	w->state = WRITER_IDLE;
	w->put_refusals = 0;
	if (w->greeting)
		turn_greeted(w, now_ms);
	else if (w->reply.accepted)
		turn_flushed(w, now_ms);
	else
		turn_refused(w, now_ms);
	if (w->attempt == 0 && spool_acked(w->spool) >= w->target)
		problem_over(&w->problem, now_ms, GOOD_NEWS);
}

/* A statement failed, its transaction is gone, the connection is fine. */
static void
after_failure(struct writer *w, int64_t now_ms)
{
	bool bad = advice_for_sqlstate(w->sqlstate).remedy == REMEDY_QUARANTINE;

	if (bad && w->failed_step == STEP_ROWS) {
		turn_narrow(w);
		if (w->greeting)
			greet(w, now_ms);
		else
			flush(w, now_ms);
	} else if (bad && w->failed_step == STEP_PUT) {
		put_refused(w, true);
		flush(w, now_ms);
	} else if (bad && w->failed_step == STEP_QUARANTINE && !w->bare) {
		w->bare = true;
		flush(w, now_ms);
	} else {
		back_off(w, now_ms);
	}
}

static void
step_succeeded(struct writer *w, int64_t now_ms)
{
	if (w->step == STEP_ROLLBACK) {
		after_failure(w, now_ms);
		return;
	}
	if (w->step == STEP_PUT && !w->put_done) {
		put_refused(w, false);
		flush(w, now_ms);
		return;
	}
	enum writer_step next = w->step == STEP_BATCH ? turn_step_after(w) : STEP_DONE;
	if (next == STEP_DONE)
		transaction_done(w, now_ms);
	else
		send_steps(w, next, now_ms);
}

static void
step_failed(struct writer *w, int64_t now_ms)
{
	if (PQstatus(w->conn) != CONNECTION_OK || w->step == STEP_ROLLBACK) {
		lose_broken_connection(w, now_ms);
		return;
	}
	w->failed_step = w->step;
	if (PQtransactionStatus(w->conn) == PQTRANS_IDLE)
		after_failure(w, now_ms); /* a greeting, or a COMMIT that was refused */
	else
		send_steps(w, STEP_ROLLBACK, now_ms);
}

/* Notes what a result of w->step says. COMMIT of a failed transaction "succeeds" as ROLLBACK. */
static bool
read_result(struct writer *w, const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		set_result_error(w, res);
		return false;
	}
	if (w->step == STEP_PUT)
		w->put_done = put_read(w, res);
	if (w->step == STEP_BATCH)
		writer_read_reply(w, res);
	if (w->step == STEP_ROWS)
		writer_read_counts(w, w->sent[w->answered].rows, res);
	if (w->step == STEP_POSITIONS)
		writer_read_positions(w, res);
	if (w->step == STEP_COMMIT && strcmp(PQcmdStatus((PGresult *) res), "COMMIT") != 0) {
		set_error(w, "40000", "the transaction was rolled back", NULL);
		return false;
	}
	return true;
}

static void
take_result(struct writer *w, const PGresult *res)
{
	w->step = w->sent[w->answered].step;
	w->kind = w->sent[w->answered].kind;
	w->step_failed = !read_result(w, res);
}

static void
all_answered(struct writer *w, int64_t now_ms)
{
	bool failed = w->step_failed;

	w->step_failed = false;
	if (failed)
		step_failed(w, now_ms);
	else
		step_succeeded(w, now_ms);
}

/* Takes the results of the statements under way as far as they have come, and goes on when they are complete. */
static void
receive(struct writer *w, int64_t now_ms)
{
	if (!PQconsumeInput(w->conn) || PQflush(w->conn) < 0) {
		/* The server's last words (why it ended the connection) may have come before the end. */
		PGresult *res = PQisBusy(w->conn) ? NULL : PQgetResult(w->conn);
		if (res && PQresultStatus(res) == PGRES_FATAL_ERROR && !w->sqlstate[0])
			set_result_error(w, res);
		PQclear(res);
		lose_broken_connection(w, now_ms);
		return;
	}
	while (w->state == WRITER_BUSY && !PQisBusy(w->conn)) {
		PGresult *res = PQgetResult(w->conn);
		ExecStatusType status = PQresultStatus(res);
		if (!res && w->answered == w->sent_count)
			break;
		if (!res)
			w->answered++;
		else if (status == PGRES_PIPELINE_SYNC)
			all_answered(w, now_ms);
		else if (!w->step_failed) /* else PGRES_PIPELINE_ABORTED: it was not run */
			take_result(w, res);
		PQclear(res);
	}
	if (w->state == WRITER_BUSY && PQstatus(w->conn) != CONNECTION_OK)
		lose_broken_connection(w, now_ms);
}

static void
go_on_connecting(struct writer *w, enum connector_state state, int64_t now_ms)
{
	if (state == CONNECTOR_WORKING) {
		w->state = WRITER_CONNECTING;
		return;
	}
	if (state == CONNECTOR_FAILED) {
		set_error(w, w->connector.sqlstate, w->connector.message, NULL);
		back_off(w, now_ms);
		return;
	}
	w->conn = w->connector.conn;
	w->connector.conn = NULL;
	w->greeted = w->step_failed = false;
	w->fresh_refused = false;
	PQenterPipelineMode(w->conn); /* for good: where that fails, so does what is sent */
	greet(w, now_ms);
}

static void
out_of_time(struct writer *w, int64_t now_ms)
{
	if (w->state == WRITER_CONNECTING) {
		connector_stop(&w->connector);
		set_error(w, NULL, "no connection within 15 s", NULL);
		back_off(w, now_ms);
		return;
	}
	w->sqlstate[0] = '\0';
	turn_be_patient(w);
	/* No PQcancel(): it would wait. The server rolls back when it notices that the socket is closed. */
	lose_connection(w, "no answer within 15 s", now_ms);
}

/* An idle connection became readable: the server closed it, or has something to say that nobody asked for. */
static void
look_at_idle_connection(struct writer *w, int64_t now_ms)
{
	PGresult *res;

	w->sqlstate[0] = '\0';
	bool alive = PQconsumeInput(w->conn);
	while (!PQisBusy(w->conn) && (res = PQgetResult(w->conn)) != NULL) {
		read_result(w, res);
		PQclear(res);
	}
	if (alive && PQstatus(w->conn) == CONNECTION_OK)
		return;
	PQfinish(w->conn);
	w->conn = NULL;
	/* No news yet: servers restart. Whether it is a problem shows when it is needed. */
	w->state = WRITER_DOWN;
	w->wake_ms = now_ms + backoff_ms(0, RETRY_FLOOR_MS, RETRY_CEILING_MS, (uint32_t) random());
	batch_clear(&w->batch);
}

static void
speak(struct writer *w, int64_t now_ms)
{
	if (!w->greeted || turn_fresh_is_due(w, now_ms))
		greet(w, now_ms);
	else if (now_ms >= turn_due_ms(w))
		flush(w, now_ms);
}

void
writer_run(struct writer *w, bool ready, int64_t now_ms)
{
	if (w->state == WRITER_CONNECTING && ready)
		go_on_connecting(w, connector_step(&w->connector), now_ms);
	else if (w->state == WRITER_BUSY && ready)
		receive(w, now_ms);
	else if (w->state == WRITER_IDLE && ready)
		look_at_idle_connection(w, now_ms);
	if ((w->state == WRITER_CONNECTING || w->state == WRITER_BUSY) && now_ms >= w->deadline_ms)
		out_of_time(w, now_ms);
	if (w->state == WRITER_DOWN && now_ms >= w->wake_ms) {
		w->deadline_ms = now_ms + CONNECT_DEADLINE_MS;
		go_on_connecting(w, connector_start(&w->connector, w->url), now_ms);
	}
	if (w->state == WRITER_IDLE && now_ms >= w->wake_ms)
		speak(w, now_ms);
	if (w->state == WRITER_BUSY && PQflush(w->conn) < 0)
		lose_broken_connection(w, now_ms);
}

int
writer_fd(const struct writer *w, short *events)
{
	if (w->state == WRITER_CONNECTING)
		return connector_fd(&w->connector, events);
	*events = POLLIN;
	if (w->state == WRITER_BUSY && PQflush(w->conn) == 1)
		*events |= POLLOUT;
	return w->conn ? PQsocket(w->conn) : -1;
}

int64_t
writer_wake_ms(const struct writer *w)
{
	if (w->state == WRITER_DOWN || (w->state == WRITER_IDLE && !w->greeted))
		return w->wake_ms;
	if (w->state != WRITER_IDLE)
		return w->deadline_ms;
	int64_t due = turn_due_ms(w);
	return due > w->wake_ms ? due : w->wake_ms;
}

void
writer_init(struct writer *w, struct spool *spool, const char *url, const char *vps_name,
			const char *app_name, const char *agent_id, int interval_s)
{
	*w = (struct writer){.spool = spool,
						 .url = url,
						 .vps_name = vps_name,
						 .app_name = app_name,
						 .agent_id = agent_id,
						 .interval_s = interval_s,
						 .connector.resolver.fd = -1,
						 .batch.bytes = STRBUF_INIT};
	turn_init(w);
}

bool
writer_pending(const struct writer *w)
{
	return spool_last(w->spool) > spool_acked(w->spool);
}

bool
writer_database_known(const struct writer *w)
{
	return w->known;
}

int64_t
writer_boost_until_us(const struct writer *w)
{
	return w->reply.boost_until_us ? w->reply.boost_until_us + w->offset_us : 0;
}

void
writer_retry_now(struct writer *w, const char *new_url, int64_t now_ms)
{
	if (new_url) {
		if (w->state == WRITER_CONNECTING)
			connector_stop(&w->connector);
		PQfinish(w->conn);
		w->conn = NULL;
		batch_clear(&w->batch);
		w->url = new_url;
		w->state = WRITER_DOWN;
	}
	w->attempt = 0;
	if (w->state == WRITER_DOWN || w->state == WRITER_IDLE)
		w->wake_ms = now_ms;
}

void
writer_last_chance(struct writer *w, int64_t now_ms)
{
	w->last_chance = true;
	if ((w->state == WRITER_DOWN || w->state == WRITER_IDLE) && w->wake_ms > now_ms)
		w->wake_ms = now_ms;
}

bool
writer_finished(const struct writer *w)
{
	return w->last_chance && (!writer_pending(w) || w->gave_up);
}

void
writer_close(struct writer *w)
{
	if (w->state == WRITER_IDLE)
		PQfinish(w->conn);
	w->conn = NULL;
	w->state = WRITER_DOWN;
	batch_free(&w->batch);
	sink_free(&w->params);
	shapes_forget(&w->shapes);
}
