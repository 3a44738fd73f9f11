/*
 * matchers.h: label matchers as Alertmanager and Prometheus write them: {severity=~"critical|emergency", vps_name!="db-1"}
 *
 * Belongs here: reading them, and deciding with them. Does not belong here: regular expressions (the caller has an engine),
 * where labels come from.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_MATCHERS_H
#define OBSERV_CORE_MATCHERS_H

#include "core/slice.h"

#define MATCHERS_MAX 64

enum matcher_op { MATCHER_EQUAL, MATCHER_NOT_EQUAL, MATCHER_REGEX, MATCHER_NOT_REGEX };

struct matcher {
	struct slice name;
	struct slice value; /* escapes resolved */
	enum matcher_op op;
};

struct matchers {
	int n;
	struct matcher item[MATCHERS_MAX];
};

struct matchers_error {
	size_t offset;       /* byte of the text where reading stopped */
	const char *message; /* lower case, no full stop */
};

/*
 * Reads a list of matchers. Names and values of *out point into `memory`, which must have at least as many bytes as the text.
 * False, with *error filled, when the text is no such list.
 *
 *   list  = [ "{" ] [ matcher { "," matcher } [ "," ] ] [ "}" ]     both braces or none; blanks anywhere between
 *   matcher = name ( "=" | "!=" | "=~" | "!~" ) value
 *   name  = letter or _, then letters, digits, _ : . - /  |  quoted
 *   value = quoted  |  bare: no blanks, quotes, or any of {}!=~,\
 * Quoted: in double quotes; \" \\ and \n are a quote, a backslash and a newline, another backslash stands for itself.
 * The empty text and {} are the empty list, which everything matches.
 */
bool matchers_parse(struct slice text, struct matchers *out, char *memory, struct matchers_error *error);

/*
 * Reads the first of several sets, which are lists in braces joined by the word `or`: {a="b"} or {c="d"}. *text moves on to the next set, it
 * is empty after the last; *memory, as above, moves on behind what was used. A single set may lack its braces. Offsets of errors count
 * from the *text given.
 */
bool matchers_parse_next(struct slice *text, struct matchers *out, char **memory,
						 struct matchers_error *error);

/* "=", "!=", "=~", "!~" */
const char *matcher_op_name(enum matcher_op op);

/* Value of a label; an empty slice when there is none of that name: for a matcher that is the same. */
typedef struct slice matchers_lookup(void *arg, struct slice name);

/* Whether the whole value matches the regular expression of that matcher. */
typedef bool matchers_regex(void *arg, const struct matcher *matcher, struct slice value);

/* Whether all matchers accept what `lookup` finds. Stops at the first that does not. */
bool matchers_accept(const struct matchers *matchers, matchers_lookup *lookup, matchers_regex *regex,
					 void *arg);

/* The value that a label must be equal to, when a matcher says so: for an index. NULL when none does. */
const struct matcher *matchers_equal(const struct matchers *matchers, const char *name);

#endif
