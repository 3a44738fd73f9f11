/* Spelling of mails. See mail_text.h. */
#include "core/mail_text.h"

#include <stdio.h>

#define LINE_MAX_CHARS 78 /* RFC 5322 2.1.1: should; 998 is must */
#define QP_LINE_CHARS  76 /* RFC 2045 6.7 */
#define WORD_PREFIX    "=?UTF-8?B?"
#define WORD_SUFFIX    "?="
#define WORD_BYTES     45 /* of text in an encoded word of at most 75 characters (RFC 2047 2) */
#define ADDRESS_MAX    254
#define LOCAL_MAX      64
#define DOMAIN_MAX     253
#define LABEL_MAX      63
#define ID_KEY_MAX     128

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static size_t
length(struct slice s)
{
	return (size_t) (s.end - s.p);
}

static struct slice
trim(struct slice s)
{
	while (s.p < s.end && (*s.p == ' ' || *s.p == '\t'))
		s.p++;
	while (s.p < s.end && (s.end[-1] == ' ' || s.end[-1] == '\t'))
		s.end--;
	return s;
}

static void
put(const struct mail_writer *w, const char *text)
{
	w->put(w->arg, text, strlen(text));
}

/* ---- addresses */

/* RFC 5322 3.2.3 */
static bool
is_atext(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
is_dot_atom(struct slice s)
{
	if (s.p >= s.end || *s.p == '.' || s.end[-1] == '.')
		return false;
	for (const char *p = s.p; p < s.end; p++)
		if (*p == '.' ? p[1] == '.' : !is_atext(*p))
			return false;
	return true;
}

/* [192.0.2.1], [IPv6:2001:db8::1]: what is between the brackets is the server's to judge. */
static bool
is_literal(struct slice s)
{
	if (length(s) < 4 || *s.p != '[' || s.end[-1] != ']')
		return false;
	for (const char *p = s.p + 1; p < s.end - 1; p++)
		if (!is_alnum(*p) && *p != '.' && *p != ':')
			return false;
	return true;
}

bool
mail_is_domain(struct slice s)
{
	const char *label = s.p;

	if (is_literal(s))
		return true;
	if (s.p >= s.end || length(s) > DOMAIN_MAX)
		return false;
	for (const char *p = s.p;; p++) {
		if (p == s.end || *p == '.') {
			if (p == label || p - label > LABEL_MAX || *label == '-' || p[-1] == '-')
				return false;
			if (p == s.end)
				return true;
			label = p + 1;
		} else if (!is_alnum(*p) && *p != '-')
			return false;
	}
}

static const char *
check_address(struct slice s, struct mail_mailbox *out)
{
	const char *at = NULL;

	for (const char *p = s.p; p < s.end; p++) {
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return "there is a control character in it";
		if ((unsigned char) *p >= 0x80)
			return "an address must be ASCII (a domain can be written with xn--)";
		if (*p == '@')
			at = p;
	}
	if (at == NULL)
		return "there is no @ in it";
	if (!is_dot_atom((struct slice){s.p, at}))
		return "what is before the @ is no local part of an address";
	if (at - s.p > LOCAL_MAX)
		return "what is before the @ is longer than 64 characters";
	if (!mail_is_domain((struct slice){at + 1, s.end}))
		return "what is behind the @ is no domain";
	if (length(s) > ADDRESS_MAX)
		return "it is longer than 254 characters";
	out->address = s;
	out->domain = (struct slice){at + 1, s.end};
	return NULL;
}

static const char *
check_name(struct slice s, struct mail_mailbox *out)
{
	s = trim(s);
	if (length(s) >= 2 && *s.p == '"' && s.end[-1] == '"')
		s = (struct slice){s.p + 1, s.end - 1};
	for (const char *p = s.p; p < s.end; p++) {
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return "there is a control character in the name";
		if (*p == '"' || *p == '\\' || *p == '<' || *p == '>')
			return "there is a quote, a backslash or an angle bracket in the name";
	}
	out->name = s;
	return NULL;
}

const char *
mail_mailbox_parse(struct slice text, struct mail_mailbox *out)
{
	const char *open = NULL;
	const char *error;

	*out = (struct mail_mailbox){{text.p, text.p}, {text.p, text.p}, {text.p, text.p}};
	text = trim(text);
	if (text.p == text.end)
		return "it is empty";
	if (text.end[-1] != '>')
		return check_address(text, out);
	for (const char *p = text.p; p < text.end; p++)
		if (*p == '<')
			open = p;
	if (open == NULL)
		return "there is a > without a <";
	error = check_name((struct slice){text.p, open}, out);
	return error != NULL ? error : check_address((struct slice){open + 1, text.end - 1}, out);
}

/* ---- characters as they may be written */

/* One character at *p; '?' for a byte that is none, a blank for control characters. Moves on; returns how many bytes of `out` it takes. */
static size_t
next_character(const char **p, const char *end, char out[4])
{
	size_t len = slice_utf8_length(*p, end);
	unsigned char c = (unsigned char) **p;

	if (len == 0) {
		*out = '?';
		*p += 1;
		return 1;
	}
	/* C1 control characters are U+0080 to U+009F */
	if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char) (*p)[1] < 0xa0)) {
		*out = ' ';
		*p += len;
		return 1;
	}
	memcpy(out, *p, len);
	*p += len;
	return len;
}

