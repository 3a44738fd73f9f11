/*
 * Rows that one statement takes as arrays. What does not belong here: any SQL of a particular table.
 */
#include "postgres.h"

#include "ext/row_batch.h"

#include "ext/spi_util.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

struct ObservRowBatch {
	const Oid *types;
	int n_columns, n_rows, room;
	Datum **values; /* of each column */
	bool **nulls;
};

ObservRowBatch *
observ_row_batch(const Oid *types, int n_columns)
{
	ObservRowBatch *batch = palloc0(sizeof(ObservRowBatch));

	batch->types = types;
	batch->n_columns = n_columns;
	batch->room = 64;
	batch->values = palloc(sizeof(Datum *) * n_columns);
	batch->nulls = palloc(sizeof(bool *) * n_columns);
	for (int c = 0; c < n_columns; c++) {
		batch->values[c] = palloc(sizeof(Datum) * batch->room);
		batch->nulls[c] = palloc(sizeof(bool) * batch->room);
	}
	return batch;
}

void
observ_row_batch_add(ObservRowBatch *batch, const Datum *values, const bool *nulls)
{
	if (batch->n_rows == batch->room) {
		batch->room *= 2;
		for (int c = 0; c < batch->n_columns; c++) {
			batch->values[c] = repalloc_huge(batch->values[c], sizeof(Datum) * batch->room);
			batch->nulls[c] = repalloc_huge(batch->nulls[c], sizeof(bool) * batch->room);
		}
	}
	for (int c = 0; c < batch->n_columns; c++) {
		batch->values[c][batch->n_rows] = values[c];
		batch->nulls[c][batch->n_rows] = nulls != NULL && nulls[c];
	}
	batch->n_rows++;
}

int
observ_row_batch_size(const ObservRowBatch *batch)
{
	return batch->n_rows;
}

int
observ_row_batch_arguments(const ObservRowBatch *batch, int n, Oid *types, Datum *arrays)
{
	int n_rows = batch->n_rows, dimensions = n_rows > 0 ? 1 : 0, lower = 1;

	for (int c = 0; c < batch->n_columns; c++, n++) {
		int16 length;
		bool by_value;
		char align;

		get_typlenbyvalalign(batch->types[c], &length, &by_value, &align);
		types[n] = get_array_type(batch->types[c]);
		arrays[n] = PointerGetDatum(construct_md_array(batch->values[c], batch->nulls[c], dimensions, &n_rows,
													   &lower, batch->types[c], length, by_value, align));
	}
	return n;
}

uint64
observ_row_batch_run(ObservRowBatch *batch, SPIPlanPtr *plan, int expected, const char *sql)
{
	Datum *arrays = palloc(sizeof(Datum) * batch->n_columns);
	Oid *types = palloc(sizeof(Oid) * batch->n_columns);

	if (batch->n_rows == 0)
		return 0;
	observ_row_batch_arguments(batch, 0, types, arrays);
	batch->n_rows = 0;
	return observ_spi_kept(plan, expected, sql, batch->n_columns, types, arrays, NULL);
}
