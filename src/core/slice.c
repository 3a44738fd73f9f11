/* slice.c: Lines, words, numbers, printable text. See slice.h for what belongs here. */
#include "core/slice.h"

#include <stdlib.h>
#include <string.h>

struct slice
slice_of(const char *s)
{
	return (struct slice){s, s + strlen(s)};
}

bool
slice_line(struct slice *in, struct slice *line)
{
	if (in->p >= in->end)
		return false;
	const char *nl = memchr(in->p, '\n', (size_t) (in->end - in->p));
	line->p = in->p;
	line->end = nl ? nl : in->end;
	in->p = nl ? nl + 1 : in->end;
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
slice_word(struct slice *in, struct slice *word)
{
	while (in->p < in->end && is_blank(*in->p))
		in->p++;
	word->p = in->p;
	while (in->p < in->end && !is_blank(*in->p))
		in->p++;
	word->end = in->p;
	return word->p < word->end;
}

bool
slice_skip_words(struct slice *in, int n)
{
	struct slice word;

	while (n-- > 0)
		if (!slice_word(in, &word))
			return false;
	return true;
}

bool
slice_equals(struct slice s, const char *text)
{
	size_t len = strlen(text);
	return (size_t) (s.end - s.p) == len && memcmp(s.p, text, len) == 0;
}

bool
slice_starts(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);
	return (size_t) (s.end - s.p) >= len && memcmp(s.p, prefix, len) == 0;
}

bool
slice_to_i64(struct slice s, int64_t *out)
{
	int64_t value = 0;

	if (s.p >= s.end)
		return false;
	for (const char *c = s.p; c < s.end; c++) {
		if (*c < '0' || *c > '9')
			return false;
		int digit = *c - '0';
		if (value > (INT64_MAX - digit) / 10)
			value = INT64_MAX;
		else
			value = value * 10 + digit;
	}
	*out = value;
	return true;
}

bool
slice_next_i64(struct slice *in, int64_t *out)
{
	struct slice word;
	return slice_word(in, &word) && slice_to_i64(word, out);
}

bool
slice_to_double(struct slice s, double *out)
{
	const char *dot = s.p < s.end ? memchr(s.p, '.', (size_t) (s.end - s.p)) : NULL;
	int64_t whole, fraction = 0;
	double scale = 1;

	if (!slice_to_i64((struct slice){s.p, dot ? dot : s.end}, &whole))
		return false;
	if (dot) {
		struct slice digits = {dot + 1, s.end};
		if (digits.end - digits.p > 9)
			digits.end = digits.p + 9;
		if (!slice_to_i64(digits, &fraction))
			return false;
		for (const char *c = digits.p; c < digits.end; c++)
			scale *= 10;
	}
	*out = (double) whole + (double) fraction / scale;
	return true;
}

bool
slice_to_float(struct slice s, double *out)
{
	char text[400], *end; /* the longest numbers that programs print, 1.8e308 in full, have 309 digits */
	const char *digits = s.p < s.end && (*s.p == '+' || *s.p == '-') ? s.p + 1 : s.p;

	if (digits >= s.end || !slice_copy(s, text, sizeof text))
		return false;
	/* strtod() knows more: blanks in front, hexadecimal, nan(...). */
	bool letters = *digits == 'i' || *digits == 'I' || *digits == 'n' || *digits == 'N';
	if (!letters && !(*digits >= '0' && *digits <= '9') && *digits != '.')
		return false;
	if (strpbrk(text, "xXpP(") != NULL)
		return false;
	double value = strtod(text, &end);
	if (*end != '\0' || end == text)
		return false;
	*out = value;
	return true;
}

bool
slice_copy(struct slice s, char *dst, size_t size)
{
	size_t len = (size_t) (s.end - s.p);

	dst[0] = '\0';
	if (len >= size || memchr(s.p, '\0', len))
		return false;
	memcpy(dst, s.p, len);
	dst[len] = '\0';
	return true;
}

/* Table 3-7 of the Unicode standard. */
size_t
slice_utf8_length(const char *at, const char *stop)
{
	const unsigned char *p = (const unsigned char *) at;
	unsigned char c = *p;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		len = 2;
	else if ((c & 0xf0) == 0xe0)
		len = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		len = 4;
	else
		return 0;
	if ((size_t) (stop - at) < len)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* Length of the printable UTF-8 character at `p`, 0 when there is none. */
static size_t
printable_char(const unsigned char *p, const unsigned char *end)
{
	if (*p < 0x20 || *p == 0x7f)
		return 0;
	size_t len = slice_utf8_length((const char *) p, (const char *) end);

	return len == 2 && *p == 0xc2 && p[1] < 0xa0 ? 0 : len; /* U+0080 to U+009F are control characters */
}

void
slice_printable(struct slice s, char *dst, size_t size)
{
	const unsigned char *p = (const unsigned char *) s.p;
	const unsigned char *end = (const unsigned char *) s.end;
	size_t used = 0;

	while (p < end) {
		size_t len = printable_char(p, end);
		if (used + (len ? len : 1) >= size)
			break;
		if (len)
			memcpy(dst + used, p, len);
		else
			dst[used] = '?';
		used += len ? len : 1;
		p += len ? len : 1;
	}
	dst[used] = '\0';
}

bool
slice_is_printable(struct slice s)
{
	const unsigned char *p = (const unsigned char *) s.p;
	const unsigned char *end = (const unsigned char *) s.end;

	while (p < end) {
		size_t len = printable_char(p, end);
		if (len == 0)
			return false;
		p += len;
	}
	return true;
}
