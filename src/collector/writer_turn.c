/* writer_turn.c: The writer's decisions. See writer_turn.h for what belongs here. */
#include "collector/writer_turn.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "collector/waiting.h"
#include "core/schedule.h"

#define REFUSED_PAUSE_MS    1000
#define FLUSH_LAG_MS        400 /* behind the tick of the samples, so that they are there */
#define FLUSH_BYTES         (256 * 1024)
#define BACKLOG_RATE        2000  /* records a second after an outage */
#define BACKLOG_JITTER_MS   30000 /* a fleet does not come back in one moment */
#define KEEP_BYTES          (64 * 1024)
#define FEW_RECORDS         100 /* are not counted in bytes */
#define UNREADABLE_PAUSE_MS 1000
#define UNREADABLE_MAX      60

void
turn_init(struct writer *w)
{
	w->limit = BATCH_RECORDS;
	w->mine = spool_last(w->spool);
	w->dropped_reported = spool_dropped(w->spool);
}

void
turn_be_patient(struct writer *w)
{
	if (!w->greeting && w->batch.count > 1)
		w->limit = w->batch.count / 2;
}

bool
turn_take(struct writer *w, int64_t now_ms)
{
	bool readable = w->batch.count > 0 || batch_take(&w->batch, w->spool, w->limit);

	if (w->batch.count == 0) {
		/* Memory or descriptors are short: it is all there. Else what had those numbers was damaged, which has been told. */
		w->wake_ms = now_ms + UNREADABLE_PAUSE_MS;
		if (readable && ++w->unreadable >= UNREADABLE_MAX)
			spool_ack(w->spool, spool_last(w->spool));
		return false;
	}
	w->unreadable = 0;
	if (w->target < spool_last(w->spool) && !w->backlog_end)
		w->target = spool_last(w->spool);
	if (batch_last(&w->batch) == spool_last(w->spool))
		spool_not_urgent(w->spool);
	w->reported = w->unreported;
	w->reported.dropped = spool_dropped(w->spool) - w->dropped_reported;
	return true;
}

bool
turn_take_fresh(struct writer *w)
{
	struct spool_state state;
	struct record r;
	int64_t number;

	batch_clear(&w->batch);
	spool_state(w->spool, &state);
	if (state.records < 2 || w->fresh_refused || w->fresh_count == FRESH_MAX ||
		!spool_newest_metrics(w->spool, &number, &r) ||
		(w->fresh_count > 0 && number <= w->fresh[w->fresh_count - 1]))
		return false;
	batch_take_one(&w->batch, number, &r);
	return w->batch.count > 0;
}

void
turn_release_memory(struct writer *w)
{
	if (w->batch.bytes.size + sink_memory(&w->params) < KEEP_BYTES)
		return;
	batch_free(&w->batch);
	sink_free(&w->params);
	malloc_trim(0);
}

/* Ticks keep to the wall clock, as those of the samples do. */
static void
plan_flush(struct writer *w, int64_t now_ms)
{
	int64_t wall = clock_us(CLOCK_REALTIME) / 1000, interval = (int64_t) w->interval_s * 1000;
	int64_t tick = next_tick_ms(wall - FLUSH_LAG_MS, INT64_MIN, interval, splay_ms(w->vps_name, interval));

	w->flush_ms = now_ms + tick + FLUSH_LAG_MS - wall;
}

/* Where the search for a bad record goes on: in what is left of the half, and then with ever more again. */
static void
widen(struct writer *w, int delivered)
{
	w->suspects -= delivered < w->suspects ? delivered : w->suspects;
	if (w->suspects > 0)
		w->limit = w->suspects > 1 ? w->suspects / 2 : 1;
	else if (w->limit < BATCH_RECORDS)
		w->limit = w->limit * 2 < BATCH_RECORDS ? w->limit * 2 : BATCH_RECORDS;
}

