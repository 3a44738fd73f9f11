/*
 * Rows for set-based statements: unnest($1, $2, …). What does not belong here: any SQL of a particular table.
 */
#include "postgres.h"

#include "ext/row_batch.h"

#include "ext/spi_util.h"
#include "utils/lsyscache.h"

void
observ_batch_begin(ObservRowBatch *batch, int n_columns, const Oid *types)
{
	Assert(n_columns <= OBSERV_BATCH_COLUMNS);
	*batch = (ObservRowBatch){.n_columns = n_columns, .types = types};
}

void
observ_batch_add(ObservRowBatch *batch, const Datum *row)
{
	if (batch->n == batch->room) {
		batch->room = Max(2 * batch->room, 16);
		for (int i = 0; i < batch->n_columns; i++) {
			Size size = batch->room * sizeof(Datum);

			batch->column[i] = batch->column[i] == NULL ? palloc(size) : repalloc(batch->column[i], size);
		}
	}
	for (int i = 0; i < batch->n_columns; i++)
		batch->column[i][batch->n] = row[i];
	batch->n++;
}

int
observ_batch_arguments(const ObservRowBatch *batch, int n, Oid *types, Datum *values)
{
	for (int i = 0; i < batch->n_columns; i++, n++) {
		types[n] = get_array_type(batch->types[i]);
		values[n] = observ_array(batch->column[i], batch->n, batch->types[i]);
	}
	return n;
}

void
observ_batch_run(const ObservRowBatch *batch, SPIPlanPtr *plan, int expected, const char *sql)
{
	Oid types[OBSERV_BATCH_COLUMNS];
	Datum values[OBSERV_BATCH_COLUMNS];
	int nest_level;

	if (batch->n == 0)
		return;
	nest_level = observ_few_rows_begin();
	observ_spi_kept(plan, expected, sql, observ_batch_arguments(batch, 0, types, values), types, values,
					NULL);
	observ_few_rows_end(nest_level);
}