/* The same in a header: blanks in a row are one, none at the beginning or end. False at the end of the text. */
struct header_text {
	struct slice rest;
	bool begun, blank; /* a blank is due before the next character */
	char held[4];
	size_t held_len;
};

static size_t
header_character(struct header_text *t, char out[4])
{
	if (t->held_len > 0) {
		size_t len = t->held_len;

		memcpy(out, t->held, len);
		t->held_len = 0;
		return len;
	}
	while (t->rest.p < t->rest.end) {
		size_t len = next_character(&t->rest.p, t->rest.end, out);

		if (len == 1 && *out == ' ') {
			t->blank = t->begun;
			continue;
		}
		t->begun = true;
		if (t->blank) {
			t->blank = false;
			memcpy(t->held, out, len);
			t->held_len = len;
			*out = ' ';
			return 1;
		}
		return len;
	}
	return 0;
}

/* ---- headers */

/* Whether it can stand as it is: ASCII, nothing that looks like an encoded word, no word that makes a line too long. */
static bool
stands_as_it_is(struct slice text, size_t name_len)
{
	struct header_text t = {text, false, false, {0}, 0};
	size_t word = name_len + 1, len;
	char c[4], before = '\0';

	while ((len = header_character(&t, c)) > 0) {
		word = *c == ' ' ? 0 : word + 1;
		if (len > 1 || (before == '=' && *c == '?') || word >= LINE_MAX_CHARS - 1)
			return false;
		before = *c;
	}
	return true;
}

static void
put_folded(const struct mail_writer *w, struct slice text, size_t column)
{
	struct header_text t = {text, false, false, {0}, 0};
	char word[LINE_MAX_CHARS + 1];
	size_t n = 0, len;
	bool first = true;

	do {
		char c[4];

		len = header_character(&t, c);
		if (len > 0 && (*c != ' ')) {
			word[n++] = *c;
			continue;
		}
		if (!first && column + 1 + n > LINE_MAX_CHARS) {
			put(w, "\r\n");
			column = 0;
		}
		if (!first)
			w->put(w->arg, " ", 1);
		w->put(w->arg, word, n);
		column += n + (first ? 0 : 1);
		first = false;
		n = 0;
	} while (len > 0);
}

static void
put_base64(const struct mail_writer *w, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t) bytes[i] << 16;
		char four[4];

		if (i + 1 < n)
			v |= (uint32_t) bytes[i + 1] << 8;
		if (i + 2 < n)
			v |= bytes[i + 2];
		four[0] = digits[v >> 18];
		four[1] = digits[v >> 12 & 63];
		four[2] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		four[3] = i + 2 < n ? digits[v & 63] : '=';
		w->put(w->arg, four, 4);
	}
}

/* Encoded words, one a line; none is broken within a character (RFC 2047 5). */
static void
put_encoded(const struct mail_writer *w, struct slice text, size_t column)
{
	struct header_text t = {text, false, false, {0}, 0};
	size_t overhead = strlen(WORD_PREFIX) + strlen(WORD_SUFFIX), len;
	char bytes[WORD_BYTES], c[4];
	size_t n = 0, room = (LINE_MAX_CHARS - column - overhead) / 4 * 3;
	bool first = true;

	if (room > WORD_BYTES)
		room = WORD_BYTES;
	do {
		len = header_character(&t, c);
		if (n > 0 && (len == 0 || n + len > room)) {
			put(w, first ? WORD_PREFIX : "\r\n " WORD_PREFIX);
			put_base64(w, (const unsigned char *) bytes, n);
			put(w, WORD_SUFFIX);
			first = false;
			room = WORD_BYTES;
			n = 0;
		}
		memcpy(bytes + n, c, len);
		n += len;
	} while (len > 0);
}

void
mail_put_header(const struct mail_writer *w, const char *name, struct slice text)
{
	size_t column = strlen(name) + 2;

	put(w, name);
	put(w, ": ");
	if (stands_as_it_is(text, strlen(name) + 1))
		put_folded(w, text, column);
	else
		put_encoded(w, text, column);
	put(w, "\r\n");
}

