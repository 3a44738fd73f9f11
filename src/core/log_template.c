/* log_template.c: masks what varies in a message. See log_template.h for what belongs here. */
#include "core/log_template.h"

#include <string.h>

#include "core/hash.h"
#include "core/log_tokens.h"

#define MASK     "<*>"
#define MASK_LEN 3
/* Longer words are keys, hashes, encoded data. */
#define WORD_MAX 40

struct masker {
	struct slice in;
	const char *start; /* of the message */
	const char *quote; /* the end of a quoted message, to be passed over; NULL: none */
	char *out;
	size_t len;
	size_t mask_end; /* length of `out` when the last mask had been written */
	bool masked;     /* there was one */
	bool full;
};

static bool
is_word_byte(char c)
{
	return log_fold[(unsigned char) c] != 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Blanks and control characters. */
static bool
is_blank(char c)
{
	return (unsigned char) c <= ' ' || c == 0x7f;
}

/* Where text that does not fit into `room` bytes is cut: not inside a character. */
static size_t
cut(const char *p, size_t room)
{
	while (room > 0 && ((unsigned char) p[room] & 0xc0) == 0x80)
		room--;
	return room;
}

static void
emit(struct masker *m, const char *p, size_t n)
{
	if (n > LOG_TEMPLATE_MAX - m->len) {
		n = cut(p, LOG_TEMPLATE_MAX - m->len);
		m->full = true;
	}
	memcpy(m->out + m->len, p, n);
	m->len += n;
}

/* A mask right behind another, or behind one and a joining character, is part of it. */
static void
emit_mask(struct masker *m)
{
	size_t behind = m->len - m->mask_end;

	if (m->masked && (behind == 0 || (behind == 1 && strchr(".:-/,_+@", m->out[m->len - 1]) != NULL))) {
		m->len = m->mask_end;
		return;
	}
	if (LOG_TEMPLATE_MAX - m->len < MASK_LEN) {
		m->full = true;
		return;
	}
	emit(m, MASK, MASK_LEN);
	m->masked = true;
	m->mask_end = m->len;
}

static bool
follows_word(const struct masker *m)
{
	return m->in.p > m->start && is_word_byte(m->in.p[-1]);
}

/* The quote that ends what the one at in.p begins; NULL when there is none. */
static const char *
closing_quote(const struct masker *m)
{
	char quote = *m->in.p;

	for (const char *c = m->in.p + 1; c < m->in.end; c++) {
		if (*c == '\\' && c + 1 < m->in.end)
			c++;
		else if (*c == quote && (quote != '\'' || c + 1 == m->in.end || !is_word_byte(c[1])))
			return c;
	}
	return NULL;
}

/* Whether what is quoted here is the message of a line of keys and values. */
static bool
quotes_message(const struct masker *m)
{
	static const char *const keys[] = {"msg=", "message=", "err=", "error="};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		size_t len = strlen(keys[i]), before = (size_t) (m->in.p - m->start);

		if (before >= len && memcmp(m->in.p - len, keys[i], len) == 0 &&
			(before == len || !is_word_byte(m->in.p[-(long) len - 1])))
			return true;
	}
	return false;
}

static void
take_quote(struct masker *m)
{
	const char *end = m->in.p == m->quote || follows_word(m) ? NULL : closing_quote(m);

	if (end != NULL && quotes_message(m)) {
		m->quote = end;
		end = NULL;
	}
	if (end == NULL) {
		emit(m, m->in.p++, 1);
		return;
	}
	emit_mask(m);
	m->in.p = end + 1;
}

/* Length of a UUID at `p`, else 0. */
static size_t
uuid_length(struct slice s)
{
	static const char shape[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
	size_t len = sizeof shape - 1;

	if ((size_t) (s.end - s.p) < len || (s.p + len < s.end && is_word_byte(s.p[len])))
		return 0;
	for (size_t i = 0; i < len; i++)
		if (shape[i] == '-' ? s.p[i] != '-' : !is_hex(s.p[i]))
			return 0;
	return len;
}

/* Length of groups of up to four hexadecimal digits with two or more colons between them and a digit somewhere, else 0. */
static size_t
address_length(struct slice s)
{
	const char *c = s.p;
	int colons = 0, group = 0;
	bool digit = false;

	for (; c < s.end && (is_hex(*c) || *c == ':'); c++) {
		group = *c == ':' ? 0 : group + 1;
		colons += *c == ':';
		digit = digit || is_digit(*c);
		if (group > 4)
			return 0;
	}
	if (c > s.p && c[-1] == ':')
		c--;
	return colons >= 2 && digit && (c == s.end || !is_word_byte(*c)) ? (size_t) (c - s.p) : 0;
}

static bool
word_varies(struct slice word)
{
	size_t hex = 0, len = (size_t) (word.end - word.p);

	for (const char *c = word.p; c < word.end; c++) {
		if (is_digit(*c))
			return true;
		hex += is_hex(*c);
	}
	return len > WORD_MAX || (len >= 8 && hex == len);
}

static void
take_word(struct masker *m)
{
	struct slice word = m->in;
	size_t special = uuid_length(m->in);

	if (special == 0)
		special = address_length(m->in);
	if (special > 0) {
		m->in.p += special;
		emit_mask(m);
		return;
	}
	while (m->in.p < m->in.end && is_word_byte(*m->in.p))
		m->in.p++;
	word.end = m->in.p;
	if (word_varies(word))
		emit_mask(m);
	else
		emit(m, word.p, (size_t) (word.end - word.p));
}

static void
take_blanks(struct masker *m)
{
	while (m->in.p < m->in.end && is_blank(*m->in.p))
		m->in.p++;
	if (m->len > 0 && m->in.p < m->in.end)
		emit(m, " ", 1);
}

size_t
log_template(struct slice message, char *out)
{
	struct masker m = {.in = message, .start = message.p, .out = out};
	const char *line;

	if (message.end - message.p > LOG_TEMPLATE_INPUT_MAX)
		m.in.end = message.p + cut(message.p, LOG_TEMPLATE_INPUT_MAX);
	while (m.in.p < m.in.end && is_blank(*m.in.p))
		m.in.p++;
	line = memchr(m.in.p, '\n', (size_t) (m.in.end - m.in.p));
	if (line != NULL)
		m.in.end = line;
	while (m.in.p < m.in.end && !m.full) {
		char c = *m.in.p;

		if (is_word_byte(c))
			take_word(&m);
		else if (is_blank(c))
			take_blanks(&m);
		else if (c == '"' || c == '\'' || c == '`')
			take_quote(&m);
		else
			emit(&m, m.in.p++, 1);
	}
	out[m.len] = '\0';
	return m.len;
}

uint64_t
log_fingerprint(const struct slice *texts, size_t n)
{
	uint64_t hash = HASH_SEED;

	for (size_t i = 0; i < n; i++) {
		hash = hash_span(hash, texts[i].p, (size_t) (texts[i].end - texts[i].p));
		hash = hash_span(hash, "", 1);
	}
	return hash_finish(hash);
}
