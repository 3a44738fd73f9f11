/* fuzz_message_template.c: any bytes as a template of a message and as the texts in it. Belongs here: feeding. Does not: expectations (test/unit). */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/message_template.h"
#include "fuzz_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
field(void *arg, int alert, enum message_field f, struct slice name, struct template_operand *out)
{
	switch (f % 4) {
	case 0:
		out->is_number = true;
		out->number = alert == 1 ? NAN : f * 1e3;
		break;
	case 1:
		out->is_list = true;
		out->text = *(struct slice *) arg;
		break;
	case 2:
		out->text = *(struct slice *) arg;
		break;
	default:
		break;
	}
}

static bool
in_set(void *arg, int alert, enum message_set set)
{
	return set == SET_ALERTS || alert % 2 == (int) set % 2;
}

static bool
compare(void *arg, struct slice a, struct slice b, int *order)
{
	*order = 0;
	return a.p == b.p;
}

/* Exactly as much memory as was asked for: the sanitizer sees a byte too much. */
static void
render(struct slice text, bool good, int alerts, size_t size)
{
	struct message_template_values values = {
		.n_alerts = alerts, .field = field, .in_set = in_set, .compare = compare, .arg = &text};
	struct template_error error = {0};
	char *out = malloc(size);
	size_t length;
	bool cut, done = message_template_render(text, &values, out, size, &length, &cut, &error);

	/* What was taken renders, what was not does not. */
	if (done != good || length >= size || out[length] != '\0')
		__builtin_trap();
	if (is_utf8(text) && !is_utf8((struct slice){out, out + length}))
		__builtin_trap();
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size);
	struct slice text = {copy, copy + size};
	struct template_error error = {0};
	bool good;

	memcpy(copy, data, size);
	good = message_template_check(text, &error);
	if (!good && (error.offset > size || error.message == NULL))
		__builtin_trap();
	for (int alerts = 0; alerts < 4; alerts++)
		render(text, good, alerts, alerts % 2 == 0 ? 65536 : 1 + size % 300);
	free(copy);
	return 0;
}
