/* template.c: A reader of expressions that evaluates as it goes. See template.h for what belongs here. */
#include "core/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PRINTED_MAX 128 /* a number with what printf puts around it */
#define FILTERS_MAX 8   /* of one expression */

const char *const template_rule_fields[] = {"name",      "category", "severity", "metric_name",
											"aggregate", "operator", NULL};

/* What an expression is worth so far. Text points into the template, to what a lookup returned, or to `printed`. */
struct operand {
	bool is_number;
	double number;
	struct slice text;
	char printed[PRINTED_MAX];
};

struct reader {
	const char *start;
	struct slice rest; /* of the expression, which may end before its closing braces are found */
	const struct template_values *values; /* NULL: checking */
	struct template_error *error;
};

struct filter {
	const char *name;
	enum { NO_ARGUMENT, MAYBE_NUMBER, FORMAT } argument;
	void (*apply)(struct operand *operand, int digits, struct slice format);
};

static bool
fail(struct reader *r, const char *at, const char *message, const char *hint)
{
	r->error->offset = (size_t) (at - r->start);
	r->error->message = message;
	r->error->hint = hint;
	return false;
}

/* --- numbers for people */

/* The end of a text that was cut, without the piece of a character that may be there. */
static const char *
whole_characters(const char *start, const char *end)
{
	const char *last = end;

	while (last > start && end - last < 4 && ((unsigned char) last[-1] & 0xC0) == 0x80)
		last--;
	if (last == start || (unsigned char) last[-1] < 0x80)
		return end;
	return last - 1 + slice_utf8_length(last - 1, end) == end ? end : last - 1;
}

/* What was printed into the operand, `length` bytes unless that is more than there is room for. */
static void
put_text(struct operand *operand, int length)
{
	size_t n = length < 0 ? 0 : (size_t) length;
	const char *end = operand->printed + (n < PRINTED_MAX ? n : PRINTED_MAX - 1);

	operand->is_number = false;
	operand->text.p = operand->printed;
	operand->text.end = n < PRINTED_MAX - 1 ? end : whole_characters(operand->printed, end);
}

/* A number that stays one for the next filter; false: it is text. What can't be counted is said in a word. */
static bool
countable(struct operand *operand)
{
	if (!operand->is_number && operand->text.p < operand->text.end)
		operand->is_number = slice_to_float(operand->text, &operand->number);
	if (!operand->is_number)
		return false;
	if (isfinite(operand->number))
		return true;
	put_text(operand, snprintf(operand->printed, PRINTED_MAX, "%s",
							   isnan(operand->number) ? "n/a"
							   : operand->number > 0  ? "+Inf"
													  : "-Inf"));
	return false;
}

/* Six digits where they are enough; whole numbers with all of theirs. */
static void
plain(struct operand *operand)
{
	double v;

	if (!operand->is_number || !countable(operand))
		return;
	v = operand->number + 0.0; /* no -0 */
	put_text(operand, snprintf(operand->printed, PRINTED_MAX,
							   fabs(v) < 1e15 && (v == floor(v) || fabs(v) >= 1e5) ? "%.0f" : "%.6g", v));
}

static void
round_to(struct operand *operand, int digits, struct slice format)
{
	if (countable(operand))
		put_text(operand, snprintf(operand->printed, PRINTED_MAX, "%.*f",
								   fabs(operand->number) < 1e15 ? digits : 0, operand->number));
}

static int
put_percent(char *out, double percent)
{
	double tenths = round(percent * 10) + 0.0; /* no -0 */

	return snprintf(out, PRINTED_MAX, fmod(tenths, 10) == 0 ? "%.0f%%" : "%.1f%%", tenths / 10);
}

static void
percent(struct operand *operand, int digits, struct slice format)
{
	if (countable(operand))
		put_text(operand, put_percent(operand->printed, operand->number));
}

static void
percent_of_ratio(struct operand *operand, int digits, struct slice format)
{
	if (countable(operand))
		put_text(operand, put_percent(operand->printed, operand->number * 100));
}

static void
put_scaled(struct operand *operand, double base, const char *const *larger, const char *unit)
{
	double v = operand->number;
	int i = 0;

	while (fabs(v) >= base && larger[i + 1] != NULL) {
		v /= base;
		i++;
	}
	put_text(operand, snprintf(operand->printed, PRINTED_MAX, "%.4g%s%s", v, larger[i], unit));
}

static const char *const decimal[] = {"", "k", "M", "G", "T", "P", "E", NULL};
static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", NULL};
static const char *const spaced_binary[] = {" ", " Ki", " Mi", " Gi", " Ti", " Pi", " Ei", NULL};

