/*
 * writer_put.h: a small flush as one statement, which is a transaction by itself: what an idle agent sends each minute.
 *
 * Belongs here: which batches can go that way, their rows as text, the answer. Does not belong here: the way in steps, which takes
 * everything and which this one falls back to (writer_statements.h).
 *
 * An answer that is lost may mean that the server has not begun yet, and the batch may come twice. So only rows with a key of their own go
 * this way, with the time that they have: the second of two is not stored.
 */
#ifndef OBSERV_COLLECTOR_WRITER_PUT_H
#define OBSERV_COLLECTOR_WRITER_PUT_H

#include "collector/writer.h"

/* Makes the rows of the batch in w->params. False when it has to go in steps. */
bool put_prepare(struct writer *w);

/* Sends what put_prepare() has just made. */
bool put_send(struct writer *w);

/* Reads the answer into w->reply and w->now. False when the database did nothing. */
bool put_read(struct writer *w, const PGresult *res);

/* The database did nothing: this batch is sent once more with all names, or, when that is what it was or an error came, in steps. */
void put_refused(struct writer *w, bool by_error);

#endif
