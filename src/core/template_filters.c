/* template_filters.c: filters of templates. See template_filters.h for what belongs here. */
#include "core/template_filters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_SEPARATOR '\x1f'

/* --- numbers for people */

const char *
template_whole_characters(const char *start, const char *end)
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
put_text(struct template_operand *operand, int length)
{
	size_t n = length < 0 ? 0 : (size_t) length;
	const char *end = operand->printed + (n < TEMPLATE_PRINTED_MAX ? n : TEMPLATE_PRINTED_MAX - 1);

	operand->is_number = false;
	operand->text.p = operand->printed;
	operand->text.end = n < TEMPLATE_PRINTED_MAX - 1 ? end : template_whole_characters(operand->printed, end);
}

/* A number that stays one for the next filter; false: it is text. What can't be counted is said in a word. */
static bool
countable(struct template_operand *operand)
{
	if (!operand->is_number && operand->text.p < operand->text.end)
		operand->is_number = slice_to_float(operand->text, &operand->number);
	if (!operand->is_number)
		return false;
	if (isfinite(operand->number))
		return true;
	put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%s",
							   isnan(operand->number) ? "n/a"
							   : operand->number > 0  ? "+Inf"
													  : "-Inf"));
	return false;
}

void
template_plain(struct template_operand *operand)
{
	double v;

	if (!operand->is_number || !countable(operand))
		return;
	v = operand->number + 0.0; /* no -0 */
	put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX,
							   fabs(v) < 1e15 && (v == floor(v) || fabs(v) >= 1e5) ? "%.0f" : "%.6g", v));
}

static void
round_to(struct template_operand *operand, const struct template_argument *argument)
{
	if (countable(operand))
		put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%.*f",
								   fabs(operand->number) < 1e15 ? argument->digits : 0, operand->number));
}

static int
put_percent(char *out, double percent)
{
	double tenths = round(percent * 10) + 0.0; /* no -0 */

	return snprintf(out, TEMPLATE_PRINTED_MAX, fmod(tenths, 10) == 0 ? "%.0f%%" : "%.1f%%", tenths / 10);
}

static void
percent(struct template_operand *operand, const struct template_argument *argument)
{
	if (countable(operand))
		put_text(operand, put_percent(operand->printed, operand->number));
}

static void
percent_of_ratio(struct template_operand *operand, const struct template_argument *argument)
{
	if (countable(operand))
		put_text(operand, put_percent(operand->printed, operand->number * 100));
}

static void
put_scaled(struct template_operand *operand, double base, const char *const *larger, const char *unit)
{
	double v = operand->number;
	int i = 0;

	while (fabs(v) >= base && larger[i + 1] != NULL) {
		v /= base;
		i++;
	}
	put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%.4g%s%s", v, larger[i], unit));
}

static const char *const decimal[] = {"", "k", "M", "G", "T", "P", "E", NULL};
static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", NULL};
static const char *const spaced_binary[] = {" ", " Ki", " Mi", " Gi", " Ti", " Pi", " Ei", NULL};

static void
humanize(struct template_operand *operand, const struct template_argument *argument)
{
	if (countable(operand))
		put_scaled(operand, 1000, decimal, "");
}

static void
humanize1024(struct template_operand *operand, const struct template_argument *argument)
{
	if (countable(operand))
		put_scaled(operand, 1024, binary, "");
}

static void
bytes(struct template_operand *operand, const struct template_argument *argument)
{
	if (countable(operand))
		put_scaled(operand, 1024, spaced_binary, "B");
}

/* Seconds: 1d 2h 3m 4s; below a minute with a fraction. */
static void
duration(struct template_operand *operand, const struct template_argument *argument)
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
		put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%.4gms", operand->number * 1000));
	else if (left < 60)
		put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%.4gs", operand->number));
	else if (left >= 1e12)
		put_text(operand, snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%.4gd", operand->number / 86400));
	if (left < 60 || left >= 1e12)
		return;
	left = round(left);
	n = snprintf(operand->printed, TEMPLATE_PRINTED_MAX, "%s", operand->number < 0 ? "-" : "");
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		double count = floor(left / units[i].seconds);

		left -= count * units[i].seconds;
		if (count > 0)
			n += snprintf(operand->printed + n, TEMPLATE_PRINTED_MAX - (size_t) n, "%.0f%s ", count,
						  units[i].unit);
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
	for (const char *p = text.p; p < text.end && n < TEMPLATE_PRINTED_MAX - 1; p++) {
		out[n++] = *p;
		if (*p == '%')
			p++;
	}
	return n;
}

static int
put_converted(char *out, size_t size, const struct template_operand *operand, int digits, char letter)
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
print_formatted(struct template_operand *operand, const struct template_argument *argument)
{
	struct slice before, after;
	struct template_operand given;
	char letter;
	int digits, n;

	(void) read_format(argument->text, &before, &after, &digits, &letter);
	(void) countable(operand);
	given = *operand;
	if (given.text.p == operand->printed) {
		given.text.p = given.printed;
		given.text.end = given.printed + (operand->text.end - operand->text.p);
	}
	n = put_literal(operand->printed, 0, before);
	n += put_converted(operand->printed + n, TEMPLATE_PRINTED_MAX - (size_t) n, &given, digits, letter);
	if (n < TEMPLATE_PRINTED_MAX)
		n = put_literal(operand->printed, n, after);
	put_text(operand, n);
}

