/* Rows that one statement takes as arrays, a column each: INSERT … SELECT … FROM unnest($1, $2, …). */
#ifndef OBSERV_EXT_ROW_BATCH_H
#define OBSERV_EXT_ROW_BATCH_H

#include "executor/spi.h"

typedef struct ObservRowBatch ObservRowBatch;

/* An empty batch of rows with columns of those types, in the current memory context; types must outlive it. */
extern ObservRowBatch *observ_row_batch(const Oid *types, int n_columns);

/* Datums that are references must live until the batch has run. nulls: NULL when none is. */
extern void observ_row_batch_add(ObservRowBatch *batch, const Datum *values, const bool *nulls);

extern int observ_row_batch_size(const ObservRowBatch *batch);

/*
 * For statements that take several batches: appends the columns as arrays, and their types, to the n arguments that are there; returns how many
 * there are then.
 */
extern int observ_row_batch_arguments(const ObservRowBatch *batch, int n, Oid *types, Datum *arrays);

/* Runs a kept statement (observ_spi_kept()) with the rows and empties the batch. Does nothing, and returns 0, when there are none. */
extern uint64 observ_row_batch_run(ObservRowBatch *batch, SPIPlanPtr *plan, int expected, const char *sql);

#endif
