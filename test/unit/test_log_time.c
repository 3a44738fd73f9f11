/* test_log_time.c: log_time.h: times as loggers write them. */
#include "unit.h"

#include "core/log_time.h"

/* 2026-01-02 03:04:05.678901 UTC */
#define US      INT64_C(1767323045678901)
#define MS      INT64_C(1767323045678000)
#define S       INT64_C(1767323045000000)
#define READ_US (S + INT64_C(3600000000))

static void
expect(const char *text, enum log_time_result result, int64_t us)
{
	int64_t got = -1;
	enum log_time_result how = log_time_parse(slice_of(text), 7200, READ_US, &got);

	if (how != result || (result != LOG_TIME_NONE && got != us))
		fail_msg("%s: %d %lld, not %d %lld", text, how, (long long) got, result, (long long) us);
}

static void
times_with_a_zone(void **state)
{
	(void) state;
	expect("2026-01-02T03:04:05.678901Z", LOG_TIME_OK, US);
	expect("2026-01-02T03:04:05.678901234Z", LOG_TIME_OK, US);
	expect("2026-01-02t03:04:05.678901z", LOG_TIME_OK, US);
	expect("2026-01-02T03:04:05Z", LOG_TIME_OK, S);
	expect("2026-01-02T03:04Z", LOG_TIME_OK, S - 5000000);
	expect("2026-01-02T03:04:05.678901+00:00", LOG_TIME_OK, US);
	expect("2026-01-02 04:04:05,678+01", LOG_TIME_OK, MS);
	expect("2026-01-01T21:34:05.678-0530", LOG_TIME_OK, MS);
	expect("2026-01-02 08:34:05.678 +05:30", LOG_TIME_OK, MS);
	expect("2026-01-02 03:04:05.678 UTC", LOG_TIME_OK, MS);
	expect("2026/01/02 03:04:05 GMT", LOG_TIME_OK, S);
	expect("02/Jan/2026:03:04:05 +0000", LOG_TIME_OK, S);
	expect("  2026-01-02T03:04:05Z ", LOG_TIME_OK, S);
	expect("2024-02-29T00:00:00Z", LOG_TIME_OK, INT64_C(1709164800000000));
	expect("2016-12-31T23:59:60Z", LOG_TIME_OK, INT64_C(1483228800000000)); /* a leap second */
}

static void
times_without_zone_get_the_caller_s(void **state)
{
	(void) state;
	expect("2026-01-02 05:04:05,678", LOG_TIME_NO_ZONE, MS);
	expect("2026-01-02T05:04:05.678901", LOG_TIME_NO_ZONE, US);
	expect("2026-01-02_05:04:05", LOG_TIME_NO_ZONE, S);
	expect("2026/01/02 05:04:05", LOG_TIME_NO_ZONE, S);
	expect("2026-01-02 05:04:05 CET", LOG_TIME_NO_ZONE, S); /* a zone that is not known */
	expect("Jan  2 05:04:05", LOG_TIME_NO_ZONE, S);
	expect("Dec 31 05:04:05", LOG_TIME_NO_ZONE, INT64_C(1767150245000000)); /* of last year */
}

static void
numbers_by_their_size(void **state)
{
	(void) state;
	expect("1767323045", LOG_TIME_OK, S);
	expect("1767323045.678901", LOG_TIME_OK, US);
	expect("1767323045.6789019", LOG_TIME_OK, US);
	expect("1.767323045678901e9", LOG_TIME_OK, US);
	expect("1.767323045E+9", LOG_TIME_OK, S);
	expect("1767323045678", LOG_TIME_OK, MS);
	expect("1767323045678.901", LOG_TIME_OK, US);
	expect("1767323045678901", LOG_TIME_OK, US);
	expect("1767323045678901234", LOG_TIME_OK, US);
}

static void
other_texts_are_no_times(void **state)
{
	static const char *const texts[] = {"",
										" ",
										"now",
										"2026",
										"2026-01-02",
										"2026-13-02T03:04:05Z",
										"2026-02-30T03:04:05Z",
										"2025-02-29T03:04:05Z",
										"2026-01-02T24:04:05Z",
										"2026-01-02T03:60:05Z",
										"2026-01-02T03:04:61Z",
										"2026-01-02T03:04:05Zulu",
										"2026-1-2T03:04:05Z",
										"-5",
										"1e99",
										"1.5.5",
										"99999999999999999999999",
										"Foo  2 05:04:05",
										"02/Foo/2026:03:04:05 +0000"};

	(void) state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		int64_t us;
		enum log_time_result how = log_time_parse(slice_of(texts[i]), 0, READ_US, &us);

		/* A number is one, plausible or not. */
		if (how != LOG_TIME_NONE && log_time_plausible(us, READ_US))
			fail_msg("%s is taken for a time", texts[i]);
	}
}

static void
plausible_is_from_2000_to_tomorrow(void **state)
{
	(void) state;
	assert_true(log_time_plausible(READ_US, READ_US));
	assert_true(log_time_plausible(READ_US + INT64_C(86400000000), READ_US));
	assert_false(log_time_plausible(READ_US + INT64_C(86400000001), READ_US));
	assert_true(log_time_plausible(INT64_C(946684800000000), READ_US));
	assert_false(log_time_plausible(INT64_C(946684799999999), READ_US));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_with_a_zone),
		cmocka_unit_test(times_without_zone_get_the_caller_s),
		cmocka_unit_test(numbers_by_their_size),
		cmocka_unit_test(other_texts_are_no_times),
		cmocka_unit_test(plausible_is_from_2000_to_tomorrow),
	};

	return TESTS(tests);
}
