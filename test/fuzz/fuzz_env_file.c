/* fuzz_env_file.c: any bytes as a file of NAME=VALUE lines. Belongs here: feeding. Does not: expectations (test/unit). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/env_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as much memory as is needed: the sanitizer sees a byte too much. */
	char *copy = malloc(size > 0 ? size : 1), *out = malloc(size + 1);
	struct env_file file;
	struct slice name;
	enum env_line what;
	int line = 0;

	memcpy(copy, data, size);
	env_file_begin(&file, (struct slice){copy, copy + size});
	while ((what = env_file_next(&file, &name, out, size + 1)) != ENV_END) {
		if (file.line <= line || (size_t) file.line > size || strlen(out) > size)
			__builtin_trap();
		if (what == ENV_VARIABLE &&
			(name.p < copy || name.end >= copy + size || name.p == name.end || *name.end != '='))
			__builtin_trap();
		line = file.line;
	}
	free(out);
	free(copy);
	return 0;
}
