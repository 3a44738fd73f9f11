/* Rows that go to a set-based statement as one array per column. What does not belong here: any SQL of a particular table. */
#ifndef OBSERV_EXT_ROW_BATCH_H
#define OBSERV_EXT_ROW_BATCH_H

#include "executor/spi.h"

#define OBSERV_BATCH_COLUMNS 16

typedef struct ObservRowBatch {
	int n, room, n_columns;
	const Oid *types;
	Datum *column[OBSERV_BATCH_COLUMNS];
} ObservRowBatch;

/* An empty batch in the current memory context; `types` of its columns must last. */
extern void observ_batch_begin(ObservRowBatch *batch, int n_columns, const Oid *types);

/* Adds a row: as many values as there are columns, none of them NULL, all in memory that lasts as long as the batch. */
extern void observ_batch_add(ObservRowBatch *batch, const Datum *row);

/* Appends the columns as array values, and their types, to the arguments of a statement; returns the number of arguments then. */
extern int observ_batch_arguments(const ObservRowBatch *batch, int n, Oid *types, Datum *values);

/* Runs a statement that takes the columns as $1, $2, …; nothing when the batch is empty. Few rows of the tables are meant. */
extern void observ_batch_run(const ObservRowBatch *batch, SPIPlanPtr *plan, int expected, const char *sql);

#endif
