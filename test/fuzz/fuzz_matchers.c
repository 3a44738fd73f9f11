/* fuzz_matchers.c: any bytes for the parser of matchers. Belongs here: feeding. Does not: expectations (test/unit). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/matchers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice
nothing(void *arg, struct slice name)
{
	return (struct slice){0};
}

static bool
no_regex(void *arg, const struct matcher *matcher, struct slice value)
{
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *) data, (const char *) data + size};
	struct matchers_error error;
	struct matchers matchers;
	char *memory = malloc(size); /* exactly what the contract asks for: the sanitizer sees a byte too much */

	if (matchers_parse(text, &matchers, memory, &error)) {
		matchers_accept(&matchers, nothing, no_regex, NULL);
		for (int i = 0; i < matchers.n; i++)
			if (matchers.item[i].name.p >= matchers.item[i].name.end || !matcher_op_name(matchers.item[i].op))
				__builtin_trap();
	} else if (error.offset > size || error.message == NULL)
		__builtin_trap();
	free(memory);
	return 0;
}
