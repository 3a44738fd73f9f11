/* test_mail_text.c: how mails are spelled. Belongs here: core/mail_text. Does not: which headers a mail has (e2e). */
#include "unit.h"

#include "core/mail_text.h"

static char out[1 << 16];
static size_t out_len;

static void
collect(void *arg, const char *bytes, size_t len)
{
	(void) arg;
	assert_true(out_len + len < sizeof out);
	memcpy(out + out_len, bytes, len);
	out_len += len;
	out[out_len] = '\0';
}

static const struct mail_writer writer = {collect, NULL};

static const char *
header(const char *name, const char *text)
{
	out_len = 0;
	mail_put_header(&writer, name, slice_of(text));
	return out;
}

static const char *
body(const char *text)
{
	out_len = 0;
	out[0] = '\0';
	mail_put_quoted_printable(&writer, slice_of(text));
	return out;
}

static const char *
refused(const char *text)
{
	struct mail_mailbox m;

	return mail_mailbox_parse(slice_of(text), &m);
}

static void
plain_headers(void **state)
{
	(void) state;
	assert_string_equal(header("Subject", "[FIRING:1] HighCpu"), "Subject: [FIRING:1] HighCpu\r\n");
	assert_string_equal(header("Subject", ""), "Subject: \r\n");
	assert_string_equal(header("Subject", "  a  b\t\tc "), "Subject: a b c\r\n");
	assert_string_equal(header("S", "a\r\nBcc: eve@example.org\r\n\r\nbody"),
						"S: a Bcc: eve@example.org body\r\n");
	assert_string_equal(header("S", "\033[31mred\x7f"), "S: [31mred\r\n");
	/* not an encoded word of ours: must not be read as one */
	assert_string_equal(header("S", "=?UTF-8?B?SGk=?="), "S: =?UTF-8?B?PT9VVEYtOD9CP1NHaz0/PQ==?=\r\n");
}

static void
folded_headers(void **state)
{
	char text[1024];
	const char *line;

	(void) state;
	for (int i = 0; i < 40; i++)
		snprintf(text + 14 * i, sizeof text - 14 * (size_t) i, "word-of-words ");
	header("Subject", text);
	for (line = out; *line != '\0'; line = strstr(line, "\r\n") + 2) {
		assert_true(strstr(line, "\r\n") - line <= 78);
		assert_true(line == out || (line[0] == ' ' && line[1] == 'w'));
	}
	/* 76 characters fit into a line of their own, one more is encoded */
	memset(text, 'x', 76);
	text[76] = '\0';
	memcpy(text, "a ", 2);
	assert_null(strstr(header("S", text), "=?"));
	memset(text, 'x', 80);
	text[80] = '\0';
	assert_non_null(strstr(header("S", text), "=?UTF-8?B?"));
}

static void
encoded_headers(void **state)
{
	char text[1024];

	(void) state;
	assert_string_equal(header("S", "é"), "S: =?UTF-8?B?w6k=?=\r\n");
	assert_string_equal(header("S", "\xff"), "S: ?\r\n");
	assert_string_equal(header("S", "\xc2\x85\xe2\x82"), "S: ??\r\n"); /* NEL is a blank at the beginning */
	for (int i = 0; i < 100; i++)
		snprintf(text + 4 * i, sizeof text - 4 * (size_t) i, "\xf0\x9f\x94\xa5"); /* 🔥 */
	header("Subject", text);
	for (const char *line = out; *line != '\0'; line = strstr(line, "\r\n") + 2) {
		const char *word = strstr(line, "=?UTF-8?B?"), *end = strstr(line, "?=\r\n");

		assert_true(strstr(line, "\r\n") - line <= 78);
		assert_non_null(word);
		assert_true(end + 2 - word <= 75);
		/* whole characters of four bytes */
		assert_true((end - word - 10) % 4 == 0);
		assert_memory_equal(word + 10, "8J+U", 4);
	}
}

static void
mailboxes(void **state)
{
	struct mail_mailbox m[3];

	(void) state;
	assert_null(mail_mailbox_parse(slice_of(" ann@example.org "), &m[0]));
	assert_true(slice_equals(m[0].address, "ann@example.org") && slice_equals(m[0].domain, "example.org"));
	assert_true(m[0].name.p == m[0].name.end);
	assert_null(mail_mailbox_parse(slice_of("\"B, Ann\" <a+b.c@[192.0.2.1]>"), &m[1]));
	assert_true(slice_equals(m[1].name, "B, Ann") && slice_equals(m[1].domain, "[192.0.2.1]"));
	assert_null(mail_mailbox_parse(slice_of("Zoë <zoe@localhost>"), &m[2]));
	out_len = 0;
	mail_put_mailboxes(&writer, "To", m, 3);
	assert_string_equal(out, "To: <ann@example.org>,\r\n \"B, Ann\"\r\n <a+b.c@[192.0.2.1]>,\r\n "
							 "=?UTF-8?B?Wm/Dqw==?=\r\n <zoe@localhost>\r\n");
}

