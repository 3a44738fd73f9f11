/*
 * template_filters.h: what templates do with values: {{ value | percent }}
 *
 * Belongs here: values under way, filters. Does not belong here: reading templates (template_expression.h).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_TEMPLATE_FILTERS_H
#define OBSERV_CORE_TEMPLATE_FILTERS_H

#include <stdbool.h>

#include "core/slice.h"

#define TEMPLATE_PRINTED_MAX 128 /* a number with what printf puts around it */

/* What an expression is worth so far. Text points into the template, to what a lookup returned, to memory, or to `printed`. */
struct template_operand {
	bool is_number;
	bool is_list; /* a text of several, U+001F between them */
	double number;
	struct slice text;
	char printed[TEMPLATE_PRINTED_MAX];
};

/* Where filters put texts that are longer than a number; what does not fit is cut at a character. */
struct template_memory {
	char *p, *end;
};

enum template_argument_kind {
	TEMPLATE_NO_ARGUMENT,
	TEMPLATE_MAYBE_DIGITS, /* round(1), round */
	TEMPLATE_FORMAT,       /* printf "%.1f" */
	TEMPLATE_TEXT          /* default "none" */
};

struct template_argument {
	int digits;
	struct slice text; /* of a format or a text */
	struct template_memory *memory;
};

/* Number of the filter of that name, from 0; -1: there is none. */
int template_filter_of(struct slice word);

/* Name of a filter; NULL behind the last. */
const char *template_filter_name(int filter);

enum template_argument_kind template_filter_argument(int filter);

/* What is wrong with the format of a printf; NULL: nothing. */
const char *template_check_format(struct slice format);

void template_apply(int filter, struct template_operand *operand, const struct template_argument *argument);

/* A number that was not made a text: six digits where they are enough, whole numbers with all of theirs; n/a. */
void template_plain(struct template_operand *operand);

/* A list that was not joined: commas between. */
void template_list(struct template_operand *operand, struct template_memory *memory);

/* The end of a text that was cut, without the piece of a character that may be there. */
const char *template_whole_characters(const char *start, const char *end);

extern const char template_filters_hint[];

#endif