static void
humanize(struct operand *operand, int digits, struct slice format)
{
	if (countable(operand))
		put_scaled(operand, 1000, decimal, "");
}

static void
humanize1024(struct operand *operand, int digits, struct slice format)
{
	if (countable(operand))
		put_scaled(operand, 1024, binary, "");
}

static void
bytes(struct operand *operand, int digits, struct slice format)
{
	if (countable(operand))
		put_scaled(operand, 1024, spaced_binary, "B");
}

/* Seconds: 1d 2h 3m 4s; below a minute with a fraction. */
static void
duration(struct operand *operand, int digits, struct slice format)
{
	static const struct {
		double seconds;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	double left;
	int n;

	if (!countable(operand))
		return;
	left = fabs(operand->number);
	if (left > 0 && left < 1)
		put_text(operand, snprintf(operand->printed, PRINTED_MAX, "%.4gms", operand->number * 1000));
	else if (left < 60)
		put_text(operand, snprintf(operand->printed, PRINTED_MAX, "%.4gs", operand->number));
	else if (left >= 1e12)
		put_text(operand, snprintf(operand->printed, PRINTED_MAX, "%.4gd", operand->number / 86400));
	if (left < 60 || left >= 1e12)
		return;
	left = round(left);
	n = snprintf(operand->printed, PRINTED_MAX, "%s", operand->number < 0 ? "-" : "");
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		double count = floor(left / units[i].seconds);

		left -= count * units[i].seconds;
		if (count > 0)
			n += snprintf(operand->printed + n, PRINTED_MAX - (size_t) n, "%.0f%s ", count, units[i].unit);
	}
	put_text(operand, n - 1);
}

/* --- printf, with one value */

/* Reads a format: text, %%, and one of %[.digits](f|g|e|d|s|v). Returns what is wrong with it, or NULL. */
static const char *
read_format(struct slice format, struct slice *before, struct slice *after, int *digits, char *letter)
{
	const char *p = format.p;

	*letter = '\0';
	*digits = -1;
	*before = format;
	*after = (struct slice){format.end, format.end};
	for (; p < format.end; p++) {
		const char *percent_sign = p;

		if (*p != '%')
			continue;
		if (++p < format.end && *p == '%')
			continue;
		if (*letter != '\0')
			return "printf has one value only";
		if (p < format.end && *p == '.') {
			if (++p >= format.end || *p < '0' || *p > '9')
				return "a digit should follow the point";
			*digits = *p++ - '0';
		}
		if (p >= format.end || *p == '\0' || strchr("fgedsv", *p) == NULL)
			return "printf knows %f, %g, %e, %d, %s and %v, with one digit of precision";
		*letter = *p;
		before->end = percent_sign;
		after->p = p + 1;
	}
	return *letter == '\0' ? "printf needs a place for the value, like %.1f" : NULL;
}

static int
put_literal(char *out, int n, struct slice text)
{
	for (const char *p = text.p; p < text.end && n < PRINTED_MAX - 1; p++) {
		out[n++] = *p;
		if (*p == '%')
			p++;
	}
	return n;
}

static int
put_converted(char *out, size_t size, const struct operand *operand, int digits, char letter)
{
	if (!operand->is_number)
		return snprintf(out, size, "%.*s", (int) (operand->text.end - operand->text.p), operand->text.p);
	if (letter == 'f')
		return snprintf(out, size, "%.*f", digits < 0 ? 6 : digits, operand->number);
	if (letter == 'e')
		return snprintf(out, size, "%.*e", digits < 0 ? 6 : digits, operand->number);
	if (letter == 'd')
		return snprintf(out, size, "%.0f", operand->number);
	return snprintf(out, size, "%.*g", digits < 0 ? 6 : digits, operand->number);
}

static void
print_formatted(struct operand *operand, int digits, struct slice format)
{
	struct slice before, after;
	struct operand given;
	char letter;
	int n;

	(void) read_format(format, &before, &after, &digits, &letter);
	(void) countable(operand);
	given = *operand;
	if (given.text.p == operand->printed) {
		given.text.p = given.printed;
		given.text.end = given.printed + (operand->text.end - operand->text.p);
	}
	n = put_literal(operand->printed, 0, before);
	n += put_converted(operand->printed + n, PRINTED_MAX - (size_t) n, &given, digits, letter);
	if (n < PRINTED_MAX)
		n = put_literal(operand->printed, n, after);
	put_text(operand, n);
}

