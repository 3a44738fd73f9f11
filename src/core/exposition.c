/* exposition.c: Lines of the text format. See exposition.h for what belongs here. */
#include "core/exposition.h"

enum family_type { TYPE_NONE, TYPE_UNTYPED, TYPE_GAUGE, TYPE_COUNTER, TYPE_HISTOGRAM, TYPE_SUMMARY };

void
exposition_begin(struct exposition *e, char *text, size_t size)
{
	*e = (struct exposition){.at = text, .end = text + size};
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *
skip_blanks(char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

/* The name at *p, without quotes; empty when there is none. */
static struct slice
bare_name(char **p, const char *end)
{
	char *start = *p;

	if (*p < end && !(**p >= '0' && **p <= '9'))
		while (*p < end && is_name_char(**p))
			(*p)++;
	return (struct slice){start, *p};
}

/*
 * The text in quotes at *p, which stands at the first of them; its escapes are resolved in place. False when the quotes do not end or
 * the bytes are no text that a database takes (zero bytes, no UTF-8).
 */
static bool
quoted(char **p, const char *end, struct slice *out)
{
	char *from = *p + 1, *to = from;

	out->p = to;
	while (from < end && *from != '"') {
		if (*from == '\\' && from + 1 < end) {
			/* Any other escape is kept as it is, as Prometheus does not. */
			char c = from[1];
			if (c == 'n' || c == '\\' || c == '"') {
				*to++ = c == 'n' ? '\n' : c;
				from += 2;
				continue;
			}
		}
		size_t len = slice_utf8_length(from, end);
		if (len == 0 || *from == '\0')
			return false;
		while (len-- > 0)
			*to++ = *from++;
	}
	if (from >= end)
		return false;
	out->end = to;
	*p = from + 1;
	return true;
}

/* One pair of a label set, or a name in quotes alone: the metric's own. */
static bool
read_label(char **p, const char *end, struct exposition_sample *out)
{
	struct slice name, value;
	bool in_quotes = **p == '"';

	if (in_quotes ? !quoted(p, end, &name) : (name = bare_name(p, end), name.p == name.end))
		return false;
	*p = skip_blanks(*p, end);
	if (in_quotes && (*p == end || **p != '=')) {
		if (out->name.p != out->name.end)
			return false;
		out->name = name;
		return true;
	}
	if (*p == end || **p != '=')
		return false;
	*p = skip_blanks(*p + 1, end);
	if (*p == end || **p != '"' || !quoted(p, end, &value) || out->labels == SERIES_LABELS_MAX)
		return false;
	out->label[out->labels++] = (struct series_label){name, value};
	return true;
}

/* The set of labels at *p, from { to }. */
static bool
read_labels(char **p, const char *end, struct exposition_sample *out)
{
	(*p)++;
	for (;;) {
		*p = skip_blanks(*p, end);
		if (*p == end)
			return false;
		if (**p == '}') {
			(*p)++;
			return true;
		}
		if (!read_label(p, end, out))
			return false;
		*p = skip_blanks(*p, end);
		if (*p < end && **p == ',')
			(*p)++;
		else if (*p == end || **p != '}')
			return false;
	}
}

/* Milliseconds, maybe negative; OpenMetrics' seconds with a fraction are told apart by their point. */
static bool
read_time(struct slice word, int64_t *ms)
{
	double number;

	if (!slice_to_float(word, &number) || !(number > -9e15 && number < 9e15))
		return false;
	if (memchr(word.p, '.', (size_t) (word.end - word.p)) != NULL)
		number *= 1000;
	*ms = (int64_t) number;
	return true;
}

static bool
has_two_names_alike(const struct exposition_sample *s)
{
	for (int i = 1; i < s->labels; i++)
		for (int k = 0; k < i; k++)
			if (slice_compare(s->label[i].name, s->label[k].name) == 0)
				return true;
	return false;
}

static bool
read_sample(char *p, char *end, struct exposition_sample *out)
{
	struct slice rest, word;

	out->labels = 0;
	out->has_time = false;
	out->name = bare_name(&p, end);
	p = skip_blanks(p, end);
	if (p < end && *p == '{' && !read_labels(&p, end, out))
		return false;
	if (out->name.p == out->name.end || has_two_names_alike(out))
		return false;
	rest = (struct slice){p, end};
	if (!slice_word(&rest, &word) || !slice_to_float(word, &out->value))
		return false;
	if (!slice_word(&rest, &word) || *word.p == '#') /* an exemplar, or nothing */
		return true;
	out->has_time = read_time(word, &out->time_ms);
	return out->has_time && (!slice_word(&rest, &word) || *word.p == '#');
}

/* Whether `name` is the family's name with that suffix. */
static bool
is_part(struct slice name, struct slice family, const char *suffix)
{
	size_t len = (size_t) (family.end - family.p);

	return (size_t) (name.end - name.p) >= len && memcmp(name.p, family.p, len) == 0 &&
		   slice_equals((struct slice){name.p + len, name.end}, suffix);
}

static enum exposition_kind
kind_of(const struct exposition *e, struct slice name)
{
	if (e->family_type == TYPE_NONE)
		return EXPOSITION_UNKNOWN;
	bool itself = is_part(name, e->family, "");
	switch ((enum family_type) e->family_type) {
	case TYPE_GAUGE:
		return itself ? EXPOSITION_GAUGE : EXPOSITION_UNKNOWN;
	case TYPE_COUNTER:
		if (itself || is_part(name, e->family, "_total"))
			return EXPOSITION_COUNTER;
		return is_part(name, e->family, "_created") ? EXPOSITION_GAUGE : EXPOSITION_UNKNOWN;
	case TYPE_HISTOGRAM:
	case TYPE_SUMMARY:
		if (itself || is_part(name, e->family, "_created"))
			return EXPOSITION_GAUGE;
		return is_part(name, e->family, "_bucket") || is_part(name, e->family, "_sum") ||
					   is_part(name, e->family, "_count")
				   ? EXPOSITION_COUNTER
				   : EXPOSITION_UNKNOWN;
	case TYPE_NONE:
	case TYPE_UNTYPED:
		break;
	}
	return EXPOSITION_UNKNOWN;
}

/* A line that begins with #: TYPE and EOF mean something, the rest is for people. */
static void
read_comment(struct exposition *e, char *p, char *end)
{
	static const struct {
		const char *name;
		enum family_type type;
	} types[] = {
		{"gauge", TYPE_GAUGE},     {"counter", TYPE_COUNTER}, {"histogram", TYPE_HISTOGRAM},
		{"summary", TYPE_SUMMARY}, {"untyped", TYPE_UNTYPED}, {"unknown", TYPE_UNTYPED},
		{"info", TYPE_GAUGE},      {"stateset", TYPE_GAUGE},  {"gaugehistogram", TYPE_UNTYPED},
	};
	struct slice rest = {p + 1, end}, word, type;

	if (!slice_word(&rest, &word))
		return;
	if (slice_equals(word, "EOF") && !slice_word(&rest, &word)) {
		e->ended = true;
		return;
	}
	if (!slice_equals(word, "TYPE"))
		return;
	e->family_type = TYPE_NONE;
	char *name = skip_blanks((char *) rest.p, end);
	if (name < end && *name == '"') {
		if (!quoted(&name, end, &e->family))
			return;
	} else
		e->family = bare_name(&name, end);
	rest.p = name;
	if (!slice_word(&rest, &type))
		return;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_equals(type, types[i].name))
			e->family_type = types[i].type;
}

bool
exposition_next(struct exposition *e, struct exposition_sample *out)
{
	while (e->at < e->end && !e->ended) {
		char *line = e->at, *newline = memchr(line, '\n', (size_t) (e->end - line));
		char *end = newline ? newline : e->end;

		e->at = newline ? newline + 1 : e->end;
		if (end > line && end[-1] == '\r')
			end--;
		line = skip_blanks(line, end);
		if (line == end)
			continue;
		if (*line == '#') {
			read_comment(e, line, end);
			continue;
		}
		e->lines++;
		if (read_sample(line, end, out)) {
			out->kind = kind_of(e, out->name);
			return true;
		}
		if (e->bad++ == 0)
			e->first_bad = (struct slice){line, end};
	}
	return false;
}
