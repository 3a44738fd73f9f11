/*
 * Notifications that are too old to be told. What does not belong here: which of a group they are (outbox_group.c), who is told instead
 * (outbox_fallback.c).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "ext/gucs.h"
#include "utils/timestamp.h"

/* Given up per claim; the others by the next. */
#define MAX_EXPIRED 1000

/* Both by the queue's index; leases come first. */
#define OLD_ONES(emergency, before)                                                                          \
	"(SELECT channel, group_key FROM observ_data.deliveries WHERE emergency = " emergency                    \
	" AND made_at <= " before " AND lane <> 2 ORDER BY made_at LIMIT $3)"
static const char old_sql[] = "SELECT DISTINCT channel, group_key FROM (" OLD_ONES(
	"false", "$1") " UNION ALL " OLD_ONES("true", "$2") ") d";

/* What may become too old next. */
static const char next_sql[] =
	"SELECT (SELECT min(made_at) FROM observ_data.deliveries WHERE emergency = false), "
	"(SELECT min(made_at) FROM observ_data.deliveries WHERE emergency = true)";

/* Why nothing is ever sent through the channel; NULL: it is. */
static const char channel_sql[] = "SELECT name, kind, enabled FROM observ.notification_channels";

TimestampTz
observ_outbox_deadline(TimestampTz made_at, bool emergency)
{
	return made_at + (emergency ? observ_emergency_max_age : observ_notification_max_age) * USECS_PER_SEC;
}

/* What a notification made at that time must be older than. */
static TimestampTz
made_before(TimestampTz at, bool emergency)
{
	return at - (observ_outbox_deadline(at, emergency) - at);
}

static OutboxGroups *
old_groups(TimestampTz at)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	static SPIPlanPtr plan = NULL;
	Datum values[] = {TimestampTzGetDatum(made_before(at, false)), TimestampTzGetDatum(made_before(at, true)),
					  Int32GetDatum(MAX_EXPIRED)};
	OutboxGroups *groups = observ_outbox_groups();
	uint64 n = observ_spi_kept(&plan, SPI_OK_SELECT, old_sql, lengthof(types), types, values, NULL);

	for (uint64 row = 0; row < n; row++)
		observ_outbox_add_group(groups, observ_spi_text(row, 1), observ_spi_text(row, 2));
	SPI_freetuptable(SPI_tuptable);
	return groups;
}

/* Those of channels that nothing is sent through are not dead: nobody tried. */
static void
set_reasons(OutboxRow *rows, int n)
{
	static SPIPlanPtr plan = NULL;
	uint64 found = observ_spi_kept(&plan, SPI_OK_SELECT, channel_sql, 0, NULL, NULL, NULL);

	for (int i = 0; i < n; i++) {
		const char *error = "there is no such channel";

		if (rows[i].action != ROW_DEAD)
			continue;
		for (uint64 row = 0; row < found; row++) {
			char *kind;

			if (strcmp(observ_spi_text(row, 1), rows[i].channel) != 0)
				continue;
			kind = observ_spi_text(row, 2);
			error = kind == NULL                        ? "the channel has no kind"
					: observ_channel_kind(kind) == NULL ? "the channel is of a kind that there is not"
					: !observ_spi_boolean(row, 3)       ? "the channel is disabled"
														: NULL;
		}
		rows[i].error = error == NULL ? "too old" : error;
		if (error != NULL)
			rows[i].action = ROW_CANCELLED;
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
give_up(TimestampTz at, OutboxGroups *groups, OutboxClaim *claim)
{
	int n, n_dead = 0;
	OutboxRow *rows = observ_outbox_rows(at, groups, &n);
	int64 *dead = palloc(sizeof *dead * Max(n, 1));

	observ_outbox_each_group(at, rows, n, observ_outbox_give_up);
	set_reasons(rows, n);
	observ_outbox_write(at, rows, n, claim);
	for (int i = 0; i < n; i++)
		if (rows[i].action == ROW_DEAD)
			dead[n_dead++] = rows[i].source.notification_id;
	if (n_dead > 0)
		observ_outbox_fall_back(at, dead, n_dead);
}

TimestampTz
observ_outbox_next_deadline(void)
{
	static SPIPlanPtr plan = NULL;
	TimestampTz next = DT_NOEND, made_at;

	observ_spi_kept(&plan, SPI_OK_SELECT, next_sql, 0, NULL, NULL, NULL);
	for (int emergency = 0; emergency <= 1; emergency++)
		if ((made_at = observ_spi_time_or(0, emergency + 1, DT_NOEND)) != DT_NOEND)
			next = Min(next, observ_outbox_deadline(made_at, emergency));
	SPI_freetuptable(SPI_tuptable);
	return next;
}

void
observ_outbox_expire(TimestampTz at, OutboxClaim *claim)
{
	OutboxGroups *groups = old_groups(at);

	if (observ_row_batch_size(groups) > 0) {
		/* A dispatch may be at it: later is early enough. */
		if (observ_try_job_lock(OBSERV_LOCK_DISPATCH))
			give_up(at, groups, claim);
		else
			claim->next_due = Min(claim->next_due, at + USECS_PER_SEC);
	}
}
