/* log_clean.c: UTF-8, control characters, terminal escapes, growing buffers. See log_clean.h for what belongs here. */
#include "core/log_clean.h"

/* The longest title (ESC ] … BEL) that is taken for one. */
#define OSC_MAX 128

bool
log_buffer_reserve(struct log_buffer *b, const struct log_memory *m, size_t more)
{
	if (more <= b->size - b->used)
		return true;
	size_t wanted = b->used + more;
	size_t size = b->size * 2 > wanted ? b->size * 2 : wanted < 1024 ? 1024 : wanted;
	char *p = m->resize(m->arg, b->p, size);

	if (p == NULL)
		return false;
	b->p = p;
	b->size = size;
	return true;
}

bool
log_buffer_add(struct log_buffer *b, const struct log_memory *m, struct slice text)
{
	size_t len = (size_t) (text.end - text.p);

	if (!log_buffer_reserve(b, m, len))
		return false;
	if (len > 0)
		memcpy(b->p + b->used, text.p, len);
	b->used += len;
	return true;
}

void
log_buffer_reset(struct log_buffer *b, const struct log_memory *m, size_t keep)
{
	b->used = 0;
	if (b->size > keep) {
		(void) m->resize(m->arg, b->p, 0);
		*b = (struct log_buffer){0};
	}
}

/* Length of the UTF-8 character at `p` (not ASCII), 0 when it is none, or a control character (U+0080 to U+009F). */
static size_t
wide_char(const unsigned char *p, const unsigned char *end)
{
	/* The second half of the control characters, U+0080 to U+009F. */
	if (*p == 0xc2 && p + 1 < end && p[1] < 0xa0)
		return 0;
	return slice_utf8_length((const char *) p, (const char *) end);
}

/* Whether none of the 8 bytes is a control character, DEL or from 0x80 on. May say no too often, never yes. */
static bool
eight_plain(const unsigned char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
	uint64_t x;

	memcpy(&x, p, sizeof x);
	uint64_t del = x ^ (ones * 0x7f);
	return ((x | (x - ones * 0x20) | (del - ones)) & highs) == 0;
}

size_t
log_clean_length(struct slice s, bool newlines)
{
	const unsigned char *start = (const unsigned char *) s.p, *p = start,
						*end = (const unsigned char *) s.end;

	for (;;) {
		while (end - p >= 8 && eight_plain(p))
			p += 8;
		if (p >= end)
			break;
		size_t len = *p >= 0x80 ? wide_char(p, end)
								: (*p >= 0x20 && *p != 0x7f) || *p == '\t' || (newlines && *p == '\n');
		if (len == 0)
			break;
		p += len;
	}
	return (size_t) (p - start);
}

/* Length of the terminal escape at `p` (which is ESC), 0 when it is none that is known. */
static size_t
escape_length(const unsigned char *p, const unsigned char *end)
{
	const unsigned char *q = p + 2;

	if (end - p < 2)
		return 0;
	if (p[1] == '[') {
		while (q < end && *q >= 0x20 && *q <= 0x3f)
			q++;
		return q < end && *q >= 0x40 && *q <= 0x7e ? (size_t) (q + 1 - p) : 0;
	}
	if (p[1] == ']') {
		for (; q < end && q - p < OSC_MAX; q++) {
			if (*q == 0x07)
				return (size_t) (q + 1 - p);
			if (*q == 0x1b && end - q >= 2 && q[1] == '\\')
				return (size_t) (q + 2 - p);
		}
		return 0;
	}
	if (p[1] >= 0x20 && p[1] <= 0x2f)
		return end - p >= 3 && p[2] >= 0x30 && p[2] <= 0x7e ? 3 : 0;
	return p[1] >= 0x30 && p[1] <= 0x7e ? 2 : 0;
}

size_t
log_clean(struct slice s, char *out, int64_t *replaced)
{
	char *to = out;

	while (s.p < s.end) {
		size_t len = log_clean_length(s, true);

		memcpy(to, s.p, len);
		to += len;
		s.p += len;
		if (s.p >= s.end)
			break;
		const unsigned char *bad = (const unsigned char *) s.p;
		size_t escape = *bad == 0x1b ? escape_length(bad, (const unsigned char *) s.end) : 0;
		if (escape > 0) {
			s.p += escape;
			continue;
		}
		s.p++;
		if (*bad == '\r') {
			*to++ = '\n';
			s.p += s.p < s.end && *s.p == '\n';
			continue;
		}
		/* A control character of two bytes is one. */
		s.p += *bad == 0xc2 && s.p < s.end && (unsigned char) *s.p >= 0x80 && (unsigned char) *s.p <= 0x9f;
		memcpy(to, "\xef\xbf\xbd", 3);
		to += 3;
		(*replaced)++;
	}
	return (size_t) (to - out);
}