/* As a quoted string; what is not ASCII, or long, as encoded words. Quotes and backslashes are not in it. */
static void
put_display_name(const struct mail_writer *w, struct slice name, size_t column)
{
	if (length(name) + column + 2 <= LINE_MAX_CHARS && stands_as_it_is(name, 0)) {
		put(w, "\"");
		put_folded(w, name, 0);
		put(w, "\"");
	} else
		put_encoded(w, name, column);
}

void
mail_put_mailboxes(const struct mail_writer *w, const char *name, const struct mail_mailbox *mailboxes, int n)
{
	put(w, name);
	put(w, ": ");
	for (int i = 0; i < n; i++) {
		const struct mail_mailbox *m = &mailboxes[i];

		if (i > 0)
			put(w, ",\r\n ");
		if (m->name.p < m->name.end) {
			put_display_name(w, m->name, i > 0 ? 1 : strlen(name) + 2);
			put(w, "\r\n <");
		} else
			put(w, "<");
		w->put(w->arg, m->address.p, length(m->address));
		put(w, ">");
	}
	put(w, "\r\n");
}

void
mail_put_id(const struct mail_writer *w, const char *name, struct slice key, struct slice domain)
{
	put(w, name);
	put(w, ": <");
	for (const char *p = key.p; p < key.end && p - key.p < ID_KEY_MAX; p++)
		w->put(w->arg, is_alnum(*p) || *p == '-' ? p : "_", 1);
	put(w, "@");
	w->put(w->arg, domain.p, length(domain));
	put(w, ">\r\n");
}

/* Days to year, month and day of the Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
static void
civil_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int) (doy - (153 * mp + 2) / 5 + 1);
	*month = (int) (mp < 10 ? mp + 3 : mp - 9);
	*year = (int) (yoe + era * 400 + (*month <= 2));
}

void
mail_put_date(const struct mail_writer *w, int64_t unix_s)
{
	static const char *const weekdays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const int64_t earliest = INT64_C(-2208988800), latest = INT64_C(253402300799); /* 1900, 9999 */
	int64_t s = unix_s < earliest ? earliest : unix_s > latest ? latest : unix_s;
	int64_t days = s / 86400 - (s % 86400 < 0);
	int64_t second = s - days * 86400;
	int year, month, day;
	char text[64];

	civil_from_days(days, &year, &month, &day);
	snprintf(text, sizeof text, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n",
			 weekdays[(days % 7 + 7) % 7], day, months[month - 1], year, (int) (second / 3600),
			 (int) (second / 60 % 60), (int) (second % 60));
	put(w, text);
}

/* ---- bodies */

/* Takes a line end of whatever sort; false when there is none. */
static bool
take_line_end(struct slice *s)
{
	if (s->p >= s->end || (*s->p != '\n' && *s->p != '\r'))
		return false;
	s->p += s->p[0] == '\r' && s->p + 1 < s->end && s->p[1] == '\n' ? 2 : 1;
	return true;
}

static bool
at_line_end(struct slice s)
{
	return s.p >= s.end || *s.p == '\n' || *s.p == '\r';
}

/* Whether an ASCII character can't stand for itself: at the beginning of a line, before its end. */
static bool
must_be_quoted(char c, bool line_begins, struct slice rest)
{
	if (c == '=' || (c == ' ' && at_line_end(rest)))
		return true;
	return line_begins && (c == '.' || (c == 'F' && rest.end - rest.p >= 3 && memcmp(rest.p, "rom", 3) == 0));
}

void
mail_put_quoted_printable(const struct mail_writer *w, struct slice text)
{
	size_t column = 0;

	while (text.p < text.end) {
		char c[4], quoted[13];
		size_t len, n = 0;

		if (take_line_end(&text)) {
			put(w, "\r\n");
			column = 0;
			continue;
		}
		len = next_character(&text.p, text.end, c);
		if (len == 1 && !must_be_quoted(*c, column == 0, text))
			quoted[n++] = *c;
		else
			for (size_t i = 0; i < len; i++)
				n += (size_t) snprintf(quoted + n, sizeof quoted - n, "=%02X", (unsigned char) c[i]);
		/* one is kept for the = of a soft line break */
		if (column + n > QP_LINE_CHARS - (at_line_end(text) ? 0 : 1)) {
			put(w, "=\r\n");
			column = 0;
			if (n == 1 && must_be_quoted(*c, true, text))
				n = (size_t) snprintf(quoted, sizeof quoted, "=%02X", (unsigned char) *c);
		}
		w->put(w->arg, quoted, n);
		column += n;
	}
	if (column > 0)
		put(w, "\r\n");
}
