/* writer_put.c: Rows of several kinds in one array. See writer_put.h for what belongs here. */
#include "collector/writer_put.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "collector/statements.h"
#include "collector/writer_statements.h"

#define PUT_RECORDS  32
#define PUT_BYTES    (64 * 1024)
#define PUT_ATTEMPTS 2          /* with shapes, without */
#define RECENT_US    3600000000 /* what is older may be too old, which the way in steps looks at */

static const bool has_key[RECORD_KINDS] = {
	[RECORD_METRICS] = true, [RECORD_HEALTH] = true, [RECORD_SAMPLES] = true, [RECORD_PEERS] = true};

/* Whether the database will store these as they are, for all we know. It looks again. */
static bool
fits(const struct writer *w)
{
	const struct batch_reply *reply = &w->reply;
	int64_t now_us = reply->server_time_us + clock_us(CLOCK_MONOTONIC) - w->replied_us;
	int64_t ahead_us =
		reply->accept_until_us == INT64_MAX ? 0 : reply->accept_until_us - reply->server_time_us;

	if (w->put_refusals >= PUT_ATTEMPTS || w->suspects > 0 || w->bad_row[0] || !w->offset_known ||
		w->batch.count > PUT_RECORDS || w->batch.bytes.len > PUT_BYTES)
		return false;
	for (int i = 0; i < w->batch.count; i++) {
		const struct batch_item *item = &w->batch.item[i];
		if (!has_key[item->kind] || item->timestamp_us > now_us + ahead_us ||
			item->timestamp_us < now_us - RECENT_US || item->timestamp_us < reply->accept_from_us)
			return false;
	}
	return true;
}

static void
add_fields(struct strbuf *row, const struct record *r)
{
	for (int f = 0; f < r->fields; f++) {
		strbuf_putc(row, ',');
		encode_array_item(row, r->field[f]);
	}
}

static bool
add_samples(struct writer *w, struct strbuf *row, const struct record *r)
{
	static const enum samples_field shape[] = {SAMPLES_NAMES, SAMPLES_LABELS, SAMPLES_KINDS};
	struct strbuf values = STRBUF_INIT;
	uint64_t hash;
	enum shape_use use = shapes_use(&w->shapes, r, &hash, &values);

	if (use != SHAPE_NONE) {
		strbuf_printf(row, ",%lld,", (long long) hash);
		encode_array_item(row, (struct slice){values.data, values.data + values.len});
	}
	for (size_t i = 0; use == SHAPE_FULL && i < sizeof shape / sizeof *shape; i++) {
		strbuf_putc(row, ',');
		encode_array_item(row, r->field[shape[i]]);
	}
	bool ok = use != SHAPE_NONE && !values.failed;
	strbuf_free(&values);
	return ok;
}

static bool
add_row(struct writer *w, int i, struct strbuf *row)
{
	char offset[24];
	struct record r;

	if (!batch_record(&w->batch, i, &r))
		return false;
	strbuf_reset(row);
	strbuf_printf(row, "{%d,%lld", (int) r.kind, (long long) (w->sent_at_us - r.timestamp_us));
	if (r.kind == RECORD_SAMPLES) {
		if (!add_samples(w, row, &r))
			return false;
	} else {
		writer_complete_metrics(w, &r, offset);
		add_fields(row, &r);
	}
	strbuf_putc(row, '}');
	return !row->failed;
}

bool
put_prepare(struct writer *w)
{
	static const struct batch_window any = {INT64_MIN, INT64_MAX, INT64_MAX, 0};
	struct strbuf *rows = &w->params.column[0], row = STRBUF_INIT;
	bool ok = fits(w);

	sink_begin(&w->params);
	shapes_begin_batch(&w->shapes);
	w->sent_at_us = clock_us(CLOCK_REALTIME);
	for (int i = 0; ok && i < w->batch.count; i++) {
		ok = add_row(w, i, &row);
		strbuf_putc(rows, i ? ',' : '{');
		if (ok)
			encode_array_item(rows, (struct slice){row.data, row.data + row.len});
	}
	strbuf_putc(rows, '}');
	strbuf_free(&row);
	if (!ok || rows->failed)
		return false;
	batch_sort(&w->batch, &any, false);
	return true;
}

bool
put_send(struct writer *w)
{
	return writer_send_batch(w, SQL_PUT, w->params.column[0].data);
}

bool
put_read(struct writer *w, const PGresult *res)
{
	const char *at = writer_read_reply(w, res);

	if (!at)
		return false;
	if (!w->reply.accepted)
		return true;
	int64_t metrics = encode_next_number(&at, 0), health = encode_next_number(&at, 0);
	w->now.duplicates = writer_unexpected(w, w->batch.to_store[RECORD_METRICS] - metrics) +
						w->batch.to_store[RECORD_HEALTH] - health + encode_next_number(&at, 0);
	w->now.clamped = encode_next_number(&at, 0);
	w->now.quarantined = encode_next_number(&at, 0);
	return true;
}

void
put_refused(struct writer *w, bool by_error)
{
	w->put_refusals += by_error ? PUT_ATTEMPTS : 1;
	shapes_forget(&w->shapes);
}
