/*
 * How channels stand after attempts: left alone as they asked, and while they fail. What does not belong here: what a claim makes of it
 * (outbox_channels.c).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "core/retry_schedule.h"
#include "utils/timestamp.h"

typedef struct State {
	const char *channel;
	TimestampTz blocked_until, last_success_at, last_failure_at; /* DT_NOBEGIN: none */
	int failures;
	const char *last_error;
} State;

static const char read_sql[] =
	"SELECT n.channel, CASE WHEN s.channel_xmin <> c.xmin THEN NULL ELSE s.blocked_until END, "
	"CASE WHEN s.channel_xmin <> c.xmin THEN 0 ELSE s.failures END, "
	"s.last_success_at, s.last_failure_at, s.last_error "
	"FROM (SELECT DISTINCT channel FROM unnest($1) u (channel)) n "
	"LEFT JOIN observ_data.channel_state s ON s.channel = n.channel "
	"LEFT JOIN observ.notification_channels c ON c.name = n.channel";

static const char write_sql[] =
	"INSERT INTO observ_data.channel_state AS s (channel, blocked_until, failures, last_success_at, "
	"last_failure_at, last_error, channel_xmin) "
	"SELECT n.channel, nullif(n.blocked_until, '-infinity'), n.failures, nullif(n.success, '-infinity'), "
	"nullif(n.failure, '-infinity'), n.error, coalesce(c.xmin, '0') "
	"FROM unnest($1, $2, $3, $4, $5, $6) n (channel, blocked_until, failures, success, failure, error) "
	"LEFT JOIN observ.notification_channels c ON c.name = n.channel "
	"ON CONFLICT (channel) DO UPDATE SET blocked_until = excluded.blocked_until, failures = "
	"excluded.failures, "
	"last_success_at = excluded.last_success_at, last_failure_at = excluded.last_failure_at, "
	"last_error = excluded.last_error, channel_xmin = excluded.channel_xmin";
static const Oid write_types[] = {TEXTOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID};

/* What is wrong with the whole channel, not with one notification: a key that is no good, an address that is gone. */
static bool
refuses_everything(const DeliveryResult *r)
{
	return r->verdict.outcome == CHANNEL_DEAD &&
		   (r->status_code == 401 || r->status_code == 403 || r->status_code == 404 || r->status_code == 410);
}

/*
 * Attempts side by side that fail together are one failure: only what began after the failure before counts as another. Their waits are those of a
 * single notification; a channel that refuses is asked again after minutes.
 */
static void
note_failure(State *s, const DeliveryResult *r, TimestampTz at)
{
	TimestampTz began = r->ended_at - (TimestampTz) (Max(r->latency_ms, 0) * 1000), until = DT_NOBEGIN;

	if (began > s->last_failure_at)
		s->failures++;
	s->last_failure_at = Max(s->last_failure_at, r->ended_at);
	s->last_error = r->verdict.error;
	if (refuses_everything(r))
		until = at + Min(s->failures, 5) * USECS_PER_MINUTE;
	else if (s->failures >= OUTBOX_BROKEN_AFTER)
		until = at + retry_delay_ms(s->failures, retry_chance(r->notification_id, r->attempt)) * 1000;
	s->blocked_until = Max(s->blocked_until, until);
}

static void
note_result(State *s, const DeliveryResult *r, TimestampTz at)
{
	if (r->verdict.outcome == CHANNEL_SENT) {
		/* What it asked for holds, whatever else got through. */
		if (s->failures >= OUTBOX_BROKEN_AFTER)
			s->blocked_until = DT_NOBEGIN;
		s->failures = 0;
		s->last_success_at = Max(s->last_success_at, r->ended_at);
	} else if (r->verdict.outcome != CHANNEL_DEAD || refuses_everything(r))
		note_failure(s, r, at);
	if (r->verdict.retry_after_ms > 0)
		s->blocked_until = Max(s->blocked_until, at + r->verdict.retry_after_ms * 1000);
}

static State *
state_of(State *states, int n, const char *channel)
{
	for (int i = 0; i < n; i++)
		if (strcmp(states[i].channel, channel) == 0)
			return &states[i];
	return NULL;
}

void
observ_outbox_note_results(TimestampTz at, const DeliveryResult *results, int n)
{
	static const Oid types[] = {TEXTARRAYOID};
	static SPIPlanPtr read = NULL, write = NULL;
	ObservRowBatch *batch = observ_row_batch(write_types, lengthof(write_types));
	Datum *names = palloc(sizeof(Datum) * n);
	State *states;
	int n_states;

	for (int i = 0; i < n; i++)
		names[i] = CStringGetTextDatum(results[i].channel);
	n_states = (int) observ_spi_kept(&read, SPI_OK_SELECT, read_sql, 1, types,
									 (Datum[]){observ_array(names, n, TEXTOID)}, NULL);
	states = palloc(sizeof *states * Max(n_states, 1));
	for (int i = 0; i < n_states; i++)
		states[i] = (State){.channel = observ_spi_text((uint64) i, 1),
							.blocked_until = observ_spi_time((uint64) i, 2),
							.failures = observ_spi_int32((uint64) i, 3),
							.last_success_at = observ_spi_time((uint64) i, 4),
							.last_failure_at = observ_spi_time((uint64) i, 5),
							.last_error = observ_spi_text((uint64) i, 6)};
	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; i < n; i++)
		note_result(state_of(states, n_states, results[i].channel), &results[i], at);
	for (int i = 0; i < n_states; i++) {
		const State *s = &states[i];
		bool nulls[lengthof(write_types)] = {[5] = s->last_error == NULL};

		observ_row_batch_add(batch,
							 (Datum[]){CStringGetTextDatum(s->channel), TimestampTzGetDatum(s->blocked_until),
									   Int32GetDatum(s->failures), TimestampTzGetDatum(s->last_success_at),
									   TimestampTzGetDatum(s->last_failure_at),
									   CStringGetTextDatum(s->last_error == NULL ? "" : s->last_error)},
							 nulls);
	}
	observ_row_batch_run(batch, &write, SPI_OK_INSERT, write_sql);
}
