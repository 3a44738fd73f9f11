/*
 * rollup.h: what remains of the samples of one metric in one bucket of time (a cell), and many cells packed into bytes.
 *
 * Belongs here: adding samples to cells, merging cells, the packed format. Does not belong here: where samples come from, what a bucket is.
 * A cell is a function of its samples in the order of their time, bit for bit, and a merged cell one of its parts in the order of their
 * time: whoever computes it again from the same samples gets the same bytes. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ROLLUP_H
#define OBSERV_CORE_ROLLUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most metrics that one packed row holds. */
#define ROLLUP_MAX_CELLS 64

/* A cell with count 0 is empty; its other members then mean nothing. All values are finite, sums may have overflowed. */
struct cell {
	uint64_t count;
	double min, max, last, sum;
	uint32_t each;   /* weight of every sample, when all have the same; 0: see the next two */
	uint64_t weight; /* of all samples together; only when each is 0 */
	double weighted; /* sum of value times weight; only when each is 0 */
	bool counter;    /* then also: */
	double first;    /* value of the first sample */
	double increase; /* from the first sample to the last; a fall is a start from 0 */
};

/* The metrics of one bucket: cells[0 … n - 1], some of them empty. */
struct cell_row {
	int n;
	uint64_t nonfinite; /* samples left out because they are NaN or infinite */
	struct cell cells[ROLLUP_MAX_CELLS];
};

/* Makes n cells empty and nonfinite 0. */
extern void cell_row_clear(struct cell_row *row, int n);

/* Adds the next sample in time; value must be finite, weight above 0. A cell that has samples keeps what it was, counter or not. */
extern void cell_add(struct cell *cell, double value, uint32_t weight, bool counter);

/* Adds the samples of the same series that come after those in `cell`; `next` may be empty. */
extern void cell_merge(struct cell *cell, const struct cell *next);

/* Adds the samples of another series of the same time; increases add up. `last` becomes that of `other`. */
extern void cell_join(struct cell *cell, const struct cell *other);

/* How much a counter grew from `before` to `now`: from 0 when it fell, because it then started again. */
extern double counter_increase(double before, double now);

/* Average weighted by the samples' weights, between min and max; NAN when sums have overflowed both ways. Not for empty cells. */
extern double cell_average(const struct cell *cell);

/* Enough for a row of n cells. */
#define CELLS_MAX_BYTES(n) (64 + 70 * (size_t) (n))

/* Packs a row; `out` has room for CELLS_MAX_BYTES(row->n). Returns the length. */
extern size_t cells_encode(const struct cell_row *row, unsigned char *out);

/*
 * Unpacks; false, with *row undefined, when the bytes are not what cells_encode() makes. Safe for any bytes.
 */
extern bool cells_decode(const unsigned char *bytes, size_t length, struct cell_row *row);

#endif
