/* json_path.c: See json_path.h for what belongs here. The grammar of documents is RFC 8259's. */
#include "core/json_path.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH     64
#define MAX_DIGITS    63
#define SHOWN_BYTES   80
#define MAX_INDEX     1000000
#define BAD_CHARACTER UINT32_MAX

static void
skip_blanks(struct slice *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool
take(struct slice *s, const char *token)
{
	size_t len = strlen(token);

	if ((size_t) (s->end - s->p) < len || memcmp(s->p, token, len) != 0)
		return false;
	s->p += len;
	return true;
}

static bool
take_hex4(struct slice *s, uint32_t *out)
{
	uint32_t value = 0;

	if (s->end - s->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef0123456789ABCDEF";
		const char *at = memchr(digits, s->p[i], sizeof digits - 1);
		if (!at)
			return false;
		value = value << 4 | ((uint32_t) (at - digits) & 15);
	}
	s->p += 4;
	*out = value;
	return true;
}

/* \uXXXX, or two of them for what lies above U+FFFF. */
static uint32_t
take_unicode(struct slice *s)
{
	uint32_t high, low;

	if (!take_hex4(s, &high) || (high & 0xfc00) == 0xdc00)
		return BAD_CHARACTER;
	if ((high & 0xfc00) != 0xd800)
		return high;
	if (!take(s, "\\u") || !take_hex4(s, &low) || (low & 0xfc00) != 0xdc00)
		return BAD_CHARACTER;
	return 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff));
}

/* The next byte of what stands between quotes, or the character that an escape stands for. */
static uint32_t
take_escaped(struct slice *s)
{
	static const char names[] = "\"\\/'bfnrt", meanings[] = "\"\\/'\b\f\n\r\t";
	char c = *s->p++;

	if (c != '\\')
		return (unsigned char) c;
	if (s->p == s->end)
		return BAD_CHARACTER;
	c = *s->p++;
	if (c == 'u')
		return take_unicode(s);
	const char *at = memchr(names, c, sizeof names - 1);
	return at ? (unsigned char) meanings[at - names] : BAD_CHARACTER;
}

/* The bytes of a JSON string, escapes resolved, one by one. */
struct string_reader {
	struct slice rest; /* between the quotes */
	bool plain;        /* no escapes */
	unsigned char bytes[4];
	int at, count;
};

static void
encode_utf8(uint32_t c, struct string_reader *r)
{
	r->at = 0;
	if (c < 0x80) {
		r->bytes[0] = (unsigned char) c;
		r->count = 1;
		return;
	}
	r->count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (int i = r->count - 1; i > 0; i--, c >>= 6)
		r->bytes[i] = (unsigned char) (0x80 | (c & 0x3f));
	r->bytes[0] = (unsigned char) ((r->count == 2 ? 0xc0 : r->count == 3 ? 0xe0 : 0xf0) | c);
}

/* -1 at the end. */
static int
next_byte(struct string_reader *r)
{
	if (r->at < r->count)
		return r->bytes[r->at++];
	if (r->rest.p == r->rest.end)
		return -1;
	if (r->plain || *r->rest.p != '\\')
		return (unsigned char) *r->rest.p++;
	encode_utf8(take_escaped(&r->rest), r);
	return r->bytes[r->at++];
}

static int
compare_strings(struct string_reader a, struct string_reader b)
{
	for (;;) {
		int x = next_byte(&a), y = next_byte(&b);
		if (x != y)
			return x < y ? -1 : 1;
		if (x < 0)
			return 0;
	}
}

/* A string with its quotes; `inside` gets what stands between them. */
static bool
take_string(struct slice *s, char quote, struct slice *inside)
{
	if (s->p == s->end || *s->p != quote)
		return false;
	inside->p = ++s->p;
	while (s->p < s->end && *s->p != quote)
		if ((unsigned char) *s->p < 0x20 || take_escaped(s) == BAD_CHARACTER)
			return false;
	if (s->p == s->end)
		return false;
	inside->end = s->p++;
	return true;
}

static bool
take_digits(struct slice *s)
{
	const char *before = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > before;
}

static bool
take_number(struct slice *s)
{
	struct slice rest = *s;

	take(&rest, "-");
	if (!take(&rest, "0") && !take_digits(&rest))
		return false;
	if (take(&rest, ".") && !take_digits(&rest))
		return false;
	if (take(&rest, "e") || take(&rest, "E")) {
		if (!take(&rest, "+"))
			take(&rest, "-");
		if (!take_digits(&rest))
			return false;
	}
	*s = rest;
	return true;
}

static bool take_value(struct slice *s, int depth, struct slice *value);

/*
 * Walks over the members of an object or the elements of an array; counts them, and finds the last one with that name or the
 * one with that index (-1: none is wanted). `found` is untouched when there is none.
 */
