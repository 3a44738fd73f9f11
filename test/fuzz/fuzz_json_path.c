/* fuzz_json_path.c: a condition, a newline, a document. Belongs here: feeding. Does not: expectations (test/unit). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t condition_len = newline ? (size_t) (newline - data) : size;
	size_t document_len = newline ? size - condition_len - 1 : 0;
	/* Copies of their own length: the sanitizer sees a byte too much. */
	char *condition = malloc(condition_len + 1), *document = malloc(document_len + 1);
	struct json_path path;
	char why[200];

	memcpy(condition, data, condition_len);
	condition[condition_len] = '\0';
	memcpy(document, newline ? newline + 1 : data, document_len);
	document = realloc(document, document_len > 0 ? document_len : 1);
	if (!json_path_parse(condition, &path) &&
		!json_path_holds(&path, (struct slice){document, document + document_len}, why, sizeof why) &&
		!slice_is_printable(slice_of(why)))
		__builtin_trap();
	if (!json_path_parse(condition, &path) && path.op == JSON_EXISTS && condition[0] == '$' &&
		json_path_text(condition, (struct slice){document, document + document_len}, why, sizeof why) &&
		!slice_is_printable(slice_of(why)))
		__builtin_trap();
	free(condition);
	free(document);
	return 0;
}
