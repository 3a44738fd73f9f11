#include "unit.h"

#include "core/tail_position.h"

static struct slice
bytes(const char *p, size_t len)
{
	return (struct slice){p, p + len};
}

static const struct tail_position some = {.dev = 0xfd01,
										  .ino = UINT64_MAX,
										  .head = {1024, UINT64_MAX},
										  .mark = {256, 1},
										  .offset = INT64_C(1) << 40,
										  .seen_s = 1767312000};

static void
a_position_reads_back_what_was_written(void **state)
{
	static const char *const paths[] = {"/var/log/a.log", "/a b\n\t%41/c", "/\xff\xfe/x",
										"/gr\xc3\xbc\xc3\x9f"
										"e.log",
										"/"};
	char text[TAIL_STATE_BYTES], path[100];
	struct tail_position read;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		for (int skipping = 0; skipping < 2; skipping++) {
			struct tail_position p = some;
			p.skipping = skipping;
			assert_true(tail_position_write(&p, paths[i], text, sizeof text));
			assert_true(slice_is_printable(slice_of(text)));
			assert_true(tail_position_read(text, &read, path, sizeof path));
			assert_string_equal(path, paths[i]);
			assert_memory_equal(&read.offset, &p.offset, sizeof p.offset);
			assert_true(read.dev == p.dev && read.ino == p.ino && read.skipping == p.skipping &&
						read.seen_s == p.seen_s);
			assert_true(read.head.len == p.head.len && read.head.hash == p.head.hash);
			assert_true(read.mark.len == p.mark.len && read.mark.hash == p.mark.hash);
		}
}

static void
no_position_is_read_from_anything_else(void **state)
{
	static const char *const bad[] = {"",
									  "garbage",
									  "2 1:1 0 0:0 0:0 - 0 /x",
									  "1 1:1 0 0:0 0:0 - 0 ",
									  "1 1:1 0 0:0 0:0 - 0",
									  "1 1:1 -5 0:0 0:0 - 0 /x",
									  "1 1:1 0 9999:0 0:0 - 0 /x",
									  "1 1:1 0 0:0 999:0 - 0 /x",
									  "1 1:1 5 0:0 6:0 - 0 /x",
									  "1 1:1 0 0:0 0:0 ? 0 /x",
									  "1 1:1 0 0:0 0:0 - 0 /%zz",
									  "1 1:1 0 0:0 0:0 - 0 /%4"};
	struct tail_position p;
	char path[100], small[3];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(tail_position_read(bad[i], &p, path, sizeof path));
	assert_true(tail_position_read("1 1:1 0 0:0 0:0 - 0 /x", &p, NULL, 0));
	assert_false(tail_position_read("1 1:1 0 0:0 0:0 - 0 /long", &p, small, sizeof small));
	assert_false(tail_position_write(&some, "/x", path, 20));
	assert_false(tail_position_write(&some, "/0123456789012345678901234567890123456789", path, sizeof path));
}

static void
every_cut_of_a_position_is_refused_or_harmless(void **state)
{
	char text[200], path[100];
	struct tail_position p;

	assert_true(tail_position_write(&some, "/var/log/x", text, sizeof text));
	for (size_t len = strlen(text); len-- > 0;) {
		text[len] = '\0';
		if (tail_position_read(text, &p, path, sizeof path))
			assert_true(p.offset == some.offset && path[0] == '/');
	}
}

static void
a_key_is_device_and_inode(void **state)
{
	char key[TAIL_KEY_BYTES];

	tail_position_key(&some, key);
	assert_string_equal(key, "fd01:18446744073709551615");
}

static void
a_head_is_known_again_when_the_file_has_grown(void **state)
{
	struct tail_print head = tail_print_of(bytes("first line\n", 11));

	assert_true(tail_head_matches(head, bytes("first line\nsecond", 17)));
	assert_false(tail_head_matches(head, bytes("first lin", 9)));
	assert_false(tail_head_matches(head, bytes("First line\nsecond", 17)));
	assert_true(tail_head_matches(tail_print_of(bytes("", 0)), bytes("anything", 8)));
}

