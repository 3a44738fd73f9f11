/*
 * writer_statements.h: the statements of a flush, one function each: parameters out, results in.
 *
 * Belongs here: what is sent and what is read. Does not belong here: what happens next (writer.c).
 */
#ifndef OBSERV_COLLECTOR_WRITER_STATEMENTS_H
#define OBSERV_COLLECTOR_WRITER_STATEMENTS_H

#include "collector/writer.h"

/* Builds the text of the INSERT from the list of columns. */
void build_insert(struct strbuf *out);

/* Sends the statement of a step. False when the connection does not take it or memory is short. */
bool writer_send(struct writer *w, enum writer_step step);

/* Reads the answer of observ.begin_batch() into w->reply and takes the clock's offset. */
void writer_read_reply(struct writer *w, const PGresult *res);

/* After the INSERT: how many rows were in the database already. */
void writer_count_duplicates(struct writer *w, const PGresult *res);

/*
 * After the reply: which rows of the batch are stored as they are, moved back to the server's time (too far in the
 * future), or put aside (too old, or known to be bad). Rows to be put aside end up at the end of the batch.
 */
void writer_sort_batch(struct writer *w);

#endif
