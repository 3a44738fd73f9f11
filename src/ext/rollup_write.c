/*
 * Writing rolled-up rows. What does not belong here: what is in them (rollup_sources.c).
 * A row that is there already and the same is left alone, so that rolling up twice writes nothing.
 */
#include "postgres.h"

#include "ext/rollup_write.h"

#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define BATCH_ROWS 2000

struct ObservRollupWriter {
	const ObservRollupSource *source;
	SPIPlanPtr *plan;
	char *sql;
	Oid types[OBSERV_WRITE_COLUMNS]; /* of the arrays */
	Datum *values[OBSERV_WRITE_COLUMNS];
	bool *nulls[OBSERV_WRITE_COLUMNS];
	int n;
	int64 written;
	MemoryContext batch;
};

ObservRollupWriter *
observ_rollup_writer(const ObservRollupSource *source, ObservTier tier)
{
	static SPIPlanPtr plans[OBSERV_ROLLUP_SOURCES][OBSERV_TIERS];
	ObservRollupWriter *writer = palloc0(sizeof(ObservRollupWriter));
	StringInfoData sql;

	writer->source = source;
	writer->plan = &plans[source - observ_rollup_sources][tier];
	writer->batch =
		AllocSetContextCreate(CurrentMemoryContext, "observ rolled-up rows", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO observ.%s AS t (%s) SELECT * FROM unnest(", source->tables[tier],
					 source->write_columns);
	for (int i = 0; i < source->n_write; i++) {
		writer->types[i] = get_array_type(source->write_types[i]);
		writer->values[i] = palloc(sizeof(Datum) * BATCH_ROWS);
		writer->nulls[i] = palloc(sizeof(bool) * BATCH_ROWS);
		appendStringInfo(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
	}
	appendStringInfo(&sql, ") ON CONFLICT (vps_name, app_name, %s, \"timestamp\") DO UPDATE SET %s",
					 source->key_column, source->write_update);
	writer->sql = sql.data;
	return writer;
}

void
observ_rollup_put(ObservRollupWriter *writer, const ObservBucket *bucket)
{
	MemoryContext caller = MemoryContextSwitchTo(writer->batch);
	Datum values[OBSERV_WRITE_COLUMNS];
	bool nulls[OBSERV_WRITE_COLUMNS] = {false};

	writer->source->form(bucket, values, nulls);
	for (int i = 0; i < writer->source->n_write; i++) {
		writer->values[i][writer->n] = values[i];
		writer->nulls[i][writer->n] = nulls[i];
	}
	writer->n++;
	MemoryContextSwitchTo(caller);
	if (writer->n == BATCH_ROWS)
		observ_rollup_flush(writer);
}

void
observ_rollup_flush(ObservRollupWriter *writer)
{
	MemoryContext caller = MemoryContextSwitchTo(writer->batch);
	Datum arrays[OBSERV_WRITE_COLUMNS];
	int lower = 1;

	if (writer->n > 0) {
		for (int i = 0; i < writer->source->n_write; i++) {
			int16 length;
			bool by_value;
			char align;

			get_typlenbyvalalign(writer->source->write_types[i], &length, &by_value, &align);
			arrays[i] =
				PointerGetDatum(construct_md_array(writer->values[i], writer->nulls[i], 1, &writer->n, &lower,
												   writer->source->write_types[i], length, by_value, align));
		}
		SPI_connect();
		writer->written += observ_spi_kept(writer->plan, SPI_OK_INSERT, writer->sql, writer->source->n_write,
										   writer->types, arrays, NULL);
		SPI_finish();
		writer->n = 0;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(writer->batch);
}

int64
observ_rollup_written(const ObservRollupWriter *writer)
{
	return writer->written;
}
