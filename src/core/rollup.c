/*
 * Cells and their packed format. What does not belong here: tables, time.
 *
 * Format, version 1. Numbers are LEB128 varints unless said otherwise:
 *   byte      version
 *   byte      n, number of metrics
 *   varint    nonfinite
 *   varint    count, each and, when each is 0, weight: of the fullest cell; cells that have the same don't repeat them
 *   bytes     a bit per metric: whether its cell has samples; least significant bit first
 *   per cell that has samples:
 *     2 bytes flags, see below
 *     varints count; each and, when that is 0, weight: when the flags say so
 *     a constant whose sum is its product with count: the value, trimmed. Else min, max, last, first and increase, those that the flags
 *     don't tell, as 4 or 8 bytes; and the sum, trimmed
 *     when each is 0: the weighted sum, 8 bytes
 * A trimmed number is a double, most significant byte first, without the zero bytes at its end; its length is in the flags. What comes from
 * a real has at most 5 bytes so, and sums of a few of them 6.
 */
#include "core/rollup.h"

#include <math.h>
#include <string.h>

#define FORMAT_VERSION 1

enum flag {
	CONSTANT = 1 << 0, /* min, max, last and first are one value */
	PRODUCT = 1 << 1,  /* sum is count times last */
	FLOAT4 = 1 << 2,   /* values, except sums, have 4 bytes */
	LAST_IS_MAX = 1 << 3,
	LAST_IS_MIN = 1 << 4,
	OWN_COUNT = 1 << 5,
	OWN_WEIGHT = 1 << 6,
	COUNTER = 1 << 7,
	FIRST_IS_MIN = 1 << 8,
	SPAN = 1 << 9,     /* increase is last minus first */
	LENGTH_SHIFT = 10, /* 4 bits: length of the trimmed number */
	KNOWN_FLAGS = (1 << 14) - 1
};

/* ---- cells */

void
cell_row_clear(struct cell_row *row, int n)
{
	row->n = n;
	row->nonfinite = 0;
	for (int i = 0; i < n; i++)
		row->cells[i].count = 0;
}

/* From one weight for all to a sum of weights. */
static void
spread_weight(struct cell *cell)
{
	if (cell->each == 0)
		return;
	cell->weight = cell->count * cell->each;
	cell->weighted = cell->sum * cell->each;
	cell->each = 0;
}

double
counter_increase(double before, double now)
{
	if (now >= before)
		return now - before;
	return now > 0 ? now : 0;
}

void
cell_add(struct cell *cell, double value, uint32_t weight, bool counter)
{
	if (cell->count == 0) {
		*cell = (struct cell){.count = 1,
							  .min = value,
							  .max = value,
							  .last = value,
							  .sum = value,
							  .each = weight,
							  .counter = counter,
							  .first = value};
		return;
	}
	if (cell->each != weight) {
		spread_weight(cell);
		cell->weight += weight;
		cell->weighted += value * weight;
	}
	cell->count++;
	cell->sum += value;
	if (value < cell->min)
		cell->min = value;
	if (value > cell->max)
		cell->max = value;
	if (cell->counter)
		cell->increase += counter_increase(cell->last, value);
	cell->last = value;
}

/* What merging in time and joining side by side have in common; neither cell is empty. */
static void
combine(struct cell *cell, const struct cell *other)
{
	if (cell->each != other->each || cell->each == 0) {
		struct cell spread = *other;

		spread_weight(cell);
		spread_weight(&spread);
		cell->weight += spread.weight;
		cell->weighted += spread.weighted;
	}
	cell->count += other->count;
	cell->sum += other->sum;
	if (other->min < cell->min)
		cell->min = other->min;
	if (other->max > cell->max)
		cell->max = other->max;
	cell->last = other->last;
	cell->increase += other->increase;
}

void
cell_merge(struct cell *cell, const struct cell *next)
{
	if (next->count == 0)
		return;
	if (cell->count == 0) {
		*cell = *next;
		return;
	}
	/* Both, or neither: a series that became a counter since counts from here on. */
	cell->counter = cell->counter && next->counter;
	if (cell->counter)
		cell->increase += counter_increase(cell->last, next->first);
	combine(cell, next);
}

void
cell_join(struct cell *cell, const struct cell *other)
{
	if (other->count == 0)
		return;
	if (cell->count == 0)
		*cell = *other;
	else {
		cell->counter = cell->counter && other->counter;
		combine(cell, other);
	}
}

double
cell_average(const struct cell *cell)
{
	double average =
		cell->each != 0 ? cell->sum / (double) cell->count : cell->weighted / (double) cell->weight;

	/* Rounding, or an overflow of the sum, must not take it out of the range of the values. */
	if (average < cell->min)
		return cell->min;
	return average > cell->max ? cell->max : average;
}

