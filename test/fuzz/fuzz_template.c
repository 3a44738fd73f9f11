/* fuzz_template.c: any bytes as a template and as the label in it. Belongs here: feeding. Does not: expectations (test/unit). */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/template.h"
#include "fuzz_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice
same_text(void *arg, struct slice name)
{
	return *(struct slice *) arg;
}

/* Exactly as much memory as was asked for: the sanitizer sees a byte too much. */
static void
render(struct slice text, double value, size_t size)
{
	struct template_values values = {value, -value, same_text, same_text, &text};
	char *out = malloc(size);
	size_t length = template_render(text, &values, out, size);

	if (length >= size || out[length] != '\0')
		__builtin_trap();
	if (is_utf8(text) && !is_utf8((struct slice){out, out + length}))
		__builtin_trap();
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const double values[] = {0, -0.5, 1.0 / 3, 86399.99, 1e15, -1e300, INFINITY, NAN};
	char *copy = malloc(size);
	struct slice text = {copy, copy + size};
	struct template_error error = {0};

	memcpy(copy, data, size);
	if (!template_check(text, &error) && (error.offset > size || error.message == NULL))
		__builtin_trap();
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		render(text, values[i], i % 2 == 0 ? TEMPLATE_MAX : 1 + size % 300);
	free(copy);
	return 0;
}
