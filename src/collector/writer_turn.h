/*
 * writer_turn.h: what the writer says next, and when: decisions, nothing is sent here.
 *
 * Belongs here: which records go, what follows a statement, flushes and backlogs, the search for a bad record, whose numbers
 * are whose. Does not belong here: connection, errors, sending (writer.c).
 */
#ifndef OBSERV_COLLECTOR_WRITER_TURN_H
#define OBSERV_COLLECTOR_WRITER_TURN_H

#include "collector/writer.h"

void turn_init(struct writer *w);

/* When the next flush is due if there is something to send, INT64_MIN: at once, INT64_MAX: not. */
int64_t turn_due_ms(const struct writer *w);

/* Whether a fresh sample is to go ahead of a backlog now. */
bool turn_fresh_is_due(const struct writer *w, int64_t now_ms);

/*
 * Takes records for a flush; false when there is none after all. A batch whose only record is bad stays what it is until that is in
 * quarantine.
 */
bool turn_take(struct writer *w, int64_t now_ms);

/* Takes the newest sample for a greeting, where older records have to go before it. */
bool turn_take_fresh(struct writer *w);

/* What follows a statement that went well. */
enum writer_step turn_step_after(struct writer *w);

/* The transaction is committed: a flush, a flush that was not accepted, a greeting. Sets when to speak again. */
void turn_flushed(struct writer *w, int64_t now_ms);
void turn_refused(struct writer *w, int64_t now_ms);
void turn_greeted(struct writer *w, int64_t now_ms);

/* A record of the batch is bad: half of the batch is tried alone; a record that is bad alone goes to quarantine. */
void turn_narrow(struct writer *w);

/* Large buffers go when they have done their work, or can't for now. */
void turn_release_memory(struct writer *w);

/* The database needs longer for a batch than there is time: the next one is smaller. */
void turn_be_patient(struct writer *w);

#endif
