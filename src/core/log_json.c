/* log_json.c: the grammar of JSON objects, in one pass. See log_json.h for what belongs here. */
#include "core/log_json.h"

/* What may come next; 0: the object's own brace. */
enum want { WANT_OBJECT, WANT_KEY_OR_END, WANT_KEY, WANT_COLON, WANT_VALUE, WANT_VALUE_OR_END, WANT_NEXT };

/* Known keys are looked for on top and one level below. */
#define LEVELS 3

struct reader {
	struct log_json *j;
	const char *base, *p, *end;
	struct log_json_values *values; /* NULL: nobody asks */
	struct {
		enum log_key key;
		uint32_t start, member;
	} open[LEVELS]; /* the member that is being read, by depth */
	uint32_t comma;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
fail(struct reader *r, const char *where, const char *error)
{
	r->j->error = error;
	r->p = where;
	return false;
}

/* The value of four hexadecimal digits, -1 when they are none. */
static int
hex4(const char *p, const char *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int c = (unsigned char) p[i] | 0x20;
		int digit = is_digit(p[i]) ? p[i] - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/*
 * Length of the escape at `p` (a backslash), 0 when it is none. `code`: the character that it stands for; U+FFFD, and `*bad`, when
 * PostgreSQL does not take it.
 */
static size_t
escape_length(const char *p, const char *end, uint32_t *code, bool *bad)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *simple = end - p >= 2 && p[1] != '\0' ? strchr(from, p[1]) : NULL;

	if (simple != NULL) {
		*code = (unsigned char) to[simple - from];
		return 2;
	}
	int unit = end - p >= 2 && p[1] == 'u' ? hex4(p + 2, end) : -1;
	if (unit < 0)
		return 0;
	*code = (uint32_t) unit;
	if (unit != 0 && (unit & 0xf800) != 0xd800)
		return 6;
	if ((unit & 0xfc00) == 0xd800 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
		int low = hex4(p + 8, end);
		if (low >= 0 && (low & 0xfc00) == 0xdc00) {
			*code = 0x10000 + (((uint32_t) unit & 0x3ff) << 10) + ((uint32_t) low & 0x3ff);
			return 12;
		}
	}
	*code = 0xfffd;
	*bad = true;
	return 6;
}

/* From behind the opening quote to behind the closing one. */
static bool
read_string(struct reader *r, bool *escaped)
{
	const char *p = r->p;
	uint32_t code;

	for (;;) {
		while (p < r->end && *p != '"' && *p != '\\' && (unsigned char) *p >= 0x20)
			p++;
		if (p >= r->end || *p == '\n')
			return fail(r, p, "string does not end");
		if (*p == '"') {
			r->p = p + 1;
			return true;
		}
		if (*p == '\\') {
			size_t len = escape_length(p, r->end, &code, &r->j->mend);
			if (len == 0)
				return fail(r, p, "invalid escape in a string");
			*escaped = true;
			p += len;
			continue;
		}
		if (*p != '\t')
			return fail(r, p, "control character in a string");
		r->j->mend = true;
		p++;
	}
}

static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* The end of the number at `p`, NULL when it is none. `*refused`: PostgreSQL would not take it, or not as it is meant. */
static const char *
number_end(const char *p, const char *end, bool *refused)
{
	const char *start = p, *digits;
	int exponent = 0;

	p += *p == '-';
	digits = p;
	p = skip_digits(p, end);
	if (p == digits || (*digits == '0' && p - digits > 1))
		return NULL;
	if (p < end && *p == '.') {
		digits = p + 1;
		p = skip_digits(digits, end);
		if (p == digits)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		digits = p;
		for (; p < end && is_digit(*p); p++)
			exponent = exponent > LOG_JSON_EXPONENT ? exponent : exponent * 10 + (*p - '0');
		if (p == digits)
			return NULL;
	}
	*refused = exponent > LOG_JSON_EXPONENT || p - start > LOG_JSON_DIGITS;
	return p;
}

/* The end of a word at `p`, NULL when it is none. `*refused`: JavaScript's, not JSON's. */
static const char *
word_end(const char *p, const char *end, bool *refused)
{
	static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (slice_starts((struct slice){p, end}, words[i])) {
			*refused = i >= 3;
			return p + strlen(words[i]);
		}
	return NULL;
}

/* A value of the object or array at `depth` ends at r->p. */
static inline void
value_ends(struct reader *r, unsigned depth, uint32_t start, uint32_t end, enum log_json_type type,
		   bool escaped)
{
	r->j->want = WANT_NEXT;
	if (depth >= LEVELS || r->open[depth].key == KEY_NONE)
		return;
	enum log_key key = r->open[depth].key;
	uint64_t *seen = &r->values->seen[key >> 6], bit = UINT64_C(1) << (key & 63);

	if ((*seen & bit) != 0)
		r->values->twice[key >> 6] |= bit;
	*seen |= bit;
	r->values->of[key] = (struct log_json_value){start, end, r->open[depth].member, (uint8_t) type, escaped};
	r->open[depth].key = KEY_NONE;
}

static bool
opens(struct reader *r, bool array)
{
	struct log_json *j = r->j;

	if (j->depth >= LOG_JSON_DEPTH)
		return fail(r, r->p, "nested too deeply");
	if (j->depth > 0 && j->depth < LEVELS)
		r->open[j->depth].start = (uint32_t) (r->p - r->base);
	uint64_t bit = UINT64_C(1) << j->depth;
	j->arrays = array ? j->arrays | bit : j->arrays & ~bit;
	j->depth++;
	if (j->depth < LEVELS)
		r->open[j->depth].key = KEY_NONE;
	r->comma = 0;
	j->want = array ? WANT_VALUE_OR_END : WANT_KEY_OR_END;
	r->p++;
	return true;
}

/* A closing brace or bracket that fits. */
static void
closes(struct reader *r)
{
	struct log_json *j = r->j;
	bool array = (j->arrays >> (j->depth - 1) & 1) != 0;

	j->depth--;
	r->p++;
	value_ends(r, j->depth, j->depth < LEVELS ? r->open[j->depth].start : 0, (uint32_t) (r->p - r->base),
			   array ? LOG_JSON_ARRAY : LOG_JSON_OBJECT, false);
}

static bool
read_key(struct reader *r)
{
	struct log_json *j = r->j;
	const char *start = r->p++;
	bool escaped = false;

	if (*start != '"')
		return fail(r, start, "a key is expected");
	if (++j->keys > LOG_JSON_KEYS)
		return fail(r, start, "too many keys");
	j->top += j->depth == 1;
	if (!read_string(r, &escaped))
		return false;
	j->want = WANT_COLON;
	if (r->values == NULL || j->depth >= LEVELS)
		return true;
	enum log_key parent = j->depth > 1 ? r->open[1].key : KEY_NONE;
	enum log_key key = KEY_NONE;
	if (!escaped && (j->depth == 1 || parent != KEY_NONE))
		key = log_key_find(parent, (struct slice){start + 1, r->p - 1});
	r->open[j->depth].key = key;
	r->open[j->depth].member = r->comma != 0 ? r->comma : (uint32_t) (start - r->base);
	return true;
}

static bool
read_value(struct reader *r)
{
	struct log_json *j = r->j;
	const char *start = r->p;
	bool refused = false, escaped = false, number;

	switch (*start) {
	case '"':
		r->p++;
		if (!read_string(r, &escaped))
			return false;
		value_ends(r, j->depth, (uint32_t) (start + 1 - r->base), (uint32_t) (r->p - 1 - r->base),
				   LOG_JSON_STRING, escaped);
		return true;
	case '{':
	case '[':
		return opens(r, *start == '[');
	default:
		break;
	}
	number = is_digit(*start) || (*start == '-' && r->end - start > 1 && start[1] != 'I');
	const char *end = number ? number_end(start, r->end, &refused) : word_end(start, r->end, &refused);
	if (end == NULL)
		return fail(r, start, "a value is expected");
	j->mend |= refused;
	r->p = end;
	value_ends(r, j->depth, (uint32_t) (start - r->base), (uint32_t) (end - r->base),
			   number ? LOG_JSON_NUMBER : LOG_JSON_WORD, false);
	return true;
}

/* A comma, or the end of the container. */
static bool
read_next(struct reader *r)
{
	struct log_json *j = r->j;
	bool array = (j->arrays >> (j->depth - 1) & 1) != 0;

	if (*r->p == ',') {
		r->comma = (uint32_t) (r->p - r->base);
		j->want = array ? WANT_VALUE : WANT_KEY;
		r->p++;
		return true;
	}
	if (*r->p != (array ? ']' : '}'))
		return fail(r, r->p, array ? "a comma or ] is expected" : "a comma or } is expected");
	closes(r);
	return true;
}

static bool
step(struct reader *r)
{
	struct log_json *j = r->j;

	switch ((enum want) j->want) {
	case WANT_OBJECT:
		return *r->p == '{' ? opens(r, false) : fail(r, r->p, "an object is expected");
	case WANT_KEY_OR_END:
		if (*r->p == '}') {
			closes(r);
			return true;
		}
		return read_key(r);
	case WANT_KEY:
		return read_key(r);
	case WANT_COLON:
		if (*r->p != ':')
			return fail(r, r->p, "a colon is expected");
		r->p++;
		j->want = WANT_VALUE;
		return true;
	case WANT_VALUE_OR_END:
		if (*r->p == ']') {
			closes(r);
			return true;
		}
		return read_value(r);
	case WANT_VALUE:
		return read_value(r);
	case WANT_NEXT:
		break;
	}
	return read_next(r);
}

enum log_json_result
log_json_scan(struct log_json *j, struct slice text, struct log_json_values *values)
{
	struct reader r = {.j = j, .base = text.p, .p = text.p + j->at, .end = text.end, .values = values};
	enum log_json_result result = LOG_JSON_MORE;

	if (values != NULL)
		memset(values, 0, offsetof(struct log_json_values, of));
	for (;;) {
		while (r.p < r.end && is_space(*r.p))
			r.p++;
		if (r.p >= r.end)
			break;
		if (!step(&r)) {
			result = LOG_JSON_ERROR;
			break;
		}
		if (j->depth == 0) {
			result = LOG_JSON_DONE;
			break;
		}
	}
	j->at = (uint32_t) (r.p - r.base);
	return result;
}

/* Copies the string at `p` (its quote) so that jsonb takes it; returns the end of what was read. */
static const char *
mend_string(const char *p, const char *end, char **out)
{
	char *to = *out;
	uint32_t code;

	*to++ = *p++;
	while (p < end && *p != '"') {
		bool bad = false;
		size_t len = *p == '\\' ? escape_length(p, end, &code, &bad) : 1;

		len = len == 0 ? 1 : len;
		if (*p == '\t') {
			memcpy(to, "\\t", 2);
			to += 2;
		} else if (bad) {
			memcpy(to, "\\ufffd", 6);
			to += 6;
		} else {
			memcpy(to, p, len);
			to += len;
		}
		p += len;
	}
	*to++ = '"';
	*out = to;
	return p + 1;
}

size_t
log_json_mend(struct slice text, char *out)
{
	char *to = out;

	for (const char *p = text.p; p < text.end;) {
		bool refused = false;
		const char *end = NULL;

		if (*p == '"') {
			p = mend_string(p, text.end, &to);
			continue;
		}
		if (*p == 'N' || *p == 'I' || *p == '-' || is_digit(*p)) {
			end = word_end(p, text.end, &refused);
			end = end == NULL ? number_end(p, text.end, &refused) : end;
		}
		end = end == NULL ? p + 1 : end;
		if (refused)
			*to++ = '"';
		memcpy(to, p, (size_t) (end - p));
		to += end - p;
		if (refused)
			*to++ = '"';
		p = end;
	}
	return (size_t) (to - out);
}

static char *
put_utf8(char *to, uint32_t code)
{
	if (code < 0x80) {
		*to++ = (char) code;
		return to;
	}
	int bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	*to++ = (char) ((0xf00u >> bytes & 0xff) | code >> 6 * (bytes - 1));
	for (int i = bytes - 2; i >= 0; i--)
		*to++ = (char) (0x80 | (code >> 6 * i & 0x3f));
	return to;
}

size_t
log_json_unescape(struct slice string, char *out)
{
	char *to = out;
	uint32_t code = 0;
	bool bad = false;

	while (string.p < string.end) {
		const char *backslash = memchr(string.p, '\\', (size_t) (string.end - string.p));
		const char *stop = backslash != NULL ? backslash : string.end;

		memcpy(to, string.p, (size_t) (stop - string.p));
		to += stop - string.p;
		string.p = stop;
		if (backslash == NULL)
			break;
		size_t len = escape_length(stop, string.end, &code, &bad);
		string.p += len == 0 ? 1 : len;
		to = put_utf8(to, len == 0 ? '\\' : code);
	}
	return (size_t) (to - out);
}

/* The end of the string at `p` (its quote), behind its closing quote. */
static const char *
skip_string(const char *p, const char *end, bool *escaped)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\') {
			*escaped = true;
			p++;
		}
	return p < end ? p + 1 : end;
}

