/*
 * Channels as they stand: what each may be sent now, and whether a test by hand has shown that they work again. What does not belong here: what is sent, in which order.
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

/* At a time, of a kind that has no limit of its own. */
#define MANY 10000

/* The earliest of each lane: a probe of an index per channel, however much waits there. */
#define FIRST_IN(lane)                                                                                       \
	"(SELECT d.due_at FROM observ_data.deliveries d WHERE d.lane = " lane " AND d.channel = c.name "         \
	"ORDER BY d.due_at LIMIT 1)"

static const char channels_sql[] =
	"SELECT c.name, c.kind, c.rate_limit, c.burst, s.blocked_until, s.tokens, s.tokens_at, s.failures, "
	"s.claimed_at, " FIRST_IN("0") ", " FIRST_IN("1") " FROM observ.notification_channels c LEFT JOIN "
													  "observ_data.channel_state s ON s.channel = c.name "
													  "WHERE c.enabled AND c.kind IS NOT NULL";

static const char sending_sql[] =
	"SELECT channel, count(*)::int FROM observ_data.deliveries WHERE lane = 2 GROUP BY channel";

static const char claimed_sql[] =
	"INSERT INTO observ_data.channel_state AS s (channel, claimed_at, tokens, tokens_at) "
	"SELECT n.channel, n.at, nullif(n.tokens, 'NaN'), nullif(n.tokens_at, '-infinity') "
	"FROM unnest($1, $2, $3, $4) n (channel, at, tokens, tokens_at) "
	"ON CONFLICT (channel) DO UPDATE SET claimed_at = excluded.claimed_at, tokens = excluded.tokens, "
	"tokens_at = excluded.tokens_at";

static const char failing_sql[] =
	"SELECT FROM observ_data.channel_state WHERE failures > 0 OR blocked_until IS NOT NULL LIMIT 1";

/*
 * What was changed since its last failure, or a test by hand got through. Whoever changes or tests it must not write this: their transaction may last,
 * and the notifier would wait for it. Asked for only while a channel fails: a claim that reads attempts waits for retention, and retention for it.
 */
static const char mended_sql[] =
	"UPDATE observ_data.channel_state s SET blocked_until = NULL, failures = 0, "
	"last_success_at = CASE WHEN s.channel_xmin <> c.xmin THEN s.last_success_at ELSE $1 END "
	"FROM observ.notification_channels c WHERE c.name = s.channel "
	"AND (s.failures > 0 OR s.blocked_until IS NOT NULL) AND (s.channel_xmin <> c.xmin "
	"OR s.failures > 0 AND EXISTS (SELECT FROM observ.notification_attempts a WHERE a.notification_id IS "
	"NULL "
	"AND a.channel = s.channel AND a.outcome = 'sent' AND a.\"timestamp\" > s.last_failure_at))";

static void
set_bucket(OutboxChannel *c, uint64 row)
{
	bool no_limit, no_burst, full;
	int per_minute = DatumGetInt32(observ_spi_value(row, 3, &no_limit));
	int burst = DatumGetInt32(observ_spi_value(row, 4, &no_burst));
	Datum tokens = observ_spi_value(row, 6, &full);

	c->rules.per_minute = no_limit ? c->kind->rate_limit : per_minute;
	c->rules.burst = !no_burst ? burst : no_limit ? c->kind->burst : Max(1, per_minute / 10);
	c->bucket.tokens = full ? NAN : DatumGetFloat8(tokens);
	c->bucket.at_us = observ_spi_time(row, 7);
}

static bool
set_channel(OutboxChannel *c, uint64 row)
{
	char *kind = observ_spi_text(row, 2);

	*c = (OutboxChannel){.name = observ_spi_text(row, 1), .kind = observ_channel_kind(kind)};
	if (c->kind == NULL)
		return false;
	set_bucket(c, row);
	c->blocked_until = observ_spi_time(row, 5);
	c->failures = observ_spi_int32(row, 8);
	c->claimed_at = observ_spi_time(row, 9);
	c->first[LANE_EMERGENCY] = observ_spi_time_or(row, 10, DT_NOEND);
	c->first[LANE_OTHER] = observ_spi_time_or(row, 11, DT_NOEND);
	return Min(c->first[0], c->first[1]) != DT_NOEND;
}

