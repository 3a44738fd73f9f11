/* Texts for telephones. See sms_text.h. */
#include "core/sms_text.h"

/* Code points from U+0080 on that are in the default alphabet (3GPP 23.038 6.2.1). */
static const uint16_t gsm_beyond_ascii[] = {
	0xa1, 0xa3, 0xa4, 0xa5,  0xa7,  0xbf,  0xc4,  0xc5,  0xc6,  0xc7,  0xc9,  0xd1,  0xd6,
	0xd8, 0xdc, 0xdf, 0xe0,  0xe4,  0xe5,  0xe6,  0xe8,  0xe9,  0xec,  0xf1,  0xf2,  0xf6,
	0xf8, 0xf9, 0xfc, 0x393, 0x394, 0x398, 0x39b, 0x39e, 0x3a0, 0x3a3, 0x3a6, 0x3a8, 0x3a9,
};

/* U+00C0 to U+017F without their accents. */
static const char latin[] = "AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty"
							"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlL"
							"lLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

/* What stands in for a character; not longer in UTF-8 than it. */
static const struct {
	uint32_t code;
	const char *text;
} replacements[] = {
	{0xa0, " "},    {0xa9, "c"},    {0xab, "\""},    {0xae, "R"},    {0xb1, "+-"},   {0xb2, "2"},
	{0xb3, "3"},    {0xb4, "'"},    {0xb5, "u"},     {0xb7, "."},    {0xb9, "1"},    {0xbb, "\""},
	{0x2010, "-"},  {0x2011, "-"},  {0x2012, "-"},   {0x2013, "-"},  {0x2014, "-"},  {0x2015, "-"},
	{0x2018, "'"},  {0x2019, "'"},  {0x201a, "'"},   {0x201b, "'"},  {0x201c, "\""}, {0x201d, "\""},
	{0x201e, "\""}, {0x2022, "-"},  {0x2026, "..."}, {0x2032, "'"},  {0x2033, "\""}, {0x2039, "<"},
	{0x203a, ">"},  {0x2044, "/"},  {0x2122, "TM"},  {0x2190, "<-"}, {0x2192, "->"}, {0x2212, "-"},
	{0x2248, "~"},  {0x2260, "!="}, {0x2264, "<="},  {0x2265, ">="},
};

/* What is left out: invisible, or a picture. First and last. */
static const struct {
	uint32_t first, last;
} dropped[] = {
	{0xa8, 0xa8},       {0xac, 0xad},     {0xaf, 0xb0},     {0xb6, 0xb6},     {0xb8, 0xb8},
	{0x300, 0x36f},     {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0x20d0, 0x20ff},
	{0x2190, 0x21ff},   {0x2300, 0x23ff}, {0x2500, 0x27bf}, {0x2900, 0x297f}, {0x2b00, 0x2bff},
	{0xe000, 0xf8ff},   {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffd}, {0x1f000, 0x1faff},
	{0xe0000, 0xfffff},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Takes the next character; a byte that is none is '?'. */
static uint32_t
take(struct slice *s)
{
	size_t len = slice_utf8_length(s->p, s->end);
	const unsigned char *p = (const unsigned char *) s->p;

	s->p += len == 0 ? 1 : len;
	switch (len) {
	case 0:
		return '?';
	case 1:
		return p[0];
	case 2:
		return (uint32_t) (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
	case 3:
		return (uint32_t) (p[0] & 0x0f) << 12 | (uint32_t) (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	default:
		return (uint32_t) (p[0] & 0x07) << 18 | (uint32_t) (p[1] & 0x3f) << 12 |
			   (uint32_t) (p[2] & 0x3f) << 6 | (p[3] & 0x3f);
	}
}

/* Septets of a character; 0: it is not in the alphabet. */
static size_t
septets(uint32_t c)
{
	if (c == '\n' || c == '\r')
		return 1;
	if (c == '\f')
		return 2;
	if (c < 0x20 || c == '`' || c == 0x7f)
		return 0;
	if (c < 0x80)
		return strchr("^{}\\[~]|", (int) c) != NULL ? 2 : 1;
	if (c == 0x20ac)
		return 2;
	for (size_t i = 0; i < COUNT(gsm_beyond_ascii); i++)
		if (gsm_beyond_ascii[i] == c)
			return 1;
	return 0;
}

static bool
is_dropped(uint32_t c)
{
	for (size_t i = 0; i < COUNT(dropped); i++)
		if (c >= dropped[i].first && c <= dropped[i].last)
			return true;
	return false;
}

/* What a character that the alphabet does not have becomes: a text, "" for nothing; NULL: it stays. */
static const char *
stand_in(uint32_t c, char one[2])
{
	for (size_t i = 0; i < COUNT(replacements); i++)
		if (replacements[i].code == c)
			return replacements[i].text;
	one[1] = '\0';
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		*one = ' ';
	else if (c == '`')
		*one = '\'';
	else if (c >= 0xc0 && c <= 0x17f)
		*one = latin[c - 0xc0];
	else if (is_dropped(c))
		*one = '\0';
	else
		return NULL;
	return one;
}

size_t
sms_plain(struct slice text, char *out)
{
	size_t n = 0;

	while (text.p < text.end) {
		const char *from = text.p;
		uint32_t c = take(&text);
		char one[2] = {c < 0x80 ? (char) c : '\0', '\0'};
		const char *other = c == '\r' || c == '\f' ? " " : septets(c) > 0 ? NULL : stand_in(c, one);
		struct slice piece = {from, text.p};

		if (other != NULL)
			piece = slice_of(other);
		else if (c == '?')
			piece = slice_of("?");
		if (piece.end - piece.p == 1 && *piece.p == ' ' &&
			(n == 0 || out[n - 1] == ' ' || out[n - 1] == '\n'))
			continue;
		memcpy(out + n, piece.p, (size_t) (piece.end - piece.p));
		n += (size_t) (piece.end - piece.p);
	}
	return n;
}

size_t
sms_units(struct slice text, bool *gsm)
{
	size_t in_gsm = 0, in_utf16 = 0;

	*gsm = true;
	while (text.p < text.end) {
		uint32_t c = take(&text);
		size_t cost = septets(c);

		*gsm = *gsm && cost > 0;
		in_gsm += cost;
		in_utf16 += c > 0xffff ? 2 : 1;
	}
	return *gsm ? in_gsm : in_utf16;
}

size_t
sms_room(int segments, bool gsm)
{
	if (segments <= 1)
		return gsm ? 160 : 70;
	return (size_t) segments * (gsm ? 153 : 67) - (size_t) (segments - 1);
}

size_t
sms_cut(struct slice text, size_t units)
{
	const char *begin = text.p;
	bool gsm;
	size_t used = 0;

	sms_units(text, &gsm);
	while (text.p < text.end) {
		const char *from = text.p;
		uint32_t c = take(&text);

		used += gsm ? septets(c) : c > 0xffff ? 2 : 1;
		if (used > units)
			return (size_t) (from - begin);
	}
	return (size_t) (text.end - begin);
}