/* --- texts */

/* Room of `size` bytes in the memory of the caller, or of what is left; *size is what was given. */
static char *
take_memory(const struct template_argument *argument, size_t *size)
{
	struct template_memory *memory = argument->memory;
	size_t room = (size_t) (memory->end - memory->p);
	char *taken = memory->p;

	if (*size > room)
		*size = room;
	memory->p += *size;
	return taken;
}

static void
change_case(struct template_operand *operand, const struct template_argument *argument, char first, char last)
{
	size_t size;
	char *copy;

	template_plain(operand);
	size = (size_t) (operand->text.end - operand->text.p);
	copy = take_memory(argument, &size);
	for (size_t i = 0; i < size; i++) {
		char c = operand->text.p[i];

		copy[i] = c >= first && c <= last ? (char) (c ^ ('a' ^ 'A')) : c;
	}
	operand->text = (struct slice){copy, template_whole_characters(copy, copy + size)};
}

static void
upper(struct template_operand *operand, const struct template_argument *argument)
{
	change_case(operand, argument, 'a', 'z');
}

static void
lower(struct template_operand *operand, const struct template_argument *argument)
{
	change_case(operand, argument, 'A', 'Z');
}

static void
use_default(struct template_operand *operand, const struct template_argument *argument)
{
	if (operand->is_number ? isnan(operand->number) : operand->text.p == operand->text.end) {
		operand->is_number = false;
		operand->text = argument->text;
	}
}

/* A list becomes a text; every other text is a list of one. */
static void
join(struct template_operand *operand, const struct template_argument *argument)
{
	size_t between = (size_t) (argument->text.end - argument->text.p), size = 0, n = 0;
	char *joined;

	if (operand->is_number || !operand->is_list)
		return;
	for (const char *p = operand->text.p; p < operand->text.end; p++)
		size += *p == LIST_SEPARATOR ? between : 1;
	joined = take_memory(argument, &size);
	for (const char *p = operand->text.p; p < operand->text.end && n < size; p++)
		if (*p != LIST_SEPARATOR)
			joined[n++] = *p;
		else
			for (size_t i = 0; i < between && n < size; i++)
				joined[n++] = argument->text.p[i];
	operand->is_list = false;
	operand->text = (struct slice){joined, template_whole_characters(joined, joined + n)};
}

void
template_list(struct template_operand *operand, struct template_memory *memory)
{
	struct template_argument argument = {.text = slice_of(", "), .memory = memory};

	join(operand, &argument);
}

/* --- which there are */

static const struct filter {
	const char *name;
	enum template_argument_kind argument;
	void (*apply)(struct template_operand *operand, const struct template_argument *argument);
} filters[] = {{"percent", TEMPLATE_NO_ARGUMENT, percent},
			   {"humanize", TEMPLATE_NO_ARGUMENT, humanize},
			   {"duration", TEMPLATE_NO_ARGUMENT, duration},
			   {"bytes", TEMPLATE_NO_ARGUMENT, bytes},
			   {"round", TEMPLATE_MAYBE_DIGITS, round_to},
			   {"printf", TEMPLATE_FORMAT, print_formatted},
			   {"default", TEMPLATE_TEXT, use_default},
			   {"upper", TEMPLATE_NO_ARGUMENT, upper},
			   {"lower", TEMPLATE_NO_ARGUMENT, lower},
			   {"join", TEMPLATE_TEXT, join},
			   {"humanize1024", TEMPLATE_NO_ARGUMENT, humanize1024},
			   {"humanizeDuration", TEMPLATE_NO_ARGUMENT, duration},
			   {"humanizePercentage", TEMPLATE_NO_ARGUMENT, percent_of_ratio},
			   {"toUpper", TEMPLATE_NO_ARGUMENT, upper},
			   {"toLower", TEMPLATE_NO_ARGUMENT, lower},
			   {NULL}};

const char template_filters_hint[] =
	"Filters are percent, humanize, duration, bytes, round(digits), "
	"printf \"%.1f\", default(\"text\"), upper, lower and join(\", \"); "
	"Prometheus's humanize1024, humanizeDuration, humanizePercentage, toUpper and "
	"toLower work, too.";

int
template_filter_of(struct slice word)
{
	for (int i = 0; filters[i].name != NULL; i++)
		if (slice_equals(word, filters[i].name))
			return i;
	return -1;
}

const char *
template_filter_name(int filter)
{
	return filters[filter].name;
}

enum template_argument_kind
template_filter_argument(int filter)
{
	return filters[filter].argument;
}

const char *
template_check_format(struct slice format)
{
	struct slice before, after;
	char letter;
	int digits;

	return read_format(format, &before, &after, &digits, &letter);
}

void
template_apply(int filter, struct template_operand *operand, const struct template_argument *argument)
{
	filters[filter].apply(operand, argument);
}
