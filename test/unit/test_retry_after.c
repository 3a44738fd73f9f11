/* test_retry_after.c: what receivers say about when to come back. */
#include "unit.h"

#include "core/retry_after.h"

#define NOW INT64_C(1768910400) /* 2026-01-20 12:00:00 UTC */

static void
reads_seconds(void **state)
{
	assert_int_equal(retry_after_ms("0", NOW), 0);
	assert_int_equal(retry_after_ms("5", NOW), 5000);
	assert_int_equal(retry_after_ms("  120\t", NOW), 120000);
	assert_int_equal(retry_after_ms("0.65", NOW), 650);
	assert_int_equal(retry_after_ms("1.23456789", NOW), 1234);
	assert_int_equal(retry_after_ms("2.", NOW), 2000);
}

static void
reads_dates(void **state)
{
	assert_int_equal(retry_after_ms("Tue, 20 Jan 2026 12:00:07 GMT", NOW), 7000);
	assert_int_equal(retry_after_ms("Tuesday, 20-Jan-26 12:00:07 GMT", NOW), 7000);
	assert_int_equal(retry_after_ms("Tue Jan 20 12:00:07 2026", NOW), 7000);
	assert_int_equal(retry_after_ms("Tue, 20 Jan 2026 11:59:59 GMT", NOW), 0);
	assert_int_equal(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", NOW), 0);
}

static void
knows_the_calendar(void **state)
{
	int64_t s;

	assert_true(http_date("Sun, 06 Nov 1994 08:49:37 GMT", NOW, &s));
	assert_int_equal(s, 784111777);
	assert_true(http_date("Sun Nov  6 08:49:37 1994", NOW, &s));
	assert_int_equal(s, 784111777);
	assert_true(http_date("Sunday, 06-Nov-94 08:49:37 GMT", NOW, &s));
	assert_int_equal(s, 784111777);
	assert_true(http_date("Thu, 29 Feb 2024 23:59:60 GMT", NOW, &s));
	assert_int_equal(s, 1709251200);
	assert_true(http_date("Thu, 01 Jan 1970 00:00:00 GMT", NOW, &s));
	assert_int_equal(s, 0);
	/* Two digits: up to 50 years ahead, else in the past (RFC 9110). */
	assert_true(http_date("Monday, 20-Jan-75 12:00:00 GMT", NOW, &s));
	assert_true(s > NOW);
	assert_true(http_date("Monday, 20-Jan-80 12:00:00 GMT", NOW, &s));
	assert_true(s < NOW);
}

static void
has_a_limit(void **state)
{
	assert_int_equal(retry_after_ms("900", NOW), RETRY_AFTER_MAX_MS);
	assert_int_equal(retry_after_ms("901", NOW), RETRY_AFTER_MAX_MS);
	assert_int_equal(retry_after_ms("99999999999999999999999999999999999999", NOW), RETRY_AFTER_MAX_MS);
	assert_int_equal(retry_after_ms("Fri, 31 Dec 9999 23:59:59 GMT", NOW), RETRY_AFTER_MAX_MS);
	assert_int_equal(retry_after_ms("Fri, 31 Dec 9999 23:59:59 GMT", INT64_MIN / 4), RETRY_AFTER_MAX_MS);
}

static void
refuses_what_it_does_not_know(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"soon",
		"-5",
		"5 s",
		"5,0",
		"0x10",
		".5",
		"Tue, 20 Jan 2026 12:00:07 CET",
		"Tue, 20 Jan 2026 12:00:07 GMT and then",
		"Tue, 20 Jan 2026 25:00:07 GMT",
		"Tue, 20 Jan 2026 12:00",
		"Tue, 00 Jan 2026 12:00:07 GMT",
		"Tue, 20 Foo 2026 12:00:07 GMT",
		"Tue, 20 Jan",
		"Tue,",
		"2026-01-20T12:00:07Z",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (retry_after_ms(texts[i], NOW) != -1)
			fail_msg("\"%s\" is understood", texts[i]);
	assert_int_equal(retry_after_ms(NULL, NOW), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_seconds),
		cmocka_unit_test(reads_dates),
		cmocka_unit_test(knows_the_calendar),
		cmocka_unit_test(has_a_limit),
		cmocka_unit_test(refuses_what_it_does_not_know),
	};

	return TESTS(tests);
}