static void
forget_fresh(struct writer *w)
{
	int kept = 0;

	for (int i = 0; i < w->fresh_count; i++)
		if (w->fresh[i] > spool_acked(w->spool))
			w->fresh[kept++] = w->fresh[i];
	w->fresh_count = kept;
}

void
turn_flushed(struct writer *w, int64_t now_ms)
{
	int count = w->batch.count;
	int64_t pause = w->reply.backpressure_ms;

	w->unreported.clamped += w->now.clamped - w->reported.clamped;
	w->unreported.quarantined += w->now.quarantined - w->reported.quarantined;
	w->unreported.duplicates += w->now.duplicates - w->reported.duplicates;
	w->dropped_reported += w->reported.dropped;
	w->rows_sent += count;
	w->delivered_ms = now_ms;
	w->bad_row[0] = '\0';
	w->bare = false;
	spool_ack(w->spool, batch_last(&w->batch));
	batch_clear(&w->batch);
	widen(w, count);
	forget_fresh(w);
	if (w->backlog_end && spool_acked(w->spool) >= w->backlog_end)
		w->backlog_end = 0;
	if (w->backlog_end && pause < (int64_t) count * 1000 / BACKLOG_RATE)
		pause = (int64_t) count * 1000 / BACKLOG_RATE;
	w->wake_ms = now_ms + (w->last_chance ? 0 : pause);
	if (spool_acked(w->spool) >= w->target) {
		plan_flush(w, now_ms);
		turn_release_memory(w);
	}
	w->attempt = 0;
}

/* The database has had records of this agent that the spool does not know. */
static bool
is_behind(const struct writer *w)
{
	return !w->known && spool_is_behind(w->spool, w->reply.last_seq);
}

/*
 * Numbers up to `last` are used although nothing that this agent knows of can have used them: somebody else has the same
 * identity. What waits takes numbers above them, and nothing is lost: of a batch whose COMMIT was not answered nobody can say
 * any more whether it is there, and rather a line twice than none.
 */
static void
make_way(struct writer *w, int64_t used, int64_t last)
{
	/* Two agents with one identity do this to each other at every flush: said once. */
	problem_occurred(
		&w->twin, LOG_LEVEL_WARNING, monotonic_ms(), w->greeting ? "greeting" : "batch",
		"batch number %lld was used by somebody else, or the clock was set back; does another agent run "
		"with a copy of the agent_id?",
		(long long) used);
	spool_renumber(w->spool, last);
	w->fresh_count = 0;
}

void
turn_greeted(struct writer *w, int64_t now_ms)
{
	int64_t last = w->reply.last_seq;
	struct spool_state state;

	if (last <= w->mine) {
		spool_ack(w->spool, last);
	} else if (is_behind(w)) {
		if (!spool_is_new(w->spool))
			log_line(
				LOG_LEVEL_WARNING,
				"the spool is behind the database: its end was lost (a power failure?), or it was set back; "
				"log files are read from where the database says");
		spool_catch_up(w->spool, last);
	} else
		make_way(w, last, last);
	/* The greeting waited for a COMMIT of ours. A put that still travels has rows with natural keys only: renumbered, they are there once. */
	w->mine = spool_acked(w->spool);
	w->reconnects += w->known && !w->greeted;
	w->greeted = w->known = true;
	w->target = spool_last(w->spool);
	if (w->batch.count > 0 && w->batch.to_store[RECORD_METRICS] > 0)
		w->fresh[w->fresh_count++] = batch_last(&w->batch);
	batch_clear(&w->batch);
	forget_fresh(w);
	w->wake_ms = now_ms + (w->last_chance ? 0 : w->reply.backpressure_ms);
	spool_state(w->spool, &state);
	if (w->backlog_end) {
		plan_flush(w, now_ms); /* the greeting was for the sake of a fresh sample */
	} else if (state.records > BATCH_RECORDS || state.bytes > BATCH_BYTES) {
		w->backlog_end = w->target;
		plan_flush(w, now_ms);
		if (!w->last_chance)
			w->wake_ms += random() % BACKLOG_JITTER_MS;
	}
	if (!writer_pending(w))
		w->attempt = 0;
}