static void
bad_mailboxes(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"ann",
		"@example.org",
		"ann@",
		"ann@example.org\r\nRCPT TO:<eve@example.org>",
		"ann@example.org\n",
		"an n@example.org",
		"a..b@example.org",
		".a@example.org",
		"a.@example.org",
		"ann@exa mple.org",
		"ann@-example.org",
		"ann@example-.org",
		"ann@example..org",
		"ann@example.org.",
		"ann@exa_mple.org",
		"ann@[]",
		"ann@[1.2.3.4",
		"ann@[1.2.3.4>x]",
		"ann@bücher.example",
		"zoë@example.org",
		"ann@a@b",
		"\"ann b\"@example.org",
		"ann@example.org>",
		"Ann <ann@example.org",
		"Ann\r\nBcc: x <ann@example.org>",
		"A\"B <ann@example.org>",
		"Ann <<ann@example.org>",
		"ann@example.org, bob@example.org",
	};
	char text[400];
	struct mail_mailbox m;

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (refused(bad[i]) == NULL)
			fail_msg("taken: %s", bad[i]);
	/* 64 before the @, 63 in a label, 254 in all */
	snprintf(text, sizeof text, "%064d@b", 0);
	assert_null(refused(text));
	snprintf(text, sizeof text, "%065d@b", 0);
	assert_non_null(refused(text));
	snprintf(text, sizeof text, "a@%063d.b", 0);
	assert_null(refused(text));
	snprintf(text, sizeof text, "a@%064d.b", 0);
	assert_non_null(refused(text));
	snprintf(text, sizeof text, "%059d@%063d.%063d.%063d.de", 0, 0, 0, 0);
	assert_int_equal(strlen(text), 254);
	assert_null(mail_mailbox_parse(slice_of(text), &m));
	snprintf(text, sizeof text, "%060d@%063d.%063d.%063d.de", 0, 0, 0, 0);
	assert_non_null(refused(text));
}

static void
ids_and_dates(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} dates[] = {
		{0, "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"},
		{-1, "Date: Wed, 31 Dec 1969 23:59:59 +0000\r\n"},
		{951782400, "Date: Tue, 29 Feb 2000 00:00:00 +0000\r\n"},
		{1795298026, "Date: Sat, 21 Nov 2026 21:53:46 +0000\r\n"},
		{4107542400, "Date: Mon, 01 Mar 2100 00:00:00 +0000\r\n"},
		{INT64_MIN, "Date: Mon, 01 Jan 1900 00:00:00 +0000\r\n"},
		{INT64_MAX, "Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
		out_len = 0;
		mail_put_date(&writer, dates[i].s);
		assert_string_equal(out, dates[i].text);
	}
	out_len = 0;
	mail_put_id(&writer, "Message-ID", slice_of("ab-1>\r\nx: y"), slice_of("example.org"));
	assert_string_equal(out, "Message-ID: <ab-1___x__y@example.org>\r\n");
	assert_true(mail_is_domain(slice_of("mx-1.example.org")) && mail_is_domain(slice_of("[IPv6:::1]")));
	assert_false(mail_is_domain(slice_of("mx 1")) || mail_is_domain(slice_of("")));
}

static void
quoted_printable(void **state)
{
	char text[200];

	(void) state;
	assert_string_equal(body(""), "");
	assert_string_equal(body("a"), "a\r\n");
	assert_string_equal(body("a\nb\r\nc\rd\n\n"), "a\r\nb\r\nc\r\nd\r\n\r\n");
	assert_string_equal(body("1 = 1\n"), "1 =3D 1\r\n");
	assert_string_equal(body("a \nb\t\n"), "a=20\r\nb=20\r\n");
	assert_string_equal(body(".\n.x\nFrom me\nFromage\n"), "=2E\r\n=2Ex\r\n=46rom me\r\n=46romage\r\n");
	assert_string_equal(body("é\xff\033"), "=C3=A9?=20\r\n");
	/* 76 characters are a line, 77 are two, and a character of more bytes stays whole */
	memset(text, 'x', 77);
	text[76] = '\0';
	body(text);
	assert_int_equal(out_len, 78);
	text[76] = 'x';
	text[77] = '\0';
	body(text);
	assert_int_equal(strstr(out, "\r\n") - out, 76);
	assert_memory_equal(out + 75, "=\r\nxx\r\n", 8);
	snprintf(text + 70, sizeof text - 70, "éx");
	assert_non_null(strstr(body(text), "xx=\r\n=C3=A9x\r\n"));
	/* what begins a line of its own because of a soft line break */
	memset(text, 'x', 75);
	snprintf(text + 75, sizeof text - 75, "..");
	assert_non_null(strstr(body(text), "=\r\n=2E.\r\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_headers),    cmocka_unit_test(folded_headers),
		cmocka_unit_test(encoded_headers),  cmocka_unit_test(mailboxes),
		cmocka_unit_test(bad_mailboxes),    cmocka_unit_test(ids_and_dates),
		cmocka_unit_test(quoted_printable),
	};

	return TESTS(tests);
}
