/*
 * writer_statements.h: the statements of a flush, one function each: parameters out, results in.
 *
 * Belongs here: what is sent and what is read. Does not belong here: what happens next (writer.c).
 */
#ifndef OBSERV_COLLECTOR_WRITER_STATEMENTS_H
#define OBSERV_COLLECTOR_WRITER_STATEMENTS_H

#include "collector/writer.h"

/* Sends the statement of w->step, but for what asks for the answer. False when the connection does not take it or memory is short. */
bool writer_send(struct writer *w);

/* Sends observ._begin_batch(), or with `rows` a statement that takes these behind its parameters. w->sent_at_us is set. */
bool writer_send_batch(struct writer *w, const char *sql, const char *rows);

/*
 * Reads the answer of observ._begin_batch() into w->reply and takes the clock's offset. Returns what stands behind it, NULL when the
 * answer is NULL.
 */
const char *writer_read_reply(struct writer *w, const PGresult *res);

/* What the sender knows better than the source of a RECORD_METRICS: the clock's offset. Other kinds stay as they are. */
void writer_complete_metrics(const struct writer *w, struct record *r, char offset[24]);

/* Of that many samples of the machine that were there already, those that had not gone ahead of their turn. */
int64_t writer_unexpected(const struct writer *w, int64_t duplicates);

/* After so many rows of w->kind: adds what the answer says to w->now. */
void writer_read_counts(struct writer *w, int rows, const PGresult *res);

/* Positions of log files go to the spool. */
void writer_read_positions(struct writer *w, const PGresult *res);

#endif