/* The number was used before, by somebody else with the same identity: a greeting would have told of ours. */
void
turn_refused(struct writer *w, int64_t now_ms)
{
	/* A statement of ours whose answer was lost began only after the greeting had asked. */
	if (w->reply.last_seq <= w->mine) {
		spool_ack(w->spool, w->reply.last_seq);
		batch_clear(&w->batch);
		return;
	}
	make_way(w, batch_last(&w->batch), w->reply.last_seq);
	w->mine = spool_acked(w->spool);
	batch_clear(&w->batch);
	w->wake_ms = now_ms + REFUSED_PAUSE_MS;
}

/* The next kind of records that are to be stored. */
static bool
next_kind(struct writer *w, int from)
{
	for (int kind = from; kind < RECORD_KINDS; kind++)
		if (w->batch.to_store[kind] > 0) {
			w->kind = (enum record_kind) kind;
			return true;
		}
	return false;
}

static void
sort_batch(struct writer *w)
{
	struct batch_window window = {w->reply.accept_from_us, w->reply.accept_until_us, w->reply.server_time_us,
								  w->offset_us};

	batch_sort(&w->batch, &window, w->bad_row[0] != '\0');
	w->now.clamped = w->batch.clamped;
	w->now.quarantined = w->batch.quarantined;
	/* A fresh sample that would be moved waits for its turn: it could not be known again. */
	if (w->greeting && w->batch.clamped > 0)
		w->batch.to_store[RECORD_METRICS] = 0;
}

enum writer_step
turn_step_after(struct writer *w)
{
	bool sorted = w->step != STEP_BATCH;

	if (w->step == STEP_BEGIN)
		return STEP_BATCH;
	if (!sorted && !w->greeting && !w->reply.accepted)
		return STEP_COMMIT;
	if (!sorted)
		sort_batch(w);
	if ((w->step == STEP_BATCH || w->step == STEP_ROWS) && next_kind(w, sorted ? w->kind + 1 : 0))
		return STEP_ROWS;
	if ((w->step == STEP_BATCH || w->step == STEP_ROWS) && !w->greeting && w->batch.quarantined > 0)
		return STEP_QUARANTINE;
	if (w->greeting && w->step != STEP_POSITIONS && !w->known &&
		(spool_is_new(w->spool) || spool_positions_lost(w->spool) || is_behind(w)))
		return STEP_POSITIONS;
	return w->in_transaction ? STEP_COMMIT : STEP_DONE;
}

void
turn_narrow(struct writer *w)
{
	if (w->greeting) {
		w->fresh_refused = true; /* it will be found when its turn comes */
		return;
	}
	if (w->batch.count > 1) {
		w->suspects = w->batch.count;
		w->limit = w->batch.count / 2;
		batch_clear(&w->batch);
		return;
	}
	w->limit = 1;
	char why[280]; /* cut at a character: quarantine takes no half one */
	slice_printable(slice_of(w->message), why, sizeof why);
	snprintf(w->bad_row, sizeof w->bad_row, "%s (%s)", why, w->sqlstate);
	log_line(LOG_LEVEL_WARNING, "a row of %s was refused and goes to observ.quarantine: %s",
			 sinks[w->kind].table, w->bad_row);
}

int64_t
turn_due_ms(const struct writer *w)
{
	int64_t due = w->flush_ms, urgent = spool_urgent_ms(w->spool);

	if (!writer_pending(w))
		return INT64_MAX;
	if (w->last_chance || spool_acked(w->spool) < w->target)
		return INT64_MIN;
	if (spool_last(w->spool) - spool_acked(w->spool) > FEW_RECORDS &&
		spool_waiting_bytes(w->spool) >= FLUSH_BYTES)
		return INT64_MIN;
	return urgent < due ? urgent : due;
}

bool
turn_fresh_is_due(const struct writer *w, int64_t now_ms)
{
	return w->backlog_end && now_ms >= w->flush_ms && !w->last_chance;
}
