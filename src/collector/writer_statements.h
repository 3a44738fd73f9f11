/*
 * writer_statements.h: the statements of a flush, one function each: parameters out, results in.
 *
 * Belongs here: what is sent and what is read. Does not belong here: what happens next (writer.c).
 */
#ifndef OBSERV_COLLECTOR_WRITER_STATEMENTS_H
#define OBSERV_COLLECTOR_WRITER_STATEMENTS_H

#include "collector/writer.h"

/* Sends the statement of a step. False when the connection does not take it or memory is short. */
bool writer_send(struct writer *w, enum writer_step step);

/* Reads the answer of observ._begin_batch() into w->reply and takes the clock's offset. */
void writer_read_reply(struct writer *w, const PGresult *res);

/* After the rows of w->kind: adds what the answer says to w->now. */
void writer_read_counts(struct writer *w, const PGresult *res);

/* Positions of log files go to the spool. */
void writer_read_positions(struct writer *w, const PGresult *res);

#endif
