/*
 * queue.h: rows that wait for the database: bounded, oldest first, with the newest at hand.
 *
 * Belongs here: the order in which rows leave and what is lost when there is no room.
 * Does not belong here: what a row means, sending.
 * NEUTRAL, pure: the caller brings the memory.
 */
#ifndef OBSERV_CORE_QUEUE_H
#define OBSERV_CORE_QUEUE_H

#include "core/row.h"

struct row_queue {
	struct row *slot;
	int capacity;
	int first; /* the oldest */
	int count;
	int64_t dropped; /* rows that were lost for want of room, ever */
};

void queue_init(struct row_queue *q, struct row *slots, int capacity);

/* Adds the newest row. When the queue is full the oldest row is lost and counted. */
void queue_push(struct row_queue *q, const struct row *row);

/* Gives rows back to where their times belong. Where there is no room the oldest are lost and counted. */
void queue_give_back(struct row_queue *q, const struct row *rows, int n);

/* Takes up to `max` oldest rows. */
int queue_take_oldest(struct row_queue *q, struct row *rows, int max);

/* Takes the newest row; 0 when there is none. */
int queue_take_newest(struct row_queue *q, struct row *row);

#endif
