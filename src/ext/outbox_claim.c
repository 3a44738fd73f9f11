/*
 * What is to be sent now: candidates by channel, their groups, what is written of it. What does not belong here: what a group says
 * (outbox_group.c), messages (outbox_message.c), what comes of them (outbox_record.c).
 *
 * Claims and records take turns (OBSERV_LOCK_DELIVER); a dispatch only adds to the queue, so nobody waits for it here.
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "ext/dispatch.h"
#include "ext/gucs.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

typedef struct Claim {
	TimestampTz at;
	int free, at_most;
	OutboxClaim *out;
	OutboxChannel *channels;
	int n_channels, n_rows;
	OutboxRow *rows;
} Claim;

/* Of each channel the first that are due, emergencies before others. The queue's index has them in that order. */
static const char picks_sql[] =
	"SELECT DISTINCT c.number, d.group_key FROM unnest($1, $2, $3) c (number, channel, n), "
	"LATERAL ((SELECT group_key FROM observ_data.deliveries q WHERE q.lane = 0 "
	"    AND q.channel = c.channel AND q.due_at <= $4 ORDER BY q.due_at LIMIT c.n) "
	"  UNION ALL (SELECT group_key FROM observ_data.deliveries q WHERE q.lane = 1 "
	"    AND q.channel = c.channel AND q.due_at <= $4 ORDER BY q.due_at LIMIT c.n) LIMIT c.n) d";

/* ---- candidates */

/* Each channel its share. What others leave of theirs, and of several of a group all but one, comes with the next claim. */
static void
read_picks(const Claim *claim, OutboxGroups *groups)
{
	static const Oid limit_types[] = {INT4OID, TEXTOID, INT4OID};
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *limits = observ_row_batch(limit_types, lengthof(limit_types));
	int share = (claim->at_most + claim->n_channels - 1) / claim->n_channels;
	Oid types[4];
	Datum values[4];
	uint64 found;

	for (int i = 0; i < claim->n_channels; i++)
		observ_row_batch_add(limits,
							 (Datum[]){Int32GetDatum(i), CStringGetTextDatum(claim->channels[i].name),
									   Int32GetDatum(Min(claim->channels[i].room, share))},
							 NULL);
	observ_row_batch_arguments(limits, 0, types, values);
	types[3] = TIMESTAMPTZOID;
	values[3] = TimestampTzGetDatum(claim->at);
	found = observ_spi_kept(&plan, SPI_OK_SELECT, picks_sql, lengthof(types), types, values, NULL);
	for (uint64 row = 0; row < found; row++)
		observ_outbox_add_group(groups, claim->channels[observ_spi_int32(row, 1)].name,
								observ_spi_text(row, 2));
	SPI_freetuptable(SPI_tuptable);
}

/* ---- decisions */

static OutboxChannel *
channel_of(Claim *claim, const OutboxRow *r)
{
	for (int i = 0; i < claim->n_channels; i++)
		if (strcmp(claim->channels[i].name, r->channel) == 0)
			return &claim->channels[i];
	return NULL;
}

static int
compare_in_channel(const void *a, const void *b)
{
	const OutboxRow *x = *(OutboxRow *const *) a, *y = *(OutboxRow *const *) b;

	if (x->place != y->place)
		return x->place - y->place;
	if (x->emergency != y->emergency)
		return x->emergency ? -1 : 1;
	if (x->due_at != y->due_at)
		return x->due_at < y->due_at ? -1 : 1;
	return x->source.notification_id < y->source.notification_id ? -1 : 1;
}

static int
compare_turns(const void *a, const void *b)
{
	const OutboxRow *x = *(OutboxRow *const *) a, *y = *(OutboxRow *const *) b;

	if (x->emergency != y->emergency)
		return x->emergency ? -1 : 1;
	return x->turn != y->turn ? x->turn - y->turn : x->place - y->place;
}

/* Of the places that are left a channel leaves as many to others as it has itself. */
static bool
leaves_enough(const OutboxChannel *channel, int left)
{
	return channel->sending == 0 || channel->sending < left;
}

