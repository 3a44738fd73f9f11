#include "unit.h"

#include "core/hash.h"

static void
fnv_1a_has_its_known_answers(void **state)
{
	/* from the authors' test suite */
	assert_true(hash_string(HASH_SEED, "") == HASH_SEED);
	assert_true(hash_string(HASH_SEED, "a") == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(hash_string(HASH_SEED, "foobar") == UINT64_C(0x85944171f73967e8));
	assert_true(hash_span(HASH_SEED, "\0", 1) == UINT64_C(0xaf63bd4c8601b7df));
}

static void
a_hash_goes_on_where_it_stopped(void **state)
{
	assert_true(hash_span(hash_span(HASH_SEED, "foo", 3), "bar", 3) == hash_string(HASH_SEED, "foobar"));
}

static void
the_finalizer_has_its_known_answers(void **state)
{
	assert_true(hash_finish(0) == 0);
	assert_true(hash_finish(1) == UINT64_C(0xb456bcfc34c2cb2c));
	assert_true(hash_finish(UINT64_MAX) == UINT64_C(0x64b5720b4b825f21));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fnv_1a_has_its_known_answers),
		cmocka_unit_test(a_hash_goes_on_where_it_stopped),
		cmocka_unit_test(the_finalizer_has_its_known_answers),
	};
	return TESTS(tests);
}
