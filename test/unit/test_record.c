/* test_record.c: record.h: what is written is read, field by field; anything else is refused. */
#include "unit.h"

#include "core/record.h"

static const struct {
	enum record_kind kind;
	int fields;
} kinds[] = {
	{RECORD_METRICS, 33},
	{RECORD_HEALTH, HEALTH_FIELDS},
	{RECORD_LOG, LINE_FIELDS},
	{RECORD_SAMPLES, SAMPLES_FIELDS},
	{RECORD_EVENT, EVENT_FIELDS},
	{RECORD_PEERS, PEERS_FIELDS},
	{RECORD_POSITION, POSITION_FIELDS},
};

static void
every_kind_comes_back(void **state)
{
	static const char binary[] = "a\0b\xff";
	char bytes[2000], again[2000];
	struct record r, back;

	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		record_init(&r, kinds[k].kind, RANK_WARNING, INT64_C(-1234567890123456));
		assert_int_equal(r.fields, kinds[k].fields);
		assert_true(r.fields <= RECORD_FIELDS_MAX);
		/* A value, NULL, an empty string, bytes that are no text, and so on. */
		for (int f = 0; f < r.fields; f++) {
			record_set(&r, f, f % 4 == 0 ? "value" : f % 4 == 2 ? "" : NULL);
			if (f % 4 == 3)
				r.field[f] = (struct slice){binary, binary + 4};
		}
		size_t size = record_write(&r, bytes);
		assert_int_equal(size, record_size(&r));
		assert_true(record_read((struct slice){bytes, bytes + size}, &back));
		assert_int_equal(back.kind, r.kind);
		assert_int_equal(back.rank, r.rank);
		assert_true(back.timestamp_us == r.timestamp_us);
		assert_int_equal(back.fields, r.fields);
		for (int f = 0; f < r.fields; f++) {
			assert_int_equal(back.field[f].p == NULL, r.field[f].p == NULL);
			assert_int_equal(slice_compare(back.field[f], r.field[f]), 0);
		}
		assert_int_equal(record_write(&back, again), size);
		assert_memory_equal(bytes, again, size);
	}
}

static void
cut_or_longer(void **state)
{
	char bytes[200];
	struct record r, back;

	record_init(&r, RECORD_LOG, RANK_LOW, 1);
	record_set(&r, LINE_LEVEL, "info");
	record_set(&r, LINE_MESSAGE, "hello");
	size_t size = record_write(&r, bytes);
	for (size_t n = 0; n < size; n++) {
		char *copy = test_malloc(n + 1); /* so that reading on is seen */
		memcpy(copy, bytes, n);
		assert_false(record_read((struct slice){copy, copy + n}, &back));
		test_free(copy);
	}
	bytes[size] = 0;
	assert_false(record_read((struct slice){bytes, bytes + size + 1}, &back));
}

static void
heads_that_lie(void **state)
{
	static const struct {
		int at;
		unsigned char value;
	} lies[] = {
		{0, 0}, {0, RECORD_KINDS}, {0, 255}, {0, RECORD_METRICS}, {1, RANKS}, {1, 255},  {2, 0},
		{2, 6}, {2, 255},          {11, 4},  {11, 200},           {13, 1},    {14, 255},
	};
	char bytes[200];
	struct record r, back;

	record_init(&r, RECORD_LOG, RANK_LOW, 1);
	for (int f = 0; f < r.fields; f++)
		record_set(&r, f, "12345");
	size_t size = record_write(&r, bytes);
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		char was = bytes[lies[i].at];
		bytes[lies[i].at] = (char) lies[i].value;
		assert_false(record_read((struct slice){bytes, bytes + size}, &back));
		bytes[lies[i].at] = was;
	}
	assert_true(record_read((struct slice){bytes, bytes + size}, &back));
}

static void
ranks_of_levels(void **state)
{
	assert_int_equal(record_rank_of_level(slice_of("debug")), RANK_LOW);
	assert_int_equal(record_rank_of_level(slice_of("info")), RANK_LOW);
	assert_int_equal(record_rank_of_level(slice_of("warning")), RANK_WARNING);
	assert_int_equal(record_rank_of_level(slice_of("error")), RANK_KEEP);
	assert_int_equal(record_rank_of_level(slice_of("critical")), RANK_KEEP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_comes_back),
		cmocka_unit_test(cut_or_longer),
		cmocka_unit_test(heads_that_lie),
		cmocka_unit_test(ranks_of_levels),
	};
	return TESTS(tests);
}