/* Emergencies first, then the first of each channel, the second of each … as long as the channel has room and tokens. */
static OutboxRow **
choose(Claim *claim, int *n)
{
	OutboxRow **chosen = palloc(sizeof(OutboxRow *) * Max(claim->n_rows, 1));
	int wanted = 0;

	*n = 0;
	for (int i = 0; i < claim->n_rows; i++)
		if (claim->rows[i].action == ROW_SEND) {
			claim->rows[i].place = (int) (channel_of(claim, &claim->rows[i]) - claim->channels);
			chosen[wanted++] = &claim->rows[i];
		}
	qsort(chosen, (size_t) wanted, sizeof *chosen, compare_in_channel);
	for (int i = 1; i < wanted; i++)
		chosen[i]->turn = chosen[i]->place == chosen[i - 1]->place ? chosen[i - 1]->turn + 1 : 0;
	qsort(chosen, (size_t) wanted, sizeof *chosen, compare_turns);
	for (int i = 0; i < wanted; i++) {
		OutboxChannel *channel = &claim->channels[chosen[i]->place];

		if (*n < claim->at_most && channel->room > 0 && leaves_enough(channel, claim->free - *n) &&
			token_bucket_take(&channel->bucket, &channel->rules, claim->at)) {
			channel->room--;
			channel->sending++;
			channel->claimed = true;
			chosen[(*n)++] = chosen[i];
		} else
			chosen[i]->action = ROW_LEAVE;
	}
	return chosen;
}

/* Messages that could not be made are attempts that failed. */
static void
record_failures(const Claim *claim, List *failures)
{
	DeliveryResult *results = palloc(sizeof *results * Max(list_length(failures), 1));
	ListCell *cell;
	int n = 0;

	foreach (cell, failures)
		results[n++] = *(DeliveryResult *) lfirst(cell);
	if (n > 0)
		observ_record_deliveries(claim->at, results, n, palloc(sizeof(bool) * n)); /* they are ours */
}

static void
claim_due(Claim *claim, MemoryContext parent)
{
	OutboxRow **chosen;
	List *failures;
	OutboxGroups *groups = observ_outbox_groups();
	int n;

	read_picks(claim, groups);
	claim->rows = observ_outbox_rows(claim->at, groups, &claim->n_rows);
	observ_outbox_each_group(claim->at, claim->rows, claim->n_rows, observ_outbox_decide);
	chosen = choose(claim, &n);
	failures =
		observ_outbox_messages(claim->at, chosen, n, claim->channels, claim->n_channels, parent, claim->out);
	observ_outbox_write(claim->at, claim->rows, claim->n_rows, claim->out);
	n = 0;
	for (int i = 0; i < claim->n_channels; i++)
		if (claim->channels[i].claimed)
			claim->channels[n++] = claim->channels[i];
	observ_outbox_claimed(claim->at, claim->channels, n);
	record_failures(claim, failures);
}

void
observ_claim_deliveries(TimestampTz at, int free, int at_most, OutboxClaim *out)
{
	MemoryContext parent = CurrentMemoryContext,
				  work = AllocSetContextCreate(parent, "observ claim", ALLOCSET_DEFAULT_SIZES);
	ObservIdentity saved = observ_as_owner_begin();
	int nest_level = observ_few_rows_begin();
	Claim claim = {.at = at, .free = free, .at_most = at_most, .out = out};

	*out = (OutboxClaim){.next_due = DT_NOEND};
	MemoryContextSwitchTo(work);
	observ_wait_for_lock(OBSERV_LOCK_DELIVER);
	(void) observ_outbox_end_leases(at, at);
	observ_outbox_expire(at, out);
	claim.channels = observ_outbox_channels(at, free, &claim.n_channels, &out->next_due);
	out->more |= claim.n_channels > 0 && at_most > 0;
	claim.n_channels = Min(claim.n_channels, at_most);
	if (claim.n_channels > 0)
		claim_due(&claim, parent);
	/* Whoever has something to send comes again anyway. */
	if (out->deliveries == NIL)
		out->next_due = Min(out->next_due, Max(observ_outbox_next_deadline(), at + USECS_PER_SEC));
	MemoryContextSwitchTo(parent);
	MemoryContextDelete(work);
	observ_few_rows_end(nest_level);
	observ_as_owner_end(&saved);
}
