/* test_env_file.c: env_file.h: what systemd and docker write. */
#include "unit.h"

#include "core/env_file.h"

static void
expect(struct env_file *file, int line, const char *name, const char *value)
{
	struct slice got;
	char out[100];

	assert_int_equal(env_file_next(file, &got, out, sizeof out), ENV_VARIABLE);
	assert_true(slice_equals(got, name));
	assert_string_equal(out, value);
	assert_int_equal(file->line, line);
}

static void
expect_other(struct env_file *file, int line, enum env_line what)
{
	struct slice got;
	char out[100];

	assert_int_equal(env_file_next(file, &got, out, sizeof out), what);
	assert_int_equal(file->line, line);
}

static void
values_are_what_is_behind_the_sign(void **state)
{
	struct env_file file;

	env_file_begin(
		&file,
		slice_of("\xef\xbb\xbf# mail\n\n; more\nA=b\n  B_2 =c\nexport C=d e \r\nD=\nE=a=b#c\\n\nF=last"));
	expect(&file, 4, "A", "b");
	expect_other(&file, 5, ENV_NO_NAME);
	expect(&file, 6, "C", "d e");
	expect(&file, 7, "D", "");
	expect(&file, 8, "E", "a=b#c\\n");
	expect(&file, 9, "F", "last");
	expect_other(&file, 9, ENV_END);
	expect_other(&file, 9, ENV_END);
}

static void
quotes_are_taken_off(void **state)
{
	struct env_file file;

	env_file_begin(
		&file,
		slice_of(
			"A=\"a b \"\nB='it \"is\" \\'\nC=\"\\\"\\\\\\$\\`\\n\"  \nD= \"x\"\nE=a\"b\"\nF=\"\"\nG=''"));
	expect(&file, 1, "A", "a b ");
	expect(&file, 2, "B", "it \"is\" \\");
	expect(&file, 3, "C", "\"\\$`\\n");
	expect(&file, 4, "D", "x");
	expect(&file, 5, "E", "a\"b\"");
	expect(&file, 6, "F", "");
	expect(&file, 7, "G", "");
}

static void
what_is_no_variable_is_said_and_passed_over(void **state)
{
	struct env_file file;

	env_file_begin(&file, slice_of("A=\"open\nB='x' y\nC\n=d\n1A=x\nA-B=x\nexport\nG=good\nH=\""));
	expect_other(&file, 1, ENV_NO_QUOTE);
	expect_other(&file, 2, ENV_NO_QUOTE);
	for (int line = 3; line <= 7; line++)
		expect_other(&file, line, ENV_NO_NAME);
	expect(&file, 8, "G", "good");
	expect_other(&file, 9, ENV_NO_QUOTE);
}

static void
nothing_is_written_behind_the_room(void **state)
{
	struct env_file file;
	struct slice name;
	char out[4] = "zzz";

	env_file_begin(&file, slice_of("A=123456\nB=\"12\""));
	assert_int_equal(env_file_next(&file, &name, out, sizeof out), ENV_VARIABLE);
	assert_string_equal(out, "123");
	assert_int_equal(env_file_next(&file, &name, out, sizeof out), ENV_VARIABLE);
	assert_string_equal(out, "12");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_what_is_behind_the_sign),
		cmocka_unit_test(quotes_are_taken_off),
		cmocka_unit_test(what_is_no_variable_is_said_and_passed_over),
		cmocka_unit_test(nothing_is_written_behind_the_room),
	};
	return TESTS(tests);
}
