/*
 * Writing rolled-up rows: batches of one partition each, appended where none of them is there yet, else upserted.
 * What does not belong here: what is in them (rollup_sources.c).
 */
#include "postgres.h"

#include "ext/rollup_write.h"

#include "catalog/pg_type.h"
#include "ext/partitions.h"
#include "ext/rollup_append.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define BATCH_ROWS 2000

struct ObservRollupWriter {
	const ObservRollupSource *source;
	ObservTier tier;
	ObservAppender *appender; /* NULL: upsert */
	ObservRange partition;    /* of the batch */
	Oid arrays[OBSERV_WRITE_COLUMNS];
	Datum *values[OBSERV_WRITE_COLUMNS];
	bool *nulls[OBSERV_WRITE_COLUMNS];
	int n;
	int64 written;
	MemoryContext batch;
};

ObservRollupWriter *
observ_rollup_writer(const ObservRollupSource *source, ObservTier tier, bool fresh)
{
	ObservRollupWriter *writer = palloc0(sizeof(ObservRollupWriter));

	writer->source = source;
	writer->tier = tier;
	writer->appender = fresh ? observ_appender(source, tier) : NULL;
	writer->batch =
		AllocSetContextCreate(CurrentMemoryContext, "observ rolled-up rows", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < source->n_write; i++) {
		writer->arrays[i] = get_array_type(source->write_types[i]);
		writer->values[i] = palloc(sizeof(Datum) * BATCH_ROWS);
		writer->nulls[i] = palloc(sizeof(bool) * BATCH_ROWS);
	}
	return writer;
}

static char *
upsert_sql(const ObservRollupSource *source, ObservTier tier)
{
	StringInfoData columns, arguments;

	initStringInfo(&columns);
	initStringInfo(&arguments);
	for (int i = 0; i < source->n_write; i++) {
		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", quote_identifier(source->write_columns[i]));
		appendStringInfo(&arguments, "%s$%d", i > 0 ? ", " : "", i + 1);
	}
	return psprintf("INSERT INTO observ.%s AS t (%s) SELECT * FROM unnest(%s) "
					"ON CONFLICT (vps_name, app_name, %s, \"timestamp\") DO UPDATE SET %s",
					source->tables[tier], columns.data, arguments.data, source->key_column,
					source->write_update);
}

static int64
upsert(ObservRollupWriter *writer)
{
	static SPIPlanPtr plans[OBSERV_ROLLUP_SOURCES][OBSERV_TIERS];
	const ObservRollupSource *source = writer->source;
	SPIPlanPtr *plan = &plans[source - observ_rollup_sources][writer->tier];
	Datum arrays[OBSERV_WRITE_COLUMNS];
	int lower = 1;
	int64 written;

	for (int i = 0; i < source->n_write; i++) {
		int16 length;
		bool by_value;
		char align;

		get_typlenbyvalalign(source->write_types[i], &length, &by_value, &align);
		arrays[i] =
			PointerGetDatum(construct_md_array(writer->values[i], writer->nulls[i], 1, &writer->n, &lower,
											   source->write_types[i], length, by_value, align));
	}
	SPI_connect();
	written = observ_spi_kept(plan, SPI_OK_INSERT, *plan == NULL ? upsert_sql(source, writer->tier) : NULL,
							  source->n_write, writer->arrays, arrays, NULL);
	SPI_finish();
	return written;
}

static void
write_batch(ObservRollupWriter *writer)
{
	MemoryContext caller = MemoryContextSwitchTo(writer->batch);

	if (writer->n > 0) {
		if (writer->appender != NULL &&
			observ_append(writer->appender, writer->partition.from, writer->values, writer->nulls, writer->n))
			writer->written += writer->n;
		else
			writer->written += upsert(writer);
	}
	writer->n = 0;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(writer->batch);
}

void
observ_rollup_put(ObservRollupWriter *writer, const ObservBucket *bucket)
{
	Datum values[OBSERV_WRITE_COLUMNS];
	bool nulls[OBSERV_WRITE_COLUMNS] = {false};
	MemoryContext caller;

	if (writer->n == BATCH_ROWS || bucket->start < writer->partition.from ||
		bucket->start >= writer->partition.to)
		write_batch(writer);
	caller = MemoryContextSwitchTo(writer->batch);
	if (bucket->start < writer->partition.from || bucket->start >= writer->partition.to) {
		SPI_connect();
		writer->partition = observ_ensure_partition(writer->source->tables[writer->tier], bucket->start);
		SPI_finish();
	}
	writer->source->form(bucket, values, nulls);
	for (int i = 0; i < writer->source->n_write; i++) {
		writer->values[i][writer->n] = values[i];
		writer->nulls[i][writer->n] = nulls[i];
	}
	writer->n++;
	MemoryContextSwitchTo(caller);
}

void
observ_rollup_flush(ObservRollupWriter *writer)
{
	write_batch(writer);
	if (writer->appender != NULL)
		observ_appender_close(writer->appender);
}

int64
observ_rollup_written(const ObservRollupWriter *writer)
{
	return writer->written;
}
