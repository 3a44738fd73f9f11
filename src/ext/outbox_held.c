/*
 * Notifications that another transaction has locked, say that of a person who has not committed yet: they are left alone, so that nobody else waits. What
 * does not belong here: when they are looked at again (outbox_rows.c, bgworker/notifier_flight.c).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"

/* Hardly ever any: whoever has one locked leaves his mark in xmax, and an update takes marks off. Reading that is cheaper than a lock on each. */
static const char marked_sql[] = "SELECT n.notification_id FROM unnest($1) i (id) "
								 "JOIN observ.notifications n ON n.notification_id = i.id WHERE n.xmax <> 0";

/* Marks may be old. What can be had is ours until the end of the transaction; what is gone can't be had. */
static const char taken_sql[] =
	"SELECT n.notification_id FROM observ.notifications n WHERE n.notification_id = ANY ($1) "
	"FOR NO KEY UPDATE SKIP LOCKED";

static const Oid types[] = {INT8OID};

static void
set_all(const int64 *ids, int n, int64 id, bool value, bool *held)
{
	for (int i = 0; i < n; i++)
		if (ids[i] == id)
			held[i] = value;
}

int
observ_outbox_find_held(const int64 *ids, int n, bool *held)
{
	static SPIPlanPtr marked_plan = NULL, taken_plan = NULL;
	ObservRowBatch *all = observ_row_batch(types, lengthof(types)),
				   *marked = observ_row_batch(types, lengthof(types));
	uint64 n_marked, n_taken;

	for (int i = 0; i < n; i++) {
		held[i] = false;
		observ_row_batch_add(all, (Datum[]){Int64GetDatum(ids[i])}, NULL);
	}
	n_marked = observ_row_batch_run(all, &marked_plan, SPI_OK_SELECT, marked_sql);
	for (uint64 row = 0; row < n_marked; row++) {
		set_all(ids, n, observ_spi_int64(row, 1), true, held);
		observ_row_batch_add(marked, (Datum[]){Int64GetDatum(observ_spi_int64(row, 1))}, NULL);
	}
	n_taken = observ_row_batch_run(marked, &taken_plan, SPI_OK_SELECT, taken_sql);
	for (uint64 row = 0; row < n_taken; row++)
		set_all(ids, n, observ_spi_int64(row, 1), false, held);
	return (int) (n_marked - n_taken);
}
