/* test_frame.c: frame.h, crc32c.h: what is written is read; damage is seen; the next frame is found. */
#include "unit.h"

#include "core/crc32c.h"
#include "core/frame.h"

static size_t
put(char *at, uint8_t flags, uint64_t number, const char *text)
{
	memcpy(at + FRAME_HEAD, text, strlen(text));
	frame_write_head(at, flags, number, strlen(text));
	return frame_size(at);
}

static void
known_checksums(void **state)
{
	char bytes[32];

	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	/* RFC 3720, B.4 */
	memset(bytes, 0, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (char) i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	for (size_t cut = 0; cut <= 32; cut++)
		assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, 32 - cut), 0x46dd794e);
}

static void
round_trip(void **state)
{
	char bytes[100];
	struct frame frame;
	size_t size = put(bytes, FRAME_GOES_ON, UINT64_C(0x123456789abcdef0), "payload");

	assert_int_equal(frame_read((struct slice){bytes, bytes + 100}, &frame), FRAME_WHOLE);
	assert_int_equal(frame.size, size);
	assert_int_equal(frame.flags, FRAME_GOES_ON);
	assert_true(frame.number == UINT64_C(0x123456789abcdef0));
	assert_true(slice_equals(frame.payload, "payload"));
	frame_rewrite_head(bytes, 0, 7);
	assert_int_equal(frame_read((struct slice){bytes, bytes + size}, &frame), FRAME_WHOLE);
	assert_int_equal(frame.flags, 0);
	assert_int_equal(frame.number, 7);
	assert_true(slice_equals(frame.payload, "payload"));
	size = put(bytes, 0, 1, "");
	assert_int_equal(frame_read((struct slice){bytes, bytes + size}, &frame), FRAME_WHOLE);
	assert_true(frame.payload.p == frame.payload.end);
}

static void
cut_anywhere(void **state)
{
	char bytes[100];
	struct frame frame;
	size_t size = put(bytes, 0, 1, "payload");

	for (size_t n = 0; n < size; n++) {
		char *copy = test_malloc(n + 1); /* so that a reader that goes too far is seen */
		memcpy(copy, bytes, n);
		assert_int_equal(frame_read((struct slice){copy, copy + n}, &frame), FRAME_CUT);
		assert_int_equal(frame.size, n < FRAME_HEAD ? FRAME_HEAD : size);
		test_free(copy);
	}
}

static void
every_bit_counts(void **state)
{
	char bytes[100];
	struct frame frame;
	size_t size = put(bytes, 0, 1, "payload");

	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (char) (1 << bit % 8);
		enum frame_found found = frame_read((struct slice){bytes, bytes + 100}, &frame);
		assert_int_equal(found, bit / 8 < FRAME_HEAD ? FRAME_NONE : FRAME_DAMAGED);
		if (found == FRAME_DAMAGED)
			assert_int_equal(frame.size, size);
		bytes[bit / 8] ^= (char) (1 << bit % 8);
	}
}

static void
another_version(void **state)
{
	char bytes[100];
	struct frame frame;
	size_t size = put(bytes, 0, 1, "payload");

	bytes[2] = 2;
	frame_rewrite_head(bytes, 0, 1);
	assert_int_equal(frame_read((struct slice){bytes, bytes + size}, &frame), FRAME_VERSION);
	assert_int_equal(frame.size, size);
}

static void
absurd_length(void **state)
{
	char bytes[100];
	struct frame frame;

	put(bytes, 0, 1, "payload");
	memset(bytes + 4, 0x7f, 4);
	frame_rewrite_head(bytes, 0, 1); /* a checksum that fits, all the same */
	assert_int_equal(frame_read((struct slice){bytes, bytes + 100}, &frame), FRAME_NONE);
}

static void
search(void **state)
{
	char bytes[300];
	struct frame frame;

	memset(bytes, 0xfe, sizeof bytes); /* half a magic, all the way */
	size_t size = put(bytes + 200, 0, 1, "payload");
	struct slice rest = {bytes, bytes + 200 + size};
	size_t steps = 0;
	while (frame_read(rest, &frame) == FRAME_NONE) {
		size_t skip = frame_search(rest);
		assert_true(skip > 0);
		rest.p += skip;
		steps++;
	}
	assert_ptr_equal(rest.p, bytes + 200);
	assert_int_equal(steps, 1);
	/* Nothing to find; a first byte at the very end may be a beginning. */
	memset(bytes, 'x', sizeof bytes);
	assert_int_equal(frame_search((struct slice){bytes, bytes + 300}), 300);
	bytes[299] = (char) 0xfe;
	assert_int_equal(frame_search((struct slice){bytes, bytes + 300}), 299);
	assert_int_equal(frame_search((struct slice){bytes + 299, bytes + 300}), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_checksums), cmocka_unit_test(round_trip),
		cmocka_unit_test(cut_anywhere),    cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(another_version), cmocka_unit_test(absurd_length),
		cmocka_unit_test(search),
	};
	return TESTS(tests);
}