/* ---- bits and bytes */

static uint64_t
bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

/* Not by ==, for which 0 and -0 are one. */
static bool
same(double a, double b)
{
	return bits_of(a) == bits_of(b);
}

static bool
fits_float4(double value)
{
	return same((double) (float) value, value);
}

static int
trimmed_length(double value)
{
	uint64_t bits = bits_of(value);
	int length = 0;

	for (; bits != 0; bits <<= 8)
		length++;
	return length;
}

static unsigned char *
put_varint(unsigned char *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*out++ = (unsigned char) (value | 0x80);
	*out++ = (unsigned char) value;
	return out;
}

static unsigned char *
put_bits(unsigned char *out, uint64_t bits, int length)
{
	for (int i = 0; i < length; i++)
		*out++ = (unsigned char) (bits >> (56 - 8 * i));
	return out;
}

static unsigned char *
put_value(unsigned char *out, double value, unsigned flags)
{
	float small = (float) value;
	uint32_t bits;

	if (!(flags & FLOAT4))
		return put_bits(out, bits_of(value), 8);
	memcpy(&bits, &small, sizeof bits);
	return put_bits(out, (uint64_t) bits << 32, 4);
}

/* ---- packing */

/* The cell whose count and weight the others may share: the one with the most samples; NULL when all are empty. */
static const struct cell *
fullest(const struct cell_row *row)
{
	const struct cell *found = NULL;

	for (int i = 0; i < row->n; i++)
		if (row->cells[i].count > 0 && (found == NULL || row->cells[i].count > found->count))
			found = &row->cells[i];
	return found;
}

static unsigned char *
put_weight(unsigned char *out, const struct cell *cell)
{
	out = put_varint(out, cell->each);
	return cell->each != 0 ? out : put_varint(out, cell->weight);
}

static unsigned
choose_flags(const struct cell *cell, const struct cell *common)
{
	unsigned flags = 0;
	bool constant = same(cell->min, cell->last) && same(cell->max, cell->last) &&
					(!cell->counter || (same(cell->first, cell->last) && same(cell->increase, 0)));

	if (cell->count != common->count)
		flags |= OWN_COUNT;
	if (cell->each != common->each || (cell->each == 0 && cell->weight != common->weight))
		flags |= OWN_WEIGHT;
	if (same((double) cell->count * cell->last, cell->sum))
		flags |= PRODUCT;
	if (cell->counter)
		flags |= COUNTER;
	if (constant && (flags & PRODUCT))
		return flags | CONSTANT | (unsigned) trimmed_length(cell->last) << LENGTH_SHIFT;
	if (fits_float4(cell->min) && fits_float4(cell->max) && fits_float4(cell->last) &&
		(!cell->counter || fits_float4(cell->first)))
		flags |= FLOAT4;
	if (same(cell->last, cell->max))
		flags |= LAST_IS_MAX;
	if (same(cell->last, cell->min))
		flags |= LAST_IS_MIN;
	if (cell->counter && same(cell->first, cell->min))
		flags |= FIRST_IS_MIN;
	if (cell->counter && same(cell->last - cell->first, cell->increase))
		flags |= SPAN;
	if (!(flags & PRODUCT))
		flags |= (unsigned) trimmed_length(cell->sum) << LENGTH_SHIFT;
	return flags;
}

static unsigned char *
put_cell(unsigned char *out, const struct cell *cell, const struct cell *common)
{
	unsigned flags = choose_flags(cell, common);
	int length = (int) (flags >> LENGTH_SHIFT);

	*out++ = (unsigned char) flags;
	*out++ = (unsigned char) (flags >> 8);
	if (flags & OWN_COUNT)
		out = put_varint(out, cell->count);
	if (flags & OWN_WEIGHT)
		out = put_weight(out, cell);
	if (flags & CONSTANT)
		out = put_bits(out, bits_of(cell->last), length);
	else {
		out = put_value(out, cell->last, flags);
		if (!(flags & LAST_IS_MIN))
			out = put_value(out, cell->min, flags);
		if (!(flags & LAST_IS_MAX))
			out = put_value(out, cell->max, flags);
		if (cell->counter && !(flags & FIRST_IS_MIN))
			out = put_value(out, cell->first, flags);
		if (cell->counter && !(flags & SPAN))
			out = put_bits(out, bits_of(cell->increase), 8);
		if (!(flags & PRODUCT))
			out = put_bits(out, bits_of(cell->sum), length);
	}
	return cell->each != 0 ? out : put_bits(out, bits_of(cell->weighted), 8);
}

