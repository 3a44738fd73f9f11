/* writer_statements.c: Parameters and answers of each statement. See writer_statements.h for what belongs here. */
#include "collector/writer_statements.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/clock.h"
#include "collector/encode.h"
#include "collector/statements.h"
#include "collector/version.h"

#define INSERT_PARAMS (3 + METRICS)

void
build_insert(struct strbuf *out)
{
	static const char *const type[] = {
		[METRIC_REAL] = "real", [METRIC_INTEGER] = "integer", [METRIC_BIGINT] = "bigint"};

	strbuf_puts(out, SQL_INSERT_HEAD);
	for (int m = 0; m < METRICS; m++)
		strbuf_printf(out, ", %s", metric_columns[m].name);
	strbuf_puts(out, SQL_INSERT_SELECT);
	for (int m = 0; m < METRICS; m++)
		strbuf_printf(out, ", $%d::%s[]", m + 4, type[metric_columns[m].type]);
	strbuf_puts(out, SQL_INSERT_TAIL);
}

static bool
send_begin_batch(struct writer *w, bool greeting)
{
	const struct batch *b = w->batch;
	char seq[24], interval[24], clamped[24], quarantined[24], dropped[24], duplicates[24];
	struct strbuf sent_at = STRBUF_INIT;

	w->sent_at_us = clock_us(CLOCK_REALTIME);
	encode_timestamp(&sent_at, w->sent_at_us);
	snprintf(seq, sizeof seq, "%lld", greeting ? 0LL : (long long) b->seq);
	snprintf(interval, sizeof interval, "%d", w->interval_s * 1000);
	snprintf(clamped, sizeof clamped, "%lld", greeting ? 0LL : (long long) b->clamped);
	snprintf(quarantined, sizeof quarantined, "%lld", greeting ? 0LL : (long long) b->quarantined);
	snprintf(dropped, sizeof dropped, "%lld", greeting ? 0LL : (long long) b->dropped);
	snprintf(duplicates, sizeof duplicates, "%lld", greeting ? 0LL : (long long) b->duplicates);
	const char *values[] = {w->agent_id, seq,     sent_at.data, w->vps_name, w->app_name, OBSERV_VERSION,
							interval,    clamped, quarantined,  dropped,     duplicates};
	bool ok = !sent_at.failed &&
			  PQsendQueryParams(w->conn, SQL_BEGIN_BATCH, BEGIN_BATCH_PARAMS, NULL, values, NULL, NULL, 0);
	strbuf_free(&sent_at);
	return ok;
}

/* One array literal per column, all in one buffer; `start` gets where each begins. */
static void
encode_columns(const struct batch *b, int rows, struct strbuf *out, size_t *start)
{
	start[0] = 0;
	strbuf_putc(out, '{');
	for (int r = 0; r < rows; r++) {
		strbuf_puts(out, r ? ",\"" : "\"");
		encode_timestamp(out, b->row[r].timestamp_us);
		strbuf_putc(out, '"');
	}
	for (int m = 0; m < METRICS; m++) {
		strbuf_add(out, "}", 2); /* with its terminator */
		start[m + 1] = out->len;
		strbuf_putc(out, '{');
		for (int r = 0; r < rows; r++) {
			if (r)
				strbuf_putc(out, ',');
			encode_value(out, &b->row[r], m, "NULL");
		}
	}
	strbuf_putc(out, '}');
}

static bool
send_insert(struct writer *w)
{
	const char *values[INSERT_PARAMS] = {w->vps_name, w->app_name};
	size_t start[METRICS + 1];
	struct strbuf text = STRBUF_INIT;
	bool ok = false;

	encode_columns(w->batch, w->batch->count - (int) w->batch->now_quarantined, &text, start);
	if (!text.failed) {
		for (int i = 0; i <= METRICS; i++)
			values[2 + i] = text.data + start[i];
		ok = PQsendQueryParams(w->conn, w->insert_sql.data, INSERT_PARAMS, NULL, values, NULL, NULL, 0);
	}
	strbuf_free(&text);
	return ok;
}

