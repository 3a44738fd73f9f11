/* fuzz_utf8.h: whether a text is UTF-8, for fuzzers of what must not break characters. Does not belong here: anything else. */
#ifndef OBSERV_FUZZ_UTF8_H
#define OBSERV_FUZZ_UTF8_H

#include "core/slice.h"

static inline bool
is_utf8(struct slice text)
{
	while (text.p < text.end) {
		size_t length = slice_utf8_length(text.p, text.end);

		if (length == 0)
			return false;
		text.p += length;
	}
	return true;
}

#endif