static const struct filter filters[] = {{"percent", NO_ARGUMENT, percent},
										{"humanize", NO_ARGUMENT, humanize},
										{"duration", NO_ARGUMENT, duration},
										{"bytes", NO_ARGUMENT, bytes},
										{"round", MAYBE_NUMBER, round_to},
										{"printf", FORMAT, print_formatted},
										{"humanize1024", NO_ARGUMENT, humanize1024},
										{"humanizeDuration", NO_ARGUMENT, duration},
										{"humanizePercentage", NO_ARGUMENT, percent_of_ratio},
										{NULL}};

static const char filters_hint[] = "Filters are percent, humanize, duration, bytes, round(digits) and "
								   "printf \"%.1f\"; Prometheus's humanize1024, humanizeDuration and "
								   "humanizePercentage work, too.";

/* --- reading */

static void
skip_blanks(struct reader *r)
{
	while (r->rest.p < r->rest.end && (*r->rest.p == ' ' || *r->rest.p == '\t' || *r->rest.p == '\n'))
		r->rest.p++;
}

static bool
comes(const struct reader *r, const char *text)
{
	return slice_starts(r->rest, text);
}

static bool
take(struct reader *r, const char *text)
{
	skip_blanks(r);
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

static struct slice
next_word(struct reader *r)
{
	struct slice word;

	skip_blanks(r);
	word.p = r->rest.p;
	while (r->rest.p < r->rest.end && is_word_byte(*r->rest.p))
		r->rest.p++;
	word.end = r->rest.p;
	return word;
}

static bool
read_quoted(struct reader *r, struct slice *out)
{
	const char *open = r->rest.p;

	if (!take(r, "\""))
		return fail(r, r->rest.p, "a text in double quotes should be here", NULL);
	out->p = r->rest.p;
	while (r->rest.p < r->rest.end && *r->rest.p != '"')
		r->rest.p++;
	out->end = r->rest.p;
	return take(r, "\"") || fail(r, open, "this quote is not closed", NULL);
}

static const struct filter *
filter_of(struct slice word)
{
	for (const struct filter *f = filters; f->name != NULL; f++)
		if (slice_equals(word, f->name))
			return f;
	return NULL;
}

/* The rest of a word behind one of two prefixes; false when it has neither. */
static bool
after_prefix(struct slice word, const char *prefix, const char *other, struct slice *out)
{
	size_t skip = slice_starts(word, prefix) ? strlen(prefix) : slice_starts(word, other) ? strlen(other) : 0;

	*out = (struct slice){word.p + skip, word.end};
	return skip > 0;
}

static bool
read_label(struct reader *r, struct slice word, struct slice name, struct operand *out)
{
	if (name.p == name.end)
		return fail(r, word.p, "the name of a label should follow", NULL);
	if (r->values != NULL) {
		out->text = r->values->label(r->values->arg, name);
		if (out->text.p == out->text.end && slice_equals(name, "instance"))
			out->text = r->values->label(r->values->arg, slice_of("vps_name"));
	}
	return true;
}

static bool
read_field(struct reader *r, struct slice word, struct slice name, struct operand *out)
{
	for (const char *const *field = template_rule_fields; *field != NULL; field++)
		if (slice_equals(name, *field)) {
			if (r->values != NULL)
				out->text = r->values->rule(r->values->arg, name);
			return true;
		}
	return fail(r, word.p, "a rule has no such field",
				"There are rule.name, rule.category, rule.severity, rule.metric_name, rule.aggregate and "
				"rule.operator.");
}

static bool
read_operand(struct reader *r, struct slice word, struct operand *out)
{
	struct slice name;

	out->is_number = false;
	out->text = slice_of("");
	if (word.p == word.end)
		return comes(r, "\"") ? read_quoted(r, &out->text)
							  : fail(r, word.p, "an expression should be here", "For instance {{ value }}.");
	if (after_prefix(word, "labels.", "$labels.", &name))
		return read_label(r, word, name, out);
	if (after_prefix(word, "rule.", "$rule.", &name))
		return read_field(r, word, name, out);
	out->is_number = true;
	if (slice_equals(word, "value") || slice_equals(word, "$value"))
		out->number = r->values != NULL ? r->values->value : 0;
	else if (slice_equals(word, "threshold") || slice_equals(word, "$threshold"))
		out->number = r->values != NULL ? r->values->threshold : 0;
	else if (!slice_to_float(word, &out->number))
		return fail(r, word.p, "this is no value that templates know",
					"There are value, threshold, labels.NAME and rule.name.");
	return true;
}

struct application {
	const struct filter *filter;
	int digits;
	struct slice format;
};

/* The argument of a filter whose name was read: in parentheses, or just behind it. */
static bool
read_argument(struct reader *r, struct application *out)
{
	bool parentheses = take(r, "(");
	const char *at;

	skip_blanks(r);
	at = r->rest.p;
	if (out->filter->argument == FORMAT) {
		struct slice before, after;
		const char *wrong;
		char letter;

		if (!read_quoted(r, &out->format))
			return false;
		wrong = read_format(out->format, &before, &after, &out->digits, &letter);
		if (wrong != NULL)
			return fail(r, at, wrong, NULL);
	} else if (at < r->rest.end && *at >= '0' && *at <= '9') {
		struct slice digits = next_word(r);

		if (out->filter->argument != MAYBE_NUMBER)
			return fail(r, at, "this filter has no argument", NULL);
		if (digits.end - digits.p != 1)
			return fail(r, at, "a number of digits from 0 to 9 should be here", NULL);
		out->digits = *digits.p - '0';
	}
	return !parentheses || take(r, ")") || fail(r, r->rest.p, "a closing parenthesis should be here", NULL);
}

static bool
read_filter(struct reader *r, struct slice word, struct application *out)
{
	*out = (struct application){.filter = filter_of(word)};
	if (out->filter == NULL)
		return fail(r, word.p, "this is no filter that templates know", filters_hint);
	return read_argument(r, out);
}

static void
apply(struct operand *operand, const struct application *a)
{
	a->filter->apply(operand, a->digits, a->format);
}

/* What stands between {{ and }}; the opening braces have been taken, the closing ones are. */
static bool
read_expression(struct reader *r, struct operand *out)
{
	const char *open = r->rest.p - 2;
	struct slice word = next_word(r);
	struct application first = {.filter = filter_of(word)};

	if (first.filter != NULL) {
		if (!read_filter(r, word, &first))
			return false;
		word = next_word(r);
	}
	if (!read_operand(r, word, out))
		return false;
	if (first.filter != NULL)
		apply(out, &first);
	for (int n = 0; take(r, "|"); n++) {
		struct application next;

		word = next_word(r);
		if (n == FILTERS_MAX)
			return fail(r, word.p, "there are more than 8 filters", NULL);
		if (!read_filter(r, word, &next))
			return false;
		apply(out, &next);
	}
	plain(out);
	if (take(r, "}}"))
		return true;
	return r->rest.p >= r->rest.end
			   ? fail(r, open, "these braces are not closed", "An expression ends with }}.")
			   : fail(r, r->rest.p, "a | or }} should be here", NULL);
}

/* --- texts */

/* The next {{ of a text, or its end. */
static const char *
next_braces(struct slice text)
{
	const char *p = text.p;

	for (; p + 1 < text.end; p++)
		if (p[0] == '{' && p[1] == '{')
			return p;
	return text.end;
}

bool
template_check(struct slice text, struct template_error *error)
{
	struct reader r = {.start = text.p, .rest = text, .error = error};

	if ((size_t) (text.end - text.p) >= TEMPLATE_MAX)
		return fail(&r, text.p + TEMPLATE_MAX - 1, "the text is too long",
					"A template has at most 4095 bytes.");
	for (;;) {
		struct operand operand;

		r.rest.p = next_braces(r.rest);
		if (r.rest.p == r.rest.end)
			return true;
		r.rest.p += 2;
		if (!read_expression(&r, &operand))
			return false;
	}
}

struct sink {
	char *p, *end; /* `end` has room for the terminator */
	bool full;
};

static void
put(struct sink *sink, struct slice text)
{
	size_t length = (size_t) (text.end - text.p), room = (size_t) (sink->end - sink->p);

	if (length > room) {
		length = (size_t) (whole_characters(text.p, text.p + room) - text.p);
		sink->full = true;
	}
	if (length > 0)
		memcpy(sink->p, text.p, length);
	sink->p += length;
}

size_t
template_render(struct slice text, const struct template_values *values, char *out, size_t size)
{
	struct template_error error;
	struct reader r = {.start = text.p, .rest = text, .values = values, .error = &error};
	struct sink sink = {out, out + size - 1, false};

	while (r.rest.p < r.rest.end && !sink.full) {
		const char *braces = next_braces(r.rest);
		struct operand operand;

		put(&sink, (struct slice){r.rest.p, braces});
		r.rest.p = braces;
		if (braces == r.rest.end || sink.full)
			continue;
		r.rest.p += 2;
		if (read_expression(&r, &operand))
			put(&sink, operand.text);
		else {
			put(&sink, (struct slice){braces, braces + 2});
			r.rest.p = braces + 2;
		}
	}
	*sink.p = '\0';
	return (size_t) (sink.p - out);
}
