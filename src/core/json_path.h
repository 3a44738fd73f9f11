/*
 * json_path.h: one condition on a JSON document, or one value of it: `$.status == "UP"`, `$.queue < 100`, `$.items[0].id`, `length($.items) > 0`.
 *
 * Belongs here: the little language, and looking into a document without making a tree of it.
 * Does not belong here: where the document comes from. NEUTRAL, pure.
 *
 *   condition  term [ operator literal ]           without operator: there is such a value, and it is not null
 *   term       path | length(path)                 length: elements, members, characters
 *   path       $ { .name | [number] | ["name"] }
 *   operator   == != < <= > >=
 *   literal    "string" | 'string' | number | true | false | null
 */
#ifndef OBSERV_CORE_JSON_PATH_H
#define OBSERV_CORE_JSON_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/slice.h"

enum json_operator { JSON_EXISTS, JSON_EQ, JSON_NE, JSON_LT, JSON_LE, JSON_GT, JSON_GE };

/* Points into the text that it was read from. */
struct json_path {
	struct slice path; /* from $ on */
	bool length;
	enum json_operator op;
	struct slice literal;
};

/* Reads a condition. NULL, or what is wrong with it. */
const char *json_path_parse(const char *text, struct json_path *out);

/*
 * Whether it holds for the document. False: `why` says what there is instead, as valid UTF-8: "$.status is \"DOWN\"",
 * "there is no $.status", "the body is no JSON". Values of different types are not equal, and have no order.
 */
bool json_path_holds(const struct json_path *c, struct slice document, char *why, size_t size);

/*
 * The value at a path ($.error.code) as text: of a string what it stands for, of numbers, true and false what is written. Printable UTF-8, cut at
 * `size`. False, and "": there is none, it is null, an object or an array, or the document is no JSON.
 */
bool json_path_text(const char *path, struct slice document, char *out, size_t size);

#endif
