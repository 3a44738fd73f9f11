/* fuzz_retry_after.c: any bytes for the header Retry-After. Belongs here: feeding. Does not: expectations (test/unit). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/retry_after.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	int64_t ms;

	memcpy(text, data, size);
	text[size] = '\0';
	ms = retry_after_ms(text, 1768910400);
	if (ms < -1 || ms > RETRY_AFTER_MAX_MS)
		__builtin_trap();
	free(text);
	return 0;
}
