/* fuzz_exposition.c: any bytes as an exporter's answer: every sample that is found is fit for a database. Belongs here: feeding, and what must always hold. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require_text(struct slice s, const char *from, const char *to)
{
	if (s.p < from || s.end > to || s.end < s.p)
		__builtin_trap();
	while (s.p < s.end) {
		size_t len = slice_utf8_length(s.p, s.end);
		if (len == 0 || *s.p == '\0')
			__builtin_trap();
		s.p += len;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* of its own size: reading beyond it is found */
	struct exposition e;
	struct exposition_sample s;
	int64_t samples = 0;

	if (!text)
		return 0;
	memcpy(text, data, size);
	exposition_begin(&e, text, size);
	while (exposition_next(&e, &s)) {
		samples++;
		if (s.name.p == s.name.end)
			__builtin_trap();
		require_text(s.name, text, text + size);
		for (int i = 0; i < s.labels; i++) {
			require_text(s.label[i].name, text, text + size);
			require_text(s.label[i].value, text, text + size);
		}
	}
	if (samples + e.bad != e.lines)
		__builtin_trap();
	free(text);
	return 0;
}