static bool
take_members(struct slice *s, int depth, bool object, const struct string_reader *name, int64_t index,
			 int64_t *count, struct slice *found)
{
	struct slice key = {NULL, NULL}, value;
	const char *close = object ? "}" : "]";

	*count = 0;
	if (depth >= MAX_DEPTH || !take(s, object ? "{" : "["))
		return false;
	skip_blanks(s);
	if (take(s, close))
		return true;
	do {
		skip_blanks(s);
		if (object) {
			if (!take_string(s, '"', &key))
				return false;
			skip_blanks(s);
			if (!take(s, ":"))
				return false;
			skip_blanks(s);
		}
		if (!take_value(s, depth + 1, &value))
			return false;
		if (object ? name && compare_strings((struct string_reader){.rest = key}, *name) == 0
				   : *count == index)
			*found = value;
		++*count;
		skip_blanks(s);
	} while (take(s, ","));
	return take(s, close);
}

static bool
take_value(struct slice *s, int depth, struct slice *value)
{
	const char *begin = s->p;
	struct slice inside;
	int64_t count;
	bool ok = false;

	if (s->p == s->end)
		return false;
	switch (*s->p) {
	case '{':
	case '[':
		ok = take_members(s, depth, *s->p == '{', NULL, -1, &count, &inside);
		break;
	case '"':
		ok = take_string(s, '"', &inside);
		break;
	default:
		ok = take(s, "true") || take(s, "false") || take(s, "null") || take_number(s);
	}
	*value = (struct slice){begin, s->p};
	return ok;
}

/* --- the condition */

struct step {
	struct string_reader name;
	int64_t index; /* -1: it is a name */
};

/* The next step of a path, after $. False: there is none; `*bad` when what follows is no step. */
static bool
take_step(struct slice *path, struct step *out, bool *bad)
{
	struct slice inside;

	*out = (struct step){.index = -1};
	if (take(path, ".")) {
		static const char ends[] = " \t.[]=!<>()\"'";
		size_t n = 0;
		while (path->p + n < path->end && !memchr(ends, path->p[n], sizeof ends - 1))
			n++;
		out->name = (struct string_reader){.rest = {path->p, path->p + n}, .plain = true};
		path->p += n;
		*bad = n == 0;
		return !*bad;
	}
	if (!take(path, "["))
		return false;
	struct slice digits = *path;
	if (take_digits(path)) {
		digits.end = path->p;
		*bad = !slice_to_i64(digits, &out->index) || out->index > MAX_INDEX || !take(path, "]");
		return !*bad;
	}
	*bad = (!take_string(path, '"', &inside) && !take_string(path, '\'', &inside)) || !take(path, "]");
	out->name = (struct string_reader){.rest = inside};
	return !*bad;
}

static bool
is_literal(struct slice s)
{
	struct slice rest = s, inside;
	bool ok = take_string(&rest, '"', &inside);

	if (!ok) {
		rest = s;
		ok = take_string(&rest, '\'', &inside);
	}
	if (!ok) {
		rest = s;
		ok = take(&rest, "true") || take(&rest, "false") || take(&rest, "null") || take_number(&rest);
	}
	return ok && rest.p == rest.end && rest.p - s.p <= MAX_DIGITS * 8;
}

/* Longer operators first. */
static const struct {
	const char *token;
	enum json_operator op;
} operators[] = {{"==", JSON_EQ}, {"!=", JSON_NE}, {"<=", JSON_LE},
				 {">=", JSON_GE}, {"<", JSON_LT},  {">", JSON_GT}};

const char *
json_path_parse(const char *text, struct json_path *out)
{
	struct slice rest = slice_of(text);
	struct step step;
	bool bad = false;
	const char *what = NULL;

	*out = (struct json_path){.op = JSON_EXISTS};
	while (rest.end > rest.p && (rest.end[-1] == ' ' || rest.end[-1] == '\t'))
		rest.end--;
	skip_blanks(&rest);
	if (take(&rest, "length(")) {
		out->length = true;
		skip_blanks(&rest);
	}
	out->path.p = rest.p;
	if (!take(&rest, "$"))
		what = "must begin with $ or length($";
	while (!what && take_step(&rest, &step, &bad))
		;
	if (bad)
		what = "after $ come .name, [number] or [\"name\"]";
	out->path.end = rest.p;
	skip_blanks(&rest);
	if (!what && out->length && !take(&rest, ")"))
		what = "length( has no )";
	skip_blanks(&rest);
	if (!what && rest.p < rest.end) {
		for (size_t i = 0; out->op == JSON_EXISTS && i < sizeof operators / sizeof *operators; i++)
			if (take(&rest, operators[i].token))
				out->op = operators[i].op;
		skip_blanks(&rest);
		out->literal = rest;
		if (out->op == JSON_EXISTS)
			what = "after the path comes one of == != < <= > >=";
		else if (!is_literal(rest))
			what = "is compared with a \"string\", a number, true, false or null";
	}
	return what;
}

static double
to_number(struct slice s)
{
	char digits[MAX_DIGITS + 1];

	if (s.end - s.p > MAX_DIGITS)
		s.end = s.p + MAX_DIGITS;
	return slice_copy(s, digits, sizeof digits) ? strtod(digits, NULL) : 0;
}