/* The end of the value at `p`. */
static const char *
skip_value(const char *p, const char *end, bool *escaped)
{
	bool inside = false;
	int depth = 0;

	if (*p == '"')
		return skip_string(p, end, escaped);
	while (p < end) {
		if (depth == 0 && (*p == ',' || *p == '}' || *p == ']' || is_space(*p)))
			return p;
		if (*p == '"') {
			p = skip_string(p, end, &inside);
			continue;
		}
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		p++;
		if (depth == 0 && (p[-1] == '}' || p[-1] == ']'))
			return p;
	}
	return p;
}

bool
log_json_find(struct slice text, struct slice name, struct log_json_value *out)
{
	const char *p = text.p + 1;

	while (p < text.end && *p != '}') {
		bool odd = false, escaped = false;

		if (*p != '"') {
			p++;
			continue;
		}
		struct slice key = {p + 1, skip_string(p, text.end, &odd)};
		p = key.end--;
		while (p < text.end && (is_space(*p) || *p == ':'))
			p++;
		if (p >= text.end)
			return false;
		const char *end = skip_value(p, text.end, &escaped);
		if (slice_compare(key, name) == 0) {
			bool quoted = *p == '"';
			*out = (struct log_json_value){
				.start = (uint32_t) (p - text.p) + quoted,
				.end = (uint32_t) (end - text.p) - quoted,
				.type = *p == '"'   ? LOG_JSON_STRING
						: *p == '{' ? LOG_JSON_OBJECT
						: *p == '[' ? LOG_JSON_ARRAY
									: LOG_JSON_WORD,
				.escaped = escaped,
			};
			return true;
		}
		p = end;
	}
	return false;
}

size_t
log_json_quote(struct slice text, char *out)
{
	static const char hex[] = "0123456789abcdef";
	char *to = out;

	*to++ = '"';
	for (const char *p = text.p; p < text.end; p++) {
		unsigned char c = (unsigned char) *p;

		if (c < 0x20) {
			memcpy(to, "\\u00", 4);
			to[4] = hex[c >> 4];
			to[5] = hex[c & 15];
			to += 6;
			continue;
		}
		if (c == '"' || c == '\\')
			*to++ = '\\';
		*to++ = (char) c;
	}
	*to++ = '"';
	return (size_t) (to - out);
}