static bool
send_quarantine(struct writer *w)
{
	const struct batch *b = w->batch;
	struct strbuf reasons = STRBUF_INIT, rows = STRBUF_INIT, row = STRBUF_INIT;
	bool ok = false;

	for (int r = b->count - (int) b->now_quarantined; r < b->count; r++) {
		strbuf_putc(&reasons, reasons.len ? ',' : '{');
		encode_array_element(&reasons, b->bad_row[0] ? b->bad_row : "timestamp is too far in the past");
		strbuf_reset(&row);
		encode_json(&row, &b->row[r], w->vps_name, w->app_name);
		strbuf_putc(&rows, rows.len ? ',' : '{');
		encode_array_element(&rows, row.data ? row.data : "");
	}
	strbuf_putc(&reasons, '}');
	strbuf_putc(&rows, '}');
	if (!reasons.failed && !rows.failed && !row.failed) {
		const char *values[] = {w->vps_name, w->app_name, reasons.data, rows.data};
		ok = PQsendQueryParams(w->conn, SQL_QUARANTINE, 4, NULL, values, NULL, NULL, 0);
	}
	strbuf_free(&reasons);
	strbuf_free(&rows);
	strbuf_free(&row);
	return ok;
}

bool
writer_send(struct writer *w, enum writer_step step)
{
	switch (step) {
	case STEP_GREETING:
		return send_begin_batch(w, true);
	case STEP_BEGIN:
		return PQsendQuery(w->conn, SQL_BEGIN);
	case STEP_BATCH:
		return send_begin_batch(w, false);
	case STEP_INSERT:
		return send_insert(w);
	case STEP_QUARANTINE:
		return send_quarantine(w);
	case STEP_COMMIT:
		return PQsendQuery(w->conn, SQL_COMMIT);
	case STEP_ROLLBACK:
		return PQsendQuery(w->conn, SQL_ROLLBACK);
	}
	return false;
}

static int64_t
number_at(const PGresult *res, int column, int64_t if_null)
{
	if (column >= PQnfields(res) || PQgetisnull(res, 0, column))
		return if_null;
	return strtoll(PQgetvalue(res, 0, column), NULL, 10);
}

void
writer_read_reply(struct writer *w, const PGresult *res)
{
	int64_t received_us = clock_us(CLOCK_REALTIME);
	struct batch_reply *reply = &w->reply;

	if (PQntuples(res) != 1)
		return;
	reply->accepted = PQgetvalue(res, 0, 0)[0] == 't';
	reply->last_seq = number_at(res, 1, 0);
	reply->server_time_us = number_at(res, 2, received_us);
	reply->accept_from_us = number_at(res, 3, INT64_MIN);
	reply->accept_until_us = number_at(res, 4, INT64_MAX);
	reply->backpressure_ms = number_at(res, 5, 0);
	if (reply->backpressure_ms < 0 || reply->backpressure_ms > 3600000)
		reply->backpressure_ms = reply->backpressure_ms < 0 ? 0 : 3600000;
	/* The server read its clock between the two readings of ours: the middle is the best guess. */
	w->offset_us = w->sent_at_us + (received_us - w->sent_at_us) / 2 - reply->server_time_us;
	w->offset_known = !PQgetisnull(res, 0, 2);
}

void
writer_count_duplicates(struct writer *w, const PGresult *res)
{
	int64_t sent = w->batch->count - w->batch->now_quarantined;

	/* As the command tag has it: "INSERT 0 n", where n are the rows that were not there yet. */
	w->batch->now_duplicates = sent - strtoll(PQcmdTuples((PGresult *) res), NULL, 10);
}

/* A row from the future is moved back by the clock's offset, at most to the server's time; ever earlier, so that no two meet. */
static void
clamp(const struct writer *w, struct row *row, int64_t *latest_us)
{
	row->timestamp_us -= w->offset_us > 0 ? w->offset_us : 0;
	if (row->timestamp_us > *latest_us)
		row->timestamp_us = *latest_us;
	*latest_us = row->timestamp_us - 1;
}

void
writer_sort_batch(struct writer *w)
{
	struct batch *b = w->batch;
	int64_t latest_us = w->reply.server_time_us;
	int good = b->count;

	for (int r = good - 1; r >= 0; r--) {
		struct row *row = &b->row[r];
		if (w->offset_known && isnan(row->value[M_CLOCK_OFFSET_MS]))
			row->value[M_CLOCK_OFFSET_MS] = round((double) w->offset_us / 1000);
		if (b->bad_row[0] || row->timestamp_us < w->reply.accept_from_us) {
			struct row bad = *row;
			*row = b->row[--good];
			b->row[good] = bad;
		} else if (row->timestamp_us > w->reply.accept_until_us) {
			clamp(w, row, &latest_us);
			b->now_clamped++;
		}
	}
	b->now_quarantined = b->count - good;
}
