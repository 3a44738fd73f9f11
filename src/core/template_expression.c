/* template_expression.c: a reader of expressions that evaluates as it goes. See template_expression.h for what belongs here. */
#include "core/template_expression.h"

#include "core/nearest.h"

#define FILTERS_MAX 8 /* of one expression */
#define NAMES_MAX   64

bool
template_fail(struct template_reader *r, const char *at, const char *message, const char *hint)
{
	*r->error = (struct template_error){(size_t) (at - r->start), message, hint, NULL};
	return false;
}

bool
template_fail_near(struct template_reader *r, struct slice word, const char *message, const char *hint,
				   const char *const *names)
{
	char asked[NEAREST_NAME_MAX + 1];
	struct nearest nearest;

	(void) template_fail(r, word.p, message, hint);
	if (word.p == word.end || !slice_copy(word, asked, sizeof asked))
		return false;
	nearest_begin(&nearest, asked, 0);
	for (; *names != NULL; names++)
		nearest_consider(&nearest, *names);
	r->error->nearest = nearest.name;
	return false;
}

void
template_skip_blanks(struct template_reader *r)
{
	while (r->rest.p < r->rest.end && *r->rest.p != '\0' && strchr(" \t\r\n", *r->rest.p) != NULL)
		r->rest.p++;
}

static bool
comes(const struct template_reader *r, const char *text)
{
	return slice_starts(r->rest, text);
}

bool
template_take(struct template_reader *r, const char *text)
{
	template_skip_blanks(r);
	if (!comes(r, text))
		return false;
	r->rest.p += strlen(text);
	return true;
}

static bool
is_word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		   (c != '\0' && strchr("_$.:-/", c) != NULL);
}

struct slice
template_word(struct template_reader *r)
{
	struct slice word;

	template_skip_blanks(r);
	word.p = r->rest.p;
	while (r->rest.p < r->rest.end && is_word_byte(*r->rest.p))
		r->rest.p++;
	word.end = r->rest.p;
	return word;
}

static bool
read_quoted(struct template_reader *r, struct slice *out)
{
	const char *open = r->rest.p;

	if (!template_take(r, "\""))
		return template_fail(r, r->rest.p, "a text in double quotes should be here", NULL);
	out->p = r->rest.p;
	while (r->rest.p < r->rest.end && *r->rest.p != '"')
		r->rest.p++;
	out->end = r->rest.p;
	return template_take(r, "\"") || template_fail(r, open, "this quote is not closed", NULL);
}

static bool
read_operand(struct template_reader *r, struct slice word, struct template_operand *out)
{
	out->is_number = out->is_list = false;
	out->text = slice_of("");
	if (word.p == word.end)
		return comes(r, "\"")
				   ? read_quoted(r, &out->text)
				   : template_fail(r, word.p, "an expression should be here", "For instance {{ value }}.");
	if (slice_to_float(word, &out->number)) {
		out->is_number = true;
		return true;
	}
	return r->value(r, word, out);
}

struct application {
	int filter;
	struct template_argument argument;
};

static bool
read_digits(struct template_reader *r, const char *at, struct application *out)
{
	struct slice digits = template_word(r);

	if (template_filter_argument(out->filter) != TEMPLATE_MAYBE_DIGITS)
		return template_fail(r, at, "this filter has no argument", NULL);
	if (digits.end - digits.p != 1)
		return template_fail(r, at, "a number of digits from 0 to 9 should be here", NULL);
	out->argument.digits = *digits.p - '0';
	return true;
}

/* The argument of a filter whose name was read: in parentheses, or just behind it. */
static bool
read_argument(struct template_reader *r, struct application *out)
{
	bool parentheses = template_take(r, "(");
	enum template_argument_kind kind = template_filter_argument(out->filter);
	const char *at, *wrong;

	template_skip_blanks(r);
	at = r->rest.p;
	if (kind == TEMPLATE_FORMAT || kind == TEMPLATE_TEXT) {
		if (!read_quoted(r, &out->argument.text))
			return false;
		wrong = kind == TEMPLATE_FORMAT ? template_check_format(out->argument.text) : NULL;
		if (wrong != NULL)
			return template_fail(r, at, wrong, NULL);
	} else if (at < r->rest.end && *at >= '0' && *at <= '9' && !read_digits(r, at, out))
		return false;
	return !parentheses || template_take(r, ")") ||
		   template_fail(r, r->rest.p, "a closing parenthesis should be here", NULL);
}

static bool
read_filter(struct template_reader *r, struct slice word, struct application *out)
{
	const char *names[NAMES_MAX] = {0};

	*out = (struct application){.filter = template_filter_of(word), .argument.memory = &r->memory};
	if (out->filter >= 0)
		return read_argument(r, out);
	for (int i = 0; i < NAMES_MAX - 1 && template_filter_name(i) != NULL; i++)
		names[i] = template_filter_name(i);
	return template_fail_near(r, word, "this is no filter that templates know", template_filters_hint, names);
}

/* Whether a filter stands before its operand. There are values that are called like filters: {{ duration | duration }}. */
static bool
is_before(const struct template_reader *reader, struct slice word)
{
	struct template_reader r = *reader;
	struct slice next;

	if (template_filter_of(word) < 0)
		return false;
	if (template_take(&r, "(") || comes(&r, "\""))
		return true;
	next = template_word(&r);
	return next.p < next.end && !slice_equals(next, "-") && !slice_equals(next, "and") &&
		   !slice_equals(next, "or");
}

bool
template_expression(struct template_reader *r, struct slice word, struct template_operand *out)
{
	struct application application;
	bool before = is_before(r, word);

	if (before) {
		if (!read_filter(r, word, &application))
			return false;
		word = template_word(r);
	}
	if (!read_operand(r, word, out))
		return false;
	if (before)
		template_apply(application.filter, out, &application.argument);
	for (int n = 0; template_take(r, "|"); n++) {
		word = template_word(r);
		if (n == FILTERS_MAX)
			return template_fail(r, word.p, "there are more than 8 filters", NULL);
		if (!read_filter(r, word, &application))
			return false;
		template_apply(application.filter, out, &application.argument);
	}
	return true;
}

const char *
template_braces(struct slice text)
{
	const char *p = text.p;

	for (; p + 1 < text.end; p++)
		if (p[0] == '{' && p[1] == '{')
			return p;
	return text.end;
}

void
template_put(struct template_sink *sink, struct slice text)
{
	size_t length = (size_t) (text.end - text.p), room = (size_t) (sink->end - sink->p);

	if (length > room) {
		length = (size_t) (template_whole_characters(text.p, text.p + room) - text.p);
		sink->full = true;
	}
	if (length > 0)
		memcpy(sink->p, text.p, length);
	sink->p += length;
}
