/*
 * template_expression.h: the expressions between {{ and }}, for every text with values in it.
 *
 * Belongs here: reading an expression and evaluating it on the way. Does not belong here: which values there are (template.h, message_template.h),
 * filters (template_filters.h).
 * NEUTRAL, pure.
 *
 *   expression = operand { "|" filter }  |  filter operand { "|" filter }     blanks anywhere between
 *   operand    = a value of the kind of text  |  "text"  |  number
 *   filter     = NAME [ "(" argument ")" ]  |  NAME argument
 */
#ifndef OBSERV_CORE_TEMPLATE_EXPRESSION_H
#define OBSERV_CORE_TEMPLATE_EXPRESSION_H

#include <stddef.h>

#include "core/template_filters.h"

struct template_error {
	size_t offset;       /* byte of the text where the mistake is */
	const char *message; /* lower case, no full stop */
	const char *hint;    /* what there is instead, a sentence; NULL: nothing to say */
	const char *nearest; /* the name that was probably meant; NULL */
};

struct template_reader {
	const char *start;
	struct slice rest; /* of the text, which may end before closing braces are found */
	struct template_error *error;
	struct template_memory memory; /* of the expression */
	/* A value by its name; false, with *error filled, when there is none. `out` is an empty text. */
	bool (*value)(struct template_reader *reader, struct slice word, struct template_operand *out);
	void *arg;
};

/* Always false: `return template_fail(…)`. */
bool template_fail(struct template_reader *r, const char *at, const char *message, const char *hint);

/* The same of a word that is not one of those; the names end with NULL. */
bool template_fail_near(struct template_reader *r, struct slice word, const char *message, const char *hint,
						const char *const *names);

void template_skip_blanks(struct template_reader *r);

/* Takes `text`, blanks before it too; false when something else comes. */
bool template_take(struct template_reader *r, const char *text);

/* The next letters, digits and _ $ . : - /; empty when something else comes. */
struct slice template_word(struct template_reader *r);

/* Reads an expression that begins with that word (which may be empty: a quote comes). Up to where it ends. */
bool template_expression(struct template_reader *r, struct slice word, struct template_operand *out);

/* The next {{ of a text, or its end. */
const char *template_braces(struct slice text);

/* Where a rendered text goes. */
struct template_sink {
	char *p, *end; /* `end` has room for the terminator */
	bool full;
};

/* What does not fit is cut at a character. */
void template_put(struct template_sink *sink, struct slice text);

#endif
