/* fuzz_sms_text.c: any text for telephones. Belongs here: feeding, and what must hold for whatever comes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/sms_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size), *out = malloc(size); /* exactly as long: the sanitizer sees a byte too much */
	struct slice text = {copy, copy + size}, plain = {out, out};
	bool gsm, again;

	if (size > 0)
		memcpy(copy, data, size);
	plain.end += sms_plain(text, out);
	for (const char *p = plain.p; p < plain.end; p++) {
		size_t len = slice_utf8_length(p, plain.end);

		if (len == 0 || ((unsigned char) *p < 0x20 && *p != '\n') || *p == 0x7f)
			__builtin_trap();
		p += len - 1;
	}
	for (size_t units = sms_units(plain, &gsm); units > 0; units /= 2) {
		struct slice cut = {out, out + sms_cut(plain, units)};

		/* the beginning may be in the alphabet where the whole is not */
		if (sms_units(cut, &again) > units && again == gsm)
			__builtin_trap();
	}
	free(copy);
	free(out);
	return 0;
}
