/* fuzz_mail_text.c: any text in headers, addresses and bodies of mails. Belongs here: feeding, and what must hold for whatever comes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mail_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *out;
static size_t out_len, out_room;

static void
collect(void *arg, const char *bytes, size_t len)
{
	if (out_len + len > out_room)
		out = realloc(out, out_room = (out_len + len) * 2);
	if (len > 0)
		memcpy(out + out_len, bytes, len);
	out_len += len;
}

static const struct mail_writer writer = {collect, NULL};

/* ASCII, lines of at most `max` that end in CR LF; in a header all but the first begin with a blank and hold more than blanks. */
static void
check_lines(size_t max, bool header)
{
	size_t begin = 0;

	if (out_len > 0 && (out_len < 2 || memcmp(out + out_len - 2, "\r\n", 2) != 0))
		__builtin_trap();
	for (size_t i = 0; i < out_len; i++) {
		if (out[i] == '\r' && out[i + 1] == '\n') {
			if (i - begin > max)
				__builtin_trap();
			if (header && begin > 0 && (out[begin] != ' ' || i - begin < 2 || out[begin + 1] == ' '))
				__builtin_trap();
			if (!header && (out[begin] == '.' || (i - begin >= 5 && memcmp(out + begin, "From ", 5) == 0)))
				__builtin_trap();
			begin = i + 2;
			i++;
		} else if ((unsigned char) out[i] < 0x20 || (unsigned char) out[i] >= 0x7f)
			__builtin_trap();
	}
	out_len = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size); /* exactly as long: the sanitizer sees a byte too much */
	struct slice text = {copy, copy + size};
	struct mail_mailbox m;

	if (size > 0)
		memcpy(copy, data, size);
	mail_put_header(&writer, "Subject", text);
	check_lines(78, true);
	mail_put_quoted_printable(&writer, text);
	for (size_t i = 0; i + 1 < out_len; i++)
		if (out[i] == '=' && out[i + 1] == '_')
			__builtin_trap();
	check_lines(76, false);
	if (mail_mailbox_parse(text, &m) == NULL) {
		mail_put_mailboxes(&writer, "To", &m, 1);
		check_lines(998, true);
		mail_put_id(&writer, "Message-ID", text, m.domain);
		check_lines(998, true);
	}
	free(copy);
	return 0;
}
