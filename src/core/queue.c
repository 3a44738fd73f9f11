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

static void
put_in_front(struct row_queue *q, const struct row *row)
{
	q->first = (q->first + q->capacity - 1) % q->capacity;
	q->count++;
	*at(q, 0) = *row;
}

/* Moves up what is newer. */
static void
put_in_order(struct row_queue *q, const struct row *row)
{
	int i = q->count++;

	for (; i > 0 && at(q, i - 1)->timestamp_us > row->timestamp_us; i--)
		*at(q, i) = *at(q, i - 1);
	*at(q, i) = *row;
}

void
queue_give_back(struct row_queue *q, const struct row *rows, int n)
{
	while (n-- > 0) {
		bool oldest = q->count == 0 || rows[n].timestamp_us < at(q, 0)->timestamp_us;
		if (q->count == q->capacity) {
			q->dropped++;
			if (oldest)
				continue;
			q->first = (q->first + 1) % q->capacity;
			q->count--;
		}
		if (oldest)
			put_in_front(q, &rows[n]);
		else
			put_in_order(q, &rows[n]);
	}
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