static void
count_sending(OutboxChannel *channels, int n)
{
	static SPIPlanPtr plan = NULL;
	uint64 found = observ_spi_kept(&plan, SPI_OK_SELECT, sending_sql, 0, NULL, NULL, NULL);

	for (uint64 row = 0; row < found; row++) {
		char *name = observ_spi_text(row, 1);

		for (int i = 0; i < n; i++)
			if (strcmp(channels[i].name, name) == 0)
				channels[i].sending = observ_spi_int32(row, 2);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* How many tokens there are, by taking them out of a copy. */
static int
tokens_now(const OutboxChannel *c, int at_most, TimestampTz at)
{
	struct token_bucket copy = c->bucket;
	int n = 0;

	while (n < at_most && token_bucket_take(&copy, &c->rules, at))
		n++;
	return n;
}

/* Sets its room; returns when it is to be looked at again if there is none. */
static TimestampTz
set_room(OutboxChannel *c, int free, TimestampTz at)
{
	TimestampTz first = Min(c->first[0], c->first[1]);
	int concurrency = c->kind->concurrency > 0 ? c->kind->concurrency : MANY;

	if (c->failures >= OUTBOX_BROKEN_AFTER)
		concurrency = 1;
	if (first > at || c->blocked_until > at)
		return Max(first, c->blocked_until);
	if (c->sending >= concurrency || (c->sending > 0 && c->sending >= free))
		return DT_NOEND; /* whoever records the end of one looks again */
	c->room = tokens_now(c, concurrency - c->sending, at);
	return c->room > 0 ? DT_NOEND : at + token_bucket_wait_us(&c->bucket, &c->rules, at);
}

/* Emergencies first; then who has waited longest for its turn. */
static int
compare_turns(const void *a, const void *b)
{
	const OutboxChannel *x = a, *y = b;
	bool x_waits = x->first[LANE_EMERGENCY] != DT_NOEND, y_waits = y->first[LANE_EMERGENCY] != DT_NOEND;

	if (x_waits != y_waits)
		return x_waits ? -1 : 1;
	if (x->claimed_at != y->claimed_at)
		return x->claimed_at < y->claimed_at ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void
lift_blocks(TimestampTz at)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	static SPIPlanPtr failing = NULL, mended = NULL;

	if (observ_spi_kept(&failing, SPI_OK_SELECT, failing_sql, 0, NULL, NULL, NULL) > 0)
		observ_spi_kept(&mended, SPI_OK_UPDATE, mended_sql, 1, types, (Datum[]){TimestampTzGetDatum(at)},
						NULL);
}

OutboxChannel *
observ_outbox_channels(TimestampTz at, int free, int *n, TimestampTz *next_due)
{
	static SPIPlanPtr plan = NULL;
	OutboxChannel *channels;
	uint64 found;
	int waiting = 0;

	lift_blocks(at);
	found = observ_spi_kept(&plan, SPI_OK_SELECT, channels_sql, 0, NULL, NULL, NULL);
	channels = palloc(sizeof(OutboxChannel) * Max(found, 1));
	*n = 0;
	for (uint64 row = 0; row < found; row++)
		waiting += set_channel(&channels[waiting], row);
	SPI_freetuptable(SPI_tuptable);
	if (waiting > 0)
		count_sending(channels, waiting);
	for (int i = 0; i < waiting; i++) {
		*next_due = Min(*next_due, set_room(&channels[i], free, at));
		if (channels[i].room > 0)
			channels[(*n)++] = channels[i];
	}
	qsort(channels, *n, sizeof *channels, compare_turns);
	return channels;
}

void
observ_outbox_claimed(TimestampTz at, const OutboxChannel *channels, int n)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, FLOAT8OID, TIMESTAMPTZOID};
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(types, lengthof(types));

	for (int i = 0; i < n; i++)
		observ_row_batch_add(
			batch,
			(Datum[]){CStringGetTextDatum(channels[i].name), TimestampTzGetDatum(at),
					  Float8GetDatum(channels[i].bucket.tokens),
					  TimestampTzGetDatum(isnan(channels[i].bucket.tokens) ? DT_NOBEGIN
																		   : channels[i].bucket.at_us)},
			NULL);
	observ_row_batch_run(batch, &plan, SPI_OK_INSERT, claimed_sql);
}
