/* matchers.c: A parser by recursive descent, and the decision. See matchers.h for what belongs here. */
#include "core/matchers.h"

#include <string.h>

struct reader {
	const char *start;
	struct slice rest;
	char *memory; /* next free byte; what is unescaped is never longer than what it was read from */
	struct matchers_error *error;
};

static bool
fail(struct reader *r, const char *at, const char *message)
{
	r->error->offset = (size_t) (at - r->start);
	r->error->message = message;
	return false;
}

static bool
at_end(const struct reader *r)
{
	return r->rest.p >= r->rest.end;
}

static void
skip_blanks(struct reader *r)
{
	while (!at_end(r) && strchr(" \t\r\n", *r->rest.p) != NULL && *r->rest.p != '\0')
		r->rest.p++;
}

/* Takes `c` off, when it comes next. */
static bool
take(struct reader *r, char c)
{
	if (at_end(r) || *r->rest.p != c)
		return false;
	r->rest.p++;
	return true;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_name_byte(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == ':' || c == '.' || c == '-' || c == '/';
}

static bool
is_bare_byte(char c)
{
	return (unsigned char) c > ' ' && strchr("{}!=~,\\\"'`", c) == NULL;
}

/* A text in double quotes, of which the first has been taken. */
static bool
read_quoted(struct reader *r, const char *open, struct slice *out)
{
	out->p = r->memory;
	for (; !at_end(r) && *r->rest.p != '"'; r->rest.p++) {
		char c = *r->rest.p;

		if (c == '\\' && r->rest.p + 1 < r->rest.end) {
			char next = r->rest.p[1];

			if (next == '"' || next == '\\' || next == 'n') {
				c = next == 'n' ? '\n' : next;
				r->rest.p++;
			}
		}
		*r->memory++ = c;
	}
	if (!take(r, '"'))
		return fail(r, open, "this quote is not closed");
	out->end = r->memory;
	return true;
}

static bool
read_bare(struct reader *r, bool (*belongs)(char), struct slice *out)
{
	out->p = r->memory;
	while (!at_end(r) && belongs(*r->rest.p))
		*r->memory++ = *r->rest.p++;
	out->end = r->memory;
	return out->p < out->end;
}

static bool
read_name(struct reader *r, struct slice *out)
{
	const char *at = r->rest.p;

	if (take(r, '"')) {
		if (!read_quoted(r, at, out))
			return false;
		return out->p < out->end || fail(r, at, "the name of a label must not be empty");
	}
	if (at_end(r) || !is_letter(*at))
		return fail(r, at, "a label name should be here");
	return read_bare(r, is_name_byte, out);
}

static bool
read_op(struct reader *r, enum matcher_op *out)
{
	static const struct {
		const char *text;
		enum matcher_op op;
	} ops[] = {
		{"=~", MATCHER_REGEX}, {"!~", MATCHER_NOT_REGEX}, {"!=", MATCHER_NOT_EQUAL}, {"=", MATCHER_EQUAL}};

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		if (slice_starts(r->rest, ops[i].text)) {
			r->rest.p += strlen(ops[i].text);
			*out = ops[i].op;
			return true;
		}
	}
	return fail(r, r->rest.p, "one of = != =~ !~ should be here");
}

static bool
read_value(struct reader *r, struct slice *out)
{
	const char *at = r->rest.p;

	if (take(r, '"'))
		return read_quoted(r, at, out);
	return read_bare(r, is_bare_byte, out) || fail(r, at, "a value in double quotes should be here");
}

static bool
read_matcher(struct reader *r, struct matcher *out)
{
	if (!read_name(r, &out->name))
		return false;
	skip_blanks(r);
	if (!read_op(r, &out->op))
		return false;
	skip_blanks(r);
	return read_value(r, &out->value);
}

/* Matchers up to the closing brace, which stays, or the end. */
static bool
read_list(struct reader *r, struct matchers *out)
{
	for (;;) {
		skip_blanks(r);
		if (at_end(r) || *r->rest.p == '}')
			return true;
		if (out->n == MATCHERS_MAX)
			return fail(r, r->rest.p, "there are more than 64 matchers");
		if (!read_matcher(r, &out->item[out->n]))
			return false;
		out->n++;
		skip_blanks(r);
		if (at_end(r) || *r->rest.p == '}')
			return true;
		if (!take(r, ','))
			return fail(r, r->rest.p, "a comma should be here");
	}
}

/* One list, both braces or none. */
static bool
read_set(struct reader *r, struct matchers *out)
{
	const char *open;
	bool braces;

	out->n = 0;
	skip_blanks(r);
	open = r->rest.p;
	braces = take(r, '{');
	if (!read_list(r, out))
		return false;
	if (braces && !take(r, '}'))
		return fail(r, open, "this brace is not closed");
	skip_blanks(r);
	return true;
}

bool
matchers_parse(struct slice text, struct matchers *out, char *memory, struct matchers_error *error)
{
	struct reader r = {.start = text.p, .rest = text, .memory = memory, .error = error};

	if (!read_set(&r, out))
		return false;
	return at_end(&r) || fail(&r, r.rest.p, "nothing should follow the matchers");
}

bool
matchers_parse_next(struct slice *text, struct matchers *out, char **memory, struct matchers_error *error)
{
	struct reader r = {.start = text->p, .rest = *text, .memory = *memory, .error = error};

	if (!read_set(&r, out))
		return false;
	if (!at_end(&r)) {
		if (!slice_starts(r.rest, "or"))
			return fail(&r, r.rest.p, "nothing should follow the matchers");
		r.rest.p += 2;
		skip_blanks(&r);
		if (at_end(&r) || *r.rest.p != '{')
			return fail(&r, r.rest.p, "another set of matchers in braces should be here");
	}
	*text = r.rest;
	*memory = r.memory;
	return true;
}

const char *
matcher_op_name(enum matcher_op op)
{
	static const char *const names[] = {"=", "!=", "=~", "!~"};

	return names[op];
}

static bool
equal(struct slice a, struct slice b)
{
	return a.end - a.p == b.end - b.p && (a.p == a.end || memcmp(a.p, b.p, (size_t) (a.end - a.p)) == 0);
}

bool
matchers_accept(const struct matchers *matchers, matchers_lookup *lookup, matchers_regex *regex, void *arg)
{
	for (int i = 0; i < matchers->n; i++) {
		const struct matcher *m = &matchers->item[i];
		struct slice value = lookup(arg, m->name);
		bool is_regex = m->op == MATCHER_REGEX || m->op == MATCHER_NOT_REGEX;
		bool wanted = m->op == MATCHER_EQUAL || m->op == MATCHER_REGEX;

		if ((is_regex ? regex(arg, m, value) : equal(m->value, value)) != wanted)
			return false;
	}
	return true;
}

const struct matcher *
matchers_equal(const struct matchers *matchers, const char *name)
{
	for (int i = 0; i < matchers->n; i++)
		if (matchers->item[i].op == MATCHER_EQUAL && slice_equals(matchers->item[i].name, name))
			return &matchers->item[i];
	return NULL;
}
