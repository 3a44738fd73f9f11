/* writer_statements.c: Parameters and answers of each statement. See writer_statements.h for what belongs here. */
#include "collector/writer_statements.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "collector/statements.h"
#include "collector/version.h"
#include "collector/writer_put.h"
#include "core/row.h"

#define BACKPRESSURE_MAX_MS 3600000
#define SEQ_MAX             (INT64_C(1) << 62) /* begin_batch() takes none above; there has to be room for ours */

bool
writer_send_batch(struct writer *w, const char *sql, const char *rows)
{
	static const struct batch_counts none = {0, 0, 0, 0};
	const struct batch_counts *c = w->greeting ? &none : &w->reported;
	bool nothing = memcmp(c, &none, sizeof none) == 0;
	char seq[24], sent_at[24], interval[24], counts[100];

	snprintf(sent_at, sizeof sent_at, "%lld", (long long) w->sent_at_us);
	snprintf(seq, sizeof seq, "%lld", w->greeting ? 0LL : (long long) batch_last(&w->batch));
	snprintf(interval, sizeof interval, "%d", w->interval_s * 1000);
	snprintf(counts, sizeof counts, "{%lld,%lld,%lld,%lld}", (long long) c->clamped,
			 (long long) c->quarantined, (long long) c->dropped, (long long) c->duplicates);
	const char *values[PUT_PARAMS] = {w->agent_id, seq,
									  sent_at,     w->vps_name,
									  w->app_name, OBSERV_VERSION,
									  interval,    nothing ? NULL : counts,
									  rows};
	return PQsendQueryParams(w->conn, sql, rows ? PUT_PARAMS : BEGIN_BATCH_PARAMS, NULL, values, NULL, NULL,
							 0);
}

static bool
send_begin_batch(struct writer *w)
{
	w->sent_at_us = clock_us(CLOCK_REALTIME);
	return writer_send_batch(w, SQL_BEGIN_BATCH, NULL);
}

/* The context with the time that the line came with. What is there already under that name counts. */
static void
keep_original_time(struct record *line, int64_t timestamp_us, struct strbuf *context)
{
	struct slice old = line->field[LINE_CONTEXT], rest = old;

	strbuf_reset(context);
	strbuf_puts(context, "{\"observ.timestamp\": \"");
	encode_timestamp(context, timestamp_us);
	strbuf_putc(context, '"');
	if (old.p) {
		while (rest.p < rest.end && strchr(" \t\r\n", *rest.p))
			rest.p++;
		if (rest.p == rest.end || *rest.p != '{')
			return; /* no object: nowhere to put it */
		for (rest.p++; rest.p < rest.end && strchr(" \t\r\n", *rest.p);)
			rest.p++;
		if (rest.p < rest.end && *rest.p != '}')
			strbuf_puts(context, ", ");
		strbuf_add(context, rest.p, (size_t) (rest.end - rest.p));
	} else {
		strbuf_putc(context, '}');
	}
	if (!context->failed)
		line->field[LINE_CONTEXT] = (struct slice){context->data, context->data + context->len};
}

void
writer_complete_metrics(const struct writer *w, struct record *r, char offset[24])
{
	if (r->kind == RECORD_METRICS && w->offset_known && !r->field[M_CLOCK_OFFSET_MS].p) {
		int64_t ms = (w->offset_us + (w->offset_us < 0 ? -500 : 500)) / 1000;
		snprintf(offset, 24, "%lld", (long long) ms);
		record_set(r, M_CLOCK_OFFSET_MS, offset);
	}
}

static bool
send_params(struct writer *w, const char *sql, enum record_kind kind)
{
	const char *values[SINK_PARAMS_MAX];
	int count = sink_finish(&w->params, kind, w->vps_name, w->app_name, w->agent_id, values);

	return count > 0 && PQsendQueryParams(w->conn, sql, count, NULL, values, NULL, NULL, 0);
}

static bool
send_rows(struct writer *w)
{
	struct strbuf context = STRBUF_INIT;
	char offset[24];
	struct record r;
	bool ok = true;

	sink_begin(&w->params);
	for (int i = 0; ok && i < w->batch.count; i++) {
		const struct batch_item *item = &w->batch.item[i];
		if (item->kind != w->kind || item->quarantined)
			continue;
		ok = batch_record(&w->batch, i, &r);
		writer_complete_metrics(w, &r, offset);
		if (r.kind == RECORD_LOG && item->clamped)
			keep_original_time(&r, item->original_us, &context);
		ok &= !context.failed;
		sink_add(&w->params, &r);
	}
	strbuf_free(&context);
	return ok && send_params(w, sinks[w->kind].sql, w->kind);
}

