/* test_log_template.c: log_template.h: what varies in a message, fingerprints. */
#include "unit.h"

#include "core/log_template.h"

static const char *
template_of(const char *message)
{
	static char out[LOG_TEMPLATE_MAX + 1];

	size_t len = log_template(slice_of(message), out);

	assert_int_equal(len, strlen(out));
	return out;
}

static void
numbers_of_all_kinds(void **state)
{
	assert_string_equal(template_of("user 42 logged in"), "user <*> logged in");
	assert_string_equal(template_of("took 12.5ms, then 3s"), "took <*>, then <*>");
	assert_string_equal(template_of("1.5e-7 at 0xdeadbeef of 10MB"), "<*> at <*> of <*>");
	assert_string_equal(template_of("95% of -3"), "<*>% of -<*>");
	assert_string_equal(template_of("worker-12 on web01"), "worker-<*> on <*>");
	assert_string_equal(template_of("2026-11-21T10:00:00.123Z start"), "<*> start");
	assert_string_equal(template_of("size=100 id=ab12"), "size=<*> id=<*>");
}

static void
addresses_and_ids(void **state)
{
	assert_string_equal(template_of("from 10.1.2.3:5432 to 10.1.2.0/24"), "from <*> to <*>");
	assert_string_equal(template_of("req 550e8400-e29b-41d4-a716-446655440000 done"), "req <*> done");
	assert_string_equal(template_of("req aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"), "req <*>");
	assert_string_equal(template_of("mac 0a:fe:ed:ab:cd:ef."), "mac <*>.");
	assert_string_equal(template_of("peer [fe80::a:b]:443"), "peer [<*>]:<*>");
	assert_string_equal(template_of("peer fe80::: up"), "peer <*>: up");
	assert_string_equal(template_of("GET /users/17/orders/9 done"), "GET /users/<*>/orders/<*> done");
	assert_string_equal(template_of("commit deadbeef and abcdef"), "commit <*> and abcdef");
	assert_string_equal(template_of("key ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), "key <*>");
}

static void
quotes(void **state)
{
	assert_string_equal(template_of("file \"a b.txt\" missing"), "file <*> missing");
	assert_string_equal(template_of("relation 'x y' isn't there"), "relation <*> isn't there");
	assert_string_equal(template_of("don't and can't"), "don't and can't");
	assert_string_equal(template_of("say \"a \\\" b\" end"), "say <*> end");
	assert_string_equal(template_of("an open \" quote"), "an open \" quote");
	assert_string_equal(template_of("level=info msg=\"user 7 came in.\" who=\"bob\""),
						"level=info msg=\"user <*> came in.\" who=<*>");
	assert_string_equal(template_of("xmsg=\"a\""), "xmsg=<*>");
}

static void
blanks_and_lines(void **state)
{
	assert_string_equal(template_of("  a \t b  "), "a b");
	assert_string_equal(template_of("\n\nTraceback 1\n  at x"), "Traceback <*>");
	assert_string_equal(template_of("a\x01"
									"b"),
						"a b");
	assert_string_equal(template_of(""), "");
	assert_string_equal(template_of("\xc3\xbc"
									"ber \xe6\x97\xa5 5"),
						"\xc3\xbc"
						"ber \xe6\x97\xa5 <*>");
}

static void
long_templates_are_cut_at_a_character(void **state)
{
	char message[2001];

	for (int i = 0; i < 1000; i++)
		memcpy(message + 2 * i, i % 9 == 8 ? "- " : "\xc3\xa9", 3);
	message[0] = 'a'; /* odd */
	message[1] = 'b';
	assert_in_range(strlen(template_of(message)), LOG_TEMPLATE_MAX - 1, LOG_TEMPLATE_MAX);
	assert_true(slice_is_printable(slice_of(template_of(message))));
	memset(message, '-', 399);
	memcpy(message + 399, "5 x", 4);
	assert_int_equal(strlen(template_of(message)), 399);
}

static void
fingerprints_are_fixed(void **state)
{
	struct slice one[] = {slice_of("a"), slice_of("b")}, two[] = {slice_of("ab"), slice_of("")},
				 empty = slice_of("");

	assert_true(log_fingerprint(one, 2) == log_fingerprint(one, 2));
	assert_true(log_fingerprint(one, 2) != log_fingerprint(two, 2));
	assert_true(log_fingerprint(&empty, 1) != 0);
	assert_int_equal(log_fingerprint(one, 2), UINT64_C(0x9ee055ea1a8ec313));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_all_kinds),
		cmocka_unit_test(addresses_and_ids),
		cmocka_unit_test(quotes),
		cmocka_unit_test(blanks_and_lines),
		cmocka_unit_test(long_templates_are_cut_at_a_character),
		cmocka_unit_test(fingerprints_are_fixed),
	};

	return TESTS(tests);
}