size_t
cells_encode(const struct cell_row *row, unsigned char *out)
{
	static const struct cell none = {.each = 1};
	const struct cell *common = fullest(row);
	unsigned char *start = out, *present;

	if (common == NULL)
		common = &none;
	*out++ = FORMAT_VERSION;
	*out++ = (unsigned char) row->n;
	out = put_varint(out, row->nonfinite);
	out = put_varint(out, common->count);
	out = put_weight(out, common);
	present = out;
	out += (row->n + 7) / 8;
	memset(present, 0, (size_t) (out - present));
	for (int i = 0; i < row->n; i++)
		if (row->cells[i].count > 0) {
			present[i / 8] |= (unsigned char) (1 << i % 8);
			out = put_cell(out, &row->cells[i], common);
		}
	return (size_t) (out - start);
}

/* ---- unpacking */

/* Bytes not yet read; once `bad`, nothing that was read means anything. */
struct input {
	const unsigned char *p, *end;
	bool bad;
};

static unsigned
get_byte(struct input *in)
{
	if (in->p == in->end) {
		in->bad = true;
		return 0;
	}
	return *in->p++;
}

static uint64_t
get_varint(struct input *in)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64; shift += 7) {
		unsigned byte = get_byte(in);

		value |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	in->bad = true;
	return 0;
}

static uint64_t
get_bits(struct input *in, int length)
{
	uint64_t bits = 0;

	for (int i = 0; i < length; i++)
		bits |= (uint64_t) get_byte(in) << (56 - 8 * i);
	return bits;
}

static double
get_double(struct input *in, int length)
{
	uint64_t bits = get_bits(in, length);
	double value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

static double
get_value(struct input *in, unsigned flags)
{
	uint32_t bits;
	float small;

	if (!(flags & FLOAT4))
		return get_double(in, 8);
	bits = (uint32_t) (get_bits(in, 4) >> 32);
	memcpy(&small, &bits, sizeof small);
	return small;
}

static void
get_weight(struct input *in, struct cell *cell)
{
	uint64_t each = get_varint(in);

	if (each > UINT32_MAX)
		in->bad = true;
	cell->each = (uint32_t) each;
	cell->weight = each == 0 ? get_varint(in) : 0;
	if (each == 0 && cell->weight == 0)
		in->bad = true;
}

static void
get_values(struct input *in, struct cell *cell, unsigned flags, int length)
{
	if (flags & CONSTANT) {
		cell->min = cell->max = cell->last = cell->first = get_double(in, length);
		cell->sum = (double) cell->count * cell->last;
		return;
	}
	cell->last = get_value(in, flags);
	cell->min = flags & LAST_IS_MIN ? cell->last : get_value(in, flags);
	cell->max = flags & LAST_IS_MAX ? cell->last : get_value(in, flags);
	if (cell->counter) {
		cell->first = flags & FIRST_IS_MIN ? cell->min : get_value(in, flags);
		cell->increase = flags & SPAN ? cell->last - cell->first : get_double(in, 8);
	}
	cell->sum = flags & PRODUCT ? (double) cell->count * cell->last : get_double(in, length);
}

static void
get_cell(struct input *in, struct cell *cell, const struct cell *common)
{
	unsigned flags = get_byte(in);
	int length;

	flags |= get_byte(in) << 8;
	length = (int) (flags >> LENGTH_SHIFT);
	*cell = *common;
	cell->counter = (flags & COUNTER) != 0;
	if (flags & OWN_COUNT)
		cell->count = get_varint(in);
	if (flags & OWN_WEIGHT)
		get_weight(in, cell);
	if (length > 8 || (flags & ~(unsigned) KNOWN_FLAGS) != 0 || cell->count == 0) {
		in->bad = true;
		return;
	}
	get_values(in, cell, flags, length);
	if (cell->each == 0)
		cell->weighted = get_double(in, 8);
	if (!isfinite(cell->min) || !isfinite(cell->max) || !isfinite(cell->last) ||
		(cell->counter && !isfinite(cell->first)) || cell->min > cell->last || cell->last > cell->max)
		in->bad = true;
}

bool
cells_decode(const unsigned char *bytes, size_t length, struct cell_row *row)
{
	struct input in = {bytes, bytes + length, false};
	struct cell common = {0};
	unsigned char present[ROLLUP_MAX_CELLS / 8];

	if (get_byte(&in) != FORMAT_VERSION)
		return false;
	row->n = (int) get_byte(&in);
	if (row->n > ROLLUP_MAX_CELLS)
		return false;
	row->nonfinite = get_varint(&in);
	common.count = get_varint(&in);
	get_weight(&in, &common);
	for (int i = 0; i < (row->n + 7) / 8; i++)
		present[i] = (unsigned char) get_byte(&in);
	for (int i = 0; i < row->n && !in.bad; i++) {
		row->cells[i].count = 0;
		if (present[i / 8] & 1 << i % 8)
			get_cell(&in, &row->cells[i], &common);
	}
	return !in.bad && in.p == in.end;
}