static void
a_mark_is_what_lies_before_the_offset(void **state)
{
	char text[1000];

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char) ('a' + i % 23);
	struct tail_print mark = tail_mark_at(text, text + 700);
	assert_int_equal(mark.len, TAIL_MARK_BYTES);
	assert_true(tail_mark_matches(mark, bytes(text + 300, 400)));
	assert_false(tail_mark_matches(mark, bytes(text + 300, 401)));
	assert_false(tail_mark_matches(mark, bytes(text + 500, 200)));
	assert_int_equal(tail_mark_at(text, text + 10).len, 10);
	assert_true(tail_mark_matches(tail_mark_at(text, text), bytes(text, 5)));
}

static void
names_that_rotation_makes(void **state)
{
	assert_true(tail_is_rotated_name("app.log", "app.log.1"));
	assert_true(tail_is_rotated_name("app.log", "app.log-20260102"));
	assert_true(tail_is_rotated_name("app.log", "app.log.1.gz"));
	assert_true(tail_is_rotated_name("app.log", "app.log~"));
	assert_true(tail_is_rotated_name("app.log", "app-20260102.log"));
	assert_true(tail_is_rotated_name("app.log", "app.1.log"));
	assert_true(tail_is_rotated_name("syslog", "syslog.1"));
	assert_false(tail_is_rotated_name("app.log", "app.log"));
	assert_false(tail_is_rotated_name("app.log", "app.logs"));
	assert_false(tail_is_rotated_name("app.log", "apple.log"));
	assert_false(tail_is_rotated_name("app.log", "app-errors.log"));
	assert_false(tail_is_rotated_name("app.log", "messages"));
	assert_false(tail_is_rotated_name("syslog", "messages"));
	assert_false(tail_is_rotated_name("app.log", "app.1.txt"));
	assert_false(tail_is_rotated_name("app.log.1", "app.log"));
}

static void
compressed_files_are_known_by_their_first_bytes(void **state)
{
	assert_true(tail_is_compressed(bytes("\x1f\x8b\x08", 3)));
	assert_true(tail_is_compressed(bytes("\x28\xb5\x2f\xfd\x04", 5)));
	assert_true(tail_is_compressed(bytes("\xfd"
										 "7zXZ\0\0",
										 7)));
	assert_true(tail_is_compressed(bytes("BZh91AY", 7)));
	assert_true(tail_is_compressed(bytes("PK\x03\x04", 4)));
	assert_true(tail_is_compressed(bytes("\x04\x22\x4d\x18", 4)));
	assert_false(tail_is_compressed(bytes("BZhello", 7)));
	assert_false(tail_is_compressed(bytes("BZh", 3)));
	assert_false(tail_is_compressed(bytes("{\"a\":1}", 7)));
	assert_false(tail_is_compressed(bytes("", 0)));
}

static void
a_cut_tears_no_character(void **state)
{
	assert_int_equal(tail_cut(bytes("abc", 3), 5), 3);
	assert_int_equal(tail_cut(bytes("abc", 3), 2), 2);
	assert_int_equal(tail_cut(bytes("a\xc3\xbc"
									"b",
									4),
							  2),
					 1);
	assert_int_equal(tail_cut(bytes("a\xc3\xbc"
									"b",
									4),
							  3),
					 3);
	assert_int_equal(tail_cut(bytes("\xf0\x9f\x98\x80x", 5), 3), 0);
	assert_int_equal(tail_cut(bytes("x\xf0\x9f\x98\x80x", 6), 4), 1);
	assert_int_equal(tail_cut(bytes("\x80\x80\x80\x80\x80\x80\x80\x80", 8), 6), 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_position_reads_back_what_was_written),
		cmocka_unit_test(no_position_is_read_from_anything_else),
		cmocka_unit_test(every_cut_of_a_position_is_refused_or_harmless),
		cmocka_unit_test(a_key_is_device_and_inode),
		cmocka_unit_test(a_head_is_known_again_when_the_file_has_grown),
		cmocka_unit_test(a_mark_is_what_lies_before_the_offset),
		cmocka_unit_test(names_that_rotation_makes),
		cmocka_unit_test(compressed_files_are_known_by_their_first_bytes),
		cmocka_unit_test(a_cut_tears_no_character),
	};
	return TESTS(tests);
}