static bool
is_number(struct slice s)
{
	return s.p < s.end && (*s.p == '-' || (*s.p >= '0' && *s.p <= '9'));
}

static bool
is_quoted(struct slice s)
{
	return s.p < s.end && (*s.p == '"' || *s.p == '\'');
}

static struct string_reader
unquoted(struct slice s)
{
	return (struct string_reader){.rest = {s.p + 1, s.end - 1}};
}

/* Compares a value of the document with the literal; false when they can't be: different types, no order. */
static bool
compare(struct slice value, struct slice literal, int *order, bool *ordered)
{
	*ordered = true;
	if (is_number(value) && is_number(literal)) {
		double a = to_number(value), b = to_number(literal);
		*order = (a > b) - (a < b);
		return true;
	}
	if (is_quoted(value) && is_quoted(literal)) {
		*order = compare_strings(unquoted(value), unquoted(literal));
		return true;
	}
	*ordered = false;
	*order = slice_compare(value, literal) != 0;
	return !is_number(value) && !is_number(literal) && !is_quoted(value) && !is_quoted(literal);
}

static bool
holds(enum json_operator op, struct slice value, struct slice literal)
{
	int order;
	bool ordered;

	if (op == JSON_EXISTS)
		return !slice_equals(value, "null");
	if (!compare(value, literal, &order, &ordered))
		return op == JSON_NE;
	switch (op) {
	case JSON_EQ:
		return order == 0;
	case JSON_NE:
		return order != 0;
	case JSON_LT:
		return ordered && order < 0;
	case JSON_LE:
		return ordered && order <= 0;
	case JSON_GT:
		return ordered && order > 0;
	case JSON_GE:
		return ordered && order >= 0;
	case JSON_EXISTS:
		break;
	}
	return false;
}

/* Characters of a string: every byte that does not go on with a character. */
static int64_t
count_characters(struct string_reader r)
{
	int64_t n = 0;

	for (int byte; (byte = next_byte(&r)) >= 0;)
		n += (byte & 0xc0) != 0x80;
	return n;
}

static bool
length_of(struct slice value, int64_t *out)
{
	if (is_quoted(value))
		*out = count_characters(unquoted(value));
	else if (value.p == value.end || (*value.p != '{' && *value.p != '['))
		return false;
	else
		take_members(&value, 0, *value.p == '{', NULL, -1, out, NULL);
	return true;
}

/* The value at the path; the document has been walked over before, so it is well formed. */
static bool
find(struct slice path, struct slice document, struct slice *out)
{
	struct step step;
	bool bad;
	int64_t count;

	*out = document;
	path.p++;
	while (take_step(&path, &step, &bad)) {
		struct slice found = {NULL, NULL};
		if (out->p == out->end || *out->p != (step.index < 0 ? '{' : '['))
			return false;
		take_members(out, 0, step.index < 0, &step.name, step.index, &count, &found);
		if (!found.p)
			return false;
		*out = found;
	}
	return true;
}

static bool
take_document(struct slice document, struct slice *all)
{
	skip_blanks(&document);
	if (!take_value(&document, 0, all))
		return false;
	skip_blanks(&document);
	return document.p == document.end;
}

bool
json_path_holds(const struct json_path *c, struct slice document, char *why, size_t size)
{
	struct slice all, value;
	char path[SHOWN_BYTES], shown[SHOWN_BYTES], digits[24];
	int64_t length;

	slice_printable(c->path, path, sizeof path);
	if (!take_document(document, &all)) {
		snprintf(why, size, "the body is no JSON");
		return false;
	}
	if (!find(c->path, all, &value)) {
		snprintf(why, size, "there is no %s", path);
		return false;
	}
	if (c->length) {
		if (!length_of(value, &length)) {
			snprintf(why, size, "%s has no length", path);
			return false;
		}
		snprintf(digits, sizeof digits, "%lld", (long long) length);
		value = slice_of(digits);
	}
	if (holds(c->op, value, c->literal))
		return true;
	slice_printable(value, shown, sizeof shown);
	snprintf(why, size, c->length ? "length(%s) is %s" : "%s is %s", path, shown);
	return false;
}

bool
json_path_text(const char *path, struct slice document, char *out, size_t size)
{
	struct slice all, value;
	char bytes[1024];
	size_t n = 0;

	*out = '\0';
	if (!take_document(document, &all) || !find(slice_of(path), all, &value) || *value.p == '{' ||
		*value.p == '[' || slice_equals(value, "null"))
		return false;
	struct string_reader r = {.rest = value, .plain = true};
	if (is_quoted(value))
		r = unquoted(value);
	for (int byte; n < sizeof bytes && (byte = next_byte(&r)) >= 0;)
		bytes[n++] = (char) byte;
	slice_printable((struct slice){bytes, bytes + n}, out, size);
	return true;
}
