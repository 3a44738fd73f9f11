/* test_address_guard.c: which addresses no request goes to, in every way to write them. */
#include "unit.h"

#include <arpa/inet.h>

#include "core/address_guard.h"

static const char *
refused(const char *text)
{
	uint8_t bytes[16];
	int six = strchr(text, ':') != NULL;

	if (inet_pton(six ? AF_INET6 : AF_INET, text, bytes) != 1)
		fail_msg("%s is no address", text);
	return address_refused(bytes, six ? 16 : 4);
}

static void
refuses(void **state)
{
	static const char *const texts[] = {
		"169.254.169.254",
		"169.254.0.0",
		"169.254.255.255",
		"0.0.0.0",
		"0.1.2.3",
		"100.100.100.200",
		"192.0.0.192",
		"168.63.129.16",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"fe80::1",
		"febf:ffff::1",
		"fd00:ec2::254",
		"fd20:ce::254",
		"ff02::1",
		"::ffff:169.254.169.254",
		"::ffff:0.0.0.0",
		"::169.254.169.254",
		"::ffff:0:169.254.169.254",
		"64:ff9b::169.254.169.254",
		"2002:a9fe:a9fe::1",
		"::ffff:100.100.100.200",
		"::ffff:224.0.0.1",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!refused(texts[i]))
			fail_msg("%s is allowed", texts[i]);
}

static void
allows(void **state)
{
	static const char *const texts[] = {
		"127.0.0.1",        "10.0.0.1",          "192.168.1.1", "172.16.0.1",       "100.64.0.1",
		"100.100.100.201",  "169.253.255.255",   "169.255.0.0", "1.0.0.0",          "223.255.255.255",
		"192.0.0.191",      "8.8.8.8",           "::1",         "fec0::1",          "fe7f::1",
		"fd00::1",          "fd00:ec1::254",     "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"64:ff9b::8.8.8.8", "2002:0808:0808::1",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (refused(texts[i]))
			fail_msg("%s is refused: %s", texts[i], refused(texts[i]));
}

static void
refuses_what_is_no_address(void **state)
{
	const uint8_t bytes[16] = {127, 0, 0, 1};

	assert_non_null(address_refused(bytes, 0));
	assert_non_null(address_refused(bytes, 5));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(allows),
		cmocka_unit_test(refuses_what_is_no_address),
	};

	return TESTS(tests);
}