static void
add_text(struct strbuf *column, const char *text)
{
	strbuf_putc(column, column->len ? ',' : '{');
	encode_array_item(column, text ? slice_of(text) : (struct slice){NULL, NULL});
}

static bool
send_quarantine(struct writer *w)
{
	const char *reason = w->bad_row[0] ? w->bad_row : "timestamp is too far in the past";
	struct strbuf row = STRBUF_INIT;
	struct record r;

	sink_begin(&w->params);
	for (int i = 0; i < w->batch.count; i++) {
		const struct batch_item *item = &w->batch.item[i];
		if (!item->quarantined || !batch_record(&w->batch, i, &r))
			continue;
		strbuf_reset(&row);
		sink_json(&row, &r, w->vps_name, w->app_name);
		add_text(&w->params.column[2], sinks[r.kind].table);
		add_text(&w->params.column[3], reason);
		add_text(&w->params.column[4], w->bare || row.failed ? NULL : row.data);
	}
	strbuf_free(&row);
	return send_params(w, SQL_QUARANTINE, RECORD_METRICS);
}

static bool
send_plain(struct writer *w, const char *sql)
{
	return PQsendQueryParams(w->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
}

bool
writer_send(struct writer *w)
{
	switch (w->step) {
	case STEP_BEGIN:
		return send_plain(w, SQL_BEGIN);
	case STEP_PUT:
		return put_send(w);
	case STEP_BATCH:
		return send_begin_batch(w);
	case STEP_ROWS:
		return send_rows(w);
	case STEP_QUARANTINE:
		return send_quarantine(w);
	case STEP_POSITIONS:
		return PQsendQueryParams(w->conn, SQL_READ_POSITIONS, 1, NULL, &w->agent_id, NULL, NULL, 0);
	case STEP_COMMIT:
		return send_plain(w, SQL_COMMIT);
	case STEP_ROLLBACK:
		return send_plain(w, SQL_ROLLBACK);
	case STEP_DONE:
		break;
	}
	return false;
}

const char *
writer_read_reply(struct writer *w, const PGresult *res)
{
	int64_t received_us = clock_us(CLOCK_REALTIME);
	struct batch_reply *reply = &w->reply;

	if (PQntuples(res) != 1 || PQnfields(res) != 1 || PQgetisnull(res, 0, 0))
		return NULL;
	const char *at = PQgetvalue(res, 0, 0);
	reply->accepted = encode_next_number(&at, 0) == 1;
	reply->last_seq = encode_next_number(&at, 0);
	if (reply->last_seq > SEQ_MAX)
		reply->last_seq = SEQ_MAX;
	reply->server_time_us = encode_next_number(&at, INT64_MIN);
	reply->accept_from_us = encode_next_number(&at, INT64_MIN);
	reply->accept_until_us = encode_next_number(&at, INT64_MAX);
	reply->boost_until_us = encode_next_number(&at, 0);
	reply->backpressure_ms = encode_next_number(&at, 0);
	if (reply->backpressure_ms < 0)
		reply->backpressure_ms = 0;
	if (reply->backpressure_ms > BACKPRESSURE_MAX_MS)
		reply->backpressure_ms = BACKPRESSURE_MAX_MS;
	/* The server read its clock between the two readings of ours: the middle is the best guess. */
	w->replied_us = clock_us(CLOCK_MONOTONIC);
	w->offset_known = reply->server_time_us != INT64_MIN;
	if (w->offset_known)
		w->offset_us = w->sent_at_us + (received_us - w->sent_at_us) / 2 - reply->server_time_us;
	else
		reply->server_time_us = received_us;
	return at;
}

int64_t
writer_unexpected(const struct writer *w, int64_t duplicates)
{
	for (int i = 0; i < w->fresh_count && duplicates > 0; i++)
		if (w->fresh[i] <= batch_last(&w->batch))
			duplicates--;
	return duplicates;
}

void
writer_read_counts(struct writer *w, int rows, const PGresult *res)
{
	struct sink_counts counts = sink_read_answer(w->kind, rows, res);

	if (w->kind == RECORD_METRICS)
		counts.duplicates = writer_unexpected(w, counts.duplicates);
	w->now.duplicates += counts.duplicates;
	w->now.clamped += counts.clamped;
	w->now.quarantined += counts.quarantined;
}

void
writer_read_positions(struct writer *w, const PGresult *res)
{
	/* What is delivered, the spool's positions say no better than these. */
	if (w->reply.last_seq <= w->mine)
		spool_ack(w->spool, w->reply.last_seq);
	else if (spool_is_behind(w->spool, w->reply.last_seq))
		spool_catch_up(w->spool, w->reply.last_seq);
	for (int i = 0; i < PQntuples(res); i++)
		spool_set_position(w->spool, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1));
}
