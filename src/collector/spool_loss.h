/*
 * spool_loss.h: counting what was given up, and saying it as an event.
 *
 * Belongs here: the counts, and the words and the data of an event `data_lost`. Does not belong here: what goes (spool_evict.c).
 */
#ifndef OBSERV_COLLECTOR_SPOOL_LOSS_H
#define OBSERV_COLLECTOR_SPOOL_LOSS_H

#include "common/strbuf.h"
#include "core/record.h"

#define LOSS_EVENT "data_lost" /* its kind */

/* Why; several may be true of one event. */
enum loss_reason {
	LOSS_SPOOL_FULL = 1,  /* the cap of the spool */
	LOSS_DISK_LOW = 2,    /* too little of the disk is free */
	LOSS_MEMORY_FULL = 4, /* the disk can't be written, and the memory that stands in is full */
	LOSS_DAMAGED = 8,     /* files of the spool were damaged */
	LOSS_TOO_LARGE = 16,  /* one group is too large for any spool, or memory ran out */
	LOSS_NUMBERS = 32,    /* somebody else used its numbers: the database would not take it */
};

struct loss {
	int64_t records[RANKS]; /* dropped */
	int64_t thinned;        /* rows of vps_metrics, one a minute stayed */
	int64_t damaged;        /* places in files, each one record or more */
	struct {
		int64_t records[RANKS], thinned, damaged;
	} again;                /* of these, what an event told that is now lost itself */
	int64_t from_us, to_us; /* times of what was dropped and thinned; 0: unknown */
	unsigned reasons;       /* of enum loss_reason */
};

void loss_count(struct loss *l, const struct record *r);
void loss_thin(struct loss *l, const struct record *r);
void loss_add(struct loss *to, const struct loss *more);
/* Adds what has not been counted before. */
void loss_add_new(struct loss *to, const struct loss *more);
bool loss_is_any(const struct loss *l);

/* The event's message and data. */
void loss_message(const struct loss *l, struct strbuf *out);
void loss_json(const struct loss *l, struct strbuf *out);

/* What an event that was made of loss_json() says; false when the record is no such event. */
bool loss_of_event(const struct record *r, struct loss *out);

#endif
