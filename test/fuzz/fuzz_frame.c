/* fuzz_frame.c: any bytes as a segment of the spool. Belongs here: feeding, and what holds for all bytes. Does not: expectations (test/unit/test_frame.c, test_spool.c). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/spool_loss.h"
#include "collector/spool_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                          \
	do {                                                                                                     \
		if (!(what))                                                                                         \
			__builtin_trap();                                                                                \
	} while (0)

static void
check_payload(struct slice payload)
{
	static char again[1 << 16];
	struct record r;
	struct loss loss;

	if (!record_read(payload, &r))
		return;
	CHECK(record_size(&r) == (size_t) (payload.end - payload.p));
	CHECK(record_write(&r, again) == record_size(&r));
	CHECK(memcmp(again, payload.p, record_size(&r)) == 0);
	loss_of_event(&r, &loss);
}

/* The checksums that a fuzzer can't guess: each byte 'F' begins a frame over the next bytes. */
static size_t
make_frames(const uint8_t *data, size_t size, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < size; i++) {
		size_t length = i + 2 < size ? data[i + 2] % 128 : 0;
		if (data[i] != 'F' || i + 3 + length > size) {
			out[used++] = (char) data[i];
			continue;
		}
		memcpy(out + used + FRAME_HEAD, data + i + 3, length);
		frame_write_head(out + used, data[i + 1] & 1, data[i + 1], length);
		used += FRAME_HEAD + length;
		i += 2 + length;
	}
	return used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = malloc((FRAME_HEAD + 1) * (size + 1));
	struct segment seg = {.base = 1000, .memory = bytes};
	struct segment_reader r;
	struct frame frame;
	int64_t previous = 999;

	check_payload((struct slice){(const char *) data, (const char *) data + size});
	seg.size = (int64_t) make_frames(data, size, bytes);
	reader_open(&r, -1, &seg, NULL, 0, previous);
	while (reader_next(&r, &frame)) {
		CHECK((int64_t) frame.number > previous);
		CHECK(frame.payload.end <= bytes + seg.size);
		previous = (int64_t) frame.number;
		check_payload(frame.payload);
	}
	/* Damage has been counted once. */
	reader_open(&r, -1, &seg, NULL, 0, 999);
	while (reader_next(&r, &frame))
		continue;
	CHECK(r.damaged == 0);
	free(bytes);
	return 0;
}
