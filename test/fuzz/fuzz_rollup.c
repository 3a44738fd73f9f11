/* fuzz_rollup.c: any bytes for the decoder of packed cells. Belongs here: feeding. Does not: expectations (test/unit). */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/rollup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cell_row row, back, sum;
	unsigned char bytes[CELLS_MAX_BYTES(ROLLUP_MAX_CELLS)], again[CELLS_MAX_BYTES(ROLLUP_MAX_CELLS)];
	size_t length;

	if (!cells_decode(data, size, &row))
		return 0;
	/* What was taken for good survives a round trip, and can be worked with. */
	length = cells_encode(&row, bytes);
	if (!cells_decode(bytes, length, &back) || cells_encode(&back, again) != length ||
		memcmp(bytes, again, length) != 0)
		__builtin_trap();
	cell_row_clear(&sum, row.n);
	for (int i = 0; i < row.n; i++) {
		cell_merge(&sum.cells[i], &row.cells[i]);
		cell_merge(&sum.cells[i], &row.cells[i]);
		cell_join(&sum.cells[i], &row.cells[i]);
		if (sum.cells[i].count > 0)
			(void) cell_average(&sum.cells[i]);
	}
	return 0;
}
