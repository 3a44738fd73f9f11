/* unit.h: what every cmocka test needs first. */
#ifndef OBSERV_TEST_UNIT_H
#define OBSERV_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the others */
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TESTS(list) cmocka_run_group_tests(list, NULL, NULL)

#define assert_near(actual, expected)                                                                        \
	do {                                                                                                     \
		double actual_ = (actual), expected_ = (expected);                                                   \
		if (!(fabs(actual_ - expected_) <= 1e-6 * (1 + fabs(expected_))))                                    \
			fail_msg("%s is %.9g, not %.9g", #actual, actual_, expected_);                                   \
	} while (0)

#define assert_unknown(actual)                                                                               \
	do {                                                                                                     \
		double actual_ = (actual);                                                                           \
		if (!isnan(actual_))                                                                                 \
			fail_msg("%s is %.9g, not unknown", #actual, actual_);                                           \
	} while (0)

#endif
