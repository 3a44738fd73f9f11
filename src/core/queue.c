/* queue.c: A ring of rows. See queue.h for what belongs here. */
#include "core/queue.h"

void
queue_init(struct row_queue *q, struct row *slots, int capacity)
{
	q->slot = slots;
	q->capacity = capacity;
	q->first = q->count = 0;
	q->dropped = 0;
}

static struct row *
at(struct row_queue *q, int i)
{
	return &q->slot[(q->first + i) % q->capacity];
}

void
queue_push(struct row_queue *q, const struct row *row)
{
	if (q->count == q->capacity) {
		q->first = (q->first + 1) % q->capacity;
		q->count--;
		q->dropped++;
	}
	if (q->count == 0)
		q->first = 0; /* keeps touching the same memory while nothing is waiting */
	*at(q, q->count++) = *row;
}

void
queue_give_back(struct row_queue *q, const struct row *rows, int n)
{
	while (n > 0 && q->count < q->capacity) {
		q->first = (q->first + q->capacity - 1) % q->capacity;
		q->count++;
		*at(q, 0) = rows[--n];
	}
	q->dropped += n;
}

int
queue_take_oldest(struct row_queue *q, struct row *rows, int max)
{
	int n = 0;

	while (n < max && q->count > 0) {
		rows[n++] = *at(q, 0);
		q->first = (q->first + 1) % q->capacity;
		q->count--;
	}
	return n;
}

int
queue_take_newest(struct row_queue *q, struct row *row)
{
	if (q->count == 0)
		return 0;
	*row = *at(q, --q->count);
	return 1;
}
