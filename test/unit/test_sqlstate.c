/* test_sqlstate.c: sqlstate.h: which error is retried, told, or put aside. */
#include "unit.h"

#include "core/sqlstate.h"

static void
remedies(void **state)
{
	static const struct {
		const char *sqlstate;
		enum remedy remedy;
	} expected[] = {
		{NULL, REMEDY_RETRY},         {"", REMEDY_RETRY},           {"08006", REMEDY_RETRY},
		{"53300", REMEDY_RETRY},      {"53100", REMEDY_RETRY},      {"57P01", REMEDY_RETRY},
		{"57P03", REMEDY_RETRY},      {"57014", REMEDY_RETRY},      {"40001", REMEDY_RETRY},
		{"25P03", REMEDY_RETRY},      {"40P01", REMEDY_RETRY},      {"25006", REMEDY_RETRY},
		{"55000", REMEDY_RETRY},      {"55P03", REMEDY_RETRY},      {"22003", REMEDY_QUARANTINE},
		{"22P05", REMEDY_QUARANTINE}, {"23514", REMEDY_QUARANTINE}, {"23502", REMEDY_QUARANTINE},
		{"54000", REMEDY_QUARANTINE}, {"42501", REMEDY_OPERATOR},   {"42883", REMEDY_OPERATOR},
		{"28P01", REMEDY_OPERATOR},   {"28000", REMEDY_OPERATOR},   {"3F000", REMEDY_OPERATOR},
		{"3D000", REMEDY_OPERATOR},   {"XX000", REMEDY_OPERATOR},   {"P0001", REMEDY_OPERATOR},
	};

	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
		if (advice_for_sqlstate(expected[i].sqlstate).remedy != expected[i].remedy)
			fail_msg("wrong remedy for %s", expected[i].sqlstate);
}

static void
words_that_say_what_to_type(void **state)
{
	assert_non_null(strstr(advice_for_sqlstate("3F000").hint, "CREATE EXTENSION observ"));
	assert_non_null(strstr(advice_for_sqlstate("42883").hint, "CREATE EXTENSION observ"));
	assert_non_null(strstr(advice_for_sqlstate("55000").hint, "observ.resume()"));
	assert_non_null(strstr(advice_for_sqlstate("28P01").problem, "password"));
	assert_non_null(strstr(advice_for_sqlstate("3D000").hint, "CREATE DATABASE"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remedies),
		cmocka_unit_test(words_that_say_what_to_type),
	};
	return TESTS(tests);
}
