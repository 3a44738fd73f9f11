/*
 * The table of escalations: reading it, and what people may write into it. What does not belong here: when a step is due (dispatch_escalate.c).
 */
#include "postgres.h"

#include "ext/escalations.h"

#include "catalog/pg_type.h"
#include "core/hash.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/trigger_row.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_check_escalation);

/* Longer ones are slips of the pen, and must not leave the range of timestamps. */
#define LONGEST (3660 * USECS_PER_DAY)

static int64
interval_of(uint64 row, int column)
{
	bool isnull;
	Datum value = observ_spi_value(row, column, &isnull);

	return isnull ? 0 : observ_interval_usecs(DatumGetIntervalP(value));
}

ObservEscalations *
observ_load_escalations(ObservRoutes *routes)
{
	ObservEscalations *all = palloc0(sizeof *all);
	uint64_t h = hash_span(HASH_SEED, &routes->digest, sizeof routes->digest);

	all->n = (int) observ_spi(SPI_OK_SELECT,
							  "SELECT escalation_id, matchers, channels, after, repeat_interval, name "
							  "FROM observ.escalations WHERE enabled ORDER BY escalation_id",
							  0, NULL, NULL, NULL);
	all->step = palloc0(Max(all->n, 1) * sizeof(ObservEscalation));
	for (int i = 0; i < all->n; i++) {
		ObservEscalation *step = &all->step[i];
		bool isnull;
		/* Names of labels point into it. */
		char *matchers = TextDatumGetCString(observ_spi_value(i, 2, &isnull));

		step->escalation_id = DatumGetInt64(observ_spi_value(i, 1, &isnull));
		step->matchers = observ_try_matcher_sets(matchers, &routes->names);
		step->channels = observ_route_names(i, 3);
		step->after_us = interval_of(i, 4);
		step->repeat_us = interval_of(i, 5);
		if (step->matchers == NULL)
			ereport(WARNING, (errcode(ERRCODE_SYNTAX_ERROR),
							  errmsg("matchers of escalation \"%s\" can't be read",
									 TextDatumGetCString(observ_spi_value(i, 6, &isnull))),
							  errdetail("Given: %s", matchers)));
		h = hash_span(h, &step->escalation_id, sizeof step->escalation_id);
		h = hash_string(h, matchers);
	}
	SPI_freetuptable(SPI_tuptable);
	if (all->n > 0)
		routes->digest = (int64) hash_finish(h);
	return all;
}

const ObservEscalation *
observ_escalation_by_id(const ObservEscalations *all, int64 escalation_id)
{
	for (int i = 0; i < all->n; i++)
		if (all->step[i].escalation_id == escalation_id)
			return &all->step[i];
	return NULL;
}

bool
observ_escalation_takes(const ObservEscalation *step, const struct slice *values)
{
	return step->matchers != NULL && observ_sets_accept(step->matchers, values);
}

/* ---- what people write */

static void
check_length(const TriggerData *data, HeapTuple row, const char *column, int64 shortest, const char *hint)
{
	bool isnull;
	Datum value = observ_trigger_value(data, row, column, &isnull);
	int64 us;

	if (isnull)
		return;
	us = observ_interval_usecs(DatumGetIntervalP(value));
	if (us < shortest || us > LONGEST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid %s of an escalation", column),
				 errdetail("Given: %s.", DatumGetCString(DirectFunctionCall1(interval_out, value))),
				 us > LONGEST ? errhint("It must not be longer than ten years.") : errhint("%s", hint)));
}

static void
check_channels(Datum channels)
{
	if (observ_check_names(channels, "a channel of an escalation") == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an escalation needs channels"),
						errdetail("channels is empty."), errhint("To switch it off, set enabled to false.")));
}

/* observ_data._check_escalation(): BEFORE INSERT OR UPDATE on observ.escalations */
Datum
observ_check_escalation(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	HeapTuple row = observ_trigger_row(data);
	char *name = observ_trigger_text(data, row, "name");
	char *matchers = observ_trigger_text(data, row, "matchers");
	bool isnull;
	Datum channels = observ_trigger_value(data, row, "channels", &isnull);

	/* NULLs are the table's business. */
	if (name != NULL && name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an escalation must have a name")));
	if (matchers != NULL)
		observ_check_matcher_sets(matchers, false, "an escalation");
	if (!isnull)
		check_channels(channels);
	check_length(data, row, "after", 0, "It must not be negative; 0 tells as soon as the alert fires.");
	check_length(data, row, "repeat_interval", 1, "It must be longer than nothing; NULL tells once.");
	return PointerGetDatum(row);
}
