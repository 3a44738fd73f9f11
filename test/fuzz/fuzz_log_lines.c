/*
 * fuzz_log_lines.c: any bytes as a log file. Belongs here: what must always hold of entries, above all that PostgreSQL takes them, by a checker that
 * shares nothing with the code under test. Does not: examples (test/unit/test_log_*.c).
 *
 * The first byte says how many allocations succeed (0: all), the second one flags and pauses; the rest are lines. With OBSERV_FUZZ_OUT=FILE
 * entries are appended to it, as lines of COPY (message, context): test/e2e/test_agent_hostile_logs.py loads them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define READ_US INT64_C(1800000000000000)

static int allocations; /* left; below 0: any number */
static FILE *out;

static void
must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void *
resize(void *arg, void *p, size_t size)
{
	(void) arg;
	if (size == 0) {
		free(p);
		return NULL;
	}
	if (allocations == 0)
		return NULL;
	allocations -= allocations > 0;
	return realloc(p, size);
}

/* The code point at *p, which is moved behind it; -1: no UTF-8. By arithmetic, not by a table. */
static long
code_point(const unsigned char **p, const unsigned char *end)
{
	static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = *(*p)++;
	int len = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
	long code = len == 1 ? c : c & (0x7f >> len);

	if (len == 0 || end - *p < len - 1)
		return -1;
	for (int i = 1; i < len; i++) {
		if (**p >> 6 != 2)
			return -1;
		code = code << 6 | (*(*p)++ & 0x3f);
	}
	return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? -1 : code;
}

static void
check_text(struct slice s)
{
	const unsigned char *p = (const unsigned char *) s.p, *end = (const unsigned char *) s.end;

	while (p < end) {
		long code = code_point(&p, end);
		must(code >= 0x20 || code == '\t' || code == '\n');
		must(code < 0x7f || code > 0x9f);
	}
}

/* --- RFC 8259, and what jsonb asks for beyond */

static const char *j, *j_end;

static void
space(void)
{
	while (j < j_end && (*j == ' ' || *j == '\t' || *j == '\n' || *j == '\r'))
		j++;
}

static void
expect(char c)
{
	must(j < j_end && *j == c);
	j++;
}

static long
hex(void)
{
	char digits[5] = "", *end;

	must(j_end - j >= 4);
	memcpy(digits, j, 4);
	for (int i = 0; i < 4; i++)
		must(strchr("0123456789abcdefABCDEF", digits[i]) != NULL && digits[i] != '\0');
	j += 4;
	return strtol(digits, &end, 16);
}

static void
string(void)
{
	expect('"');
	for (;;) {
		must(j < j_end);
		unsigned char c = (unsigned char) *j++;
		must(c >= 0x20);
		if (c == '"')
			return;
		if (c != '\\')
			continue;
		must(j < j_end);
		c = (unsigned char) *j++;
		must(c != '\0' && strchr("\"\\/bfnrtu", c) != NULL);
		if (c != 'u')
			continue;
		long code = hex();
		must(code != 0 && (code < 0xdc00 || code > 0xdfff));
		if (code >= 0xd800 && code <= 0xdbff) {
			expect('\\');
			expect('u');
			code = hex();
			must(code >= 0xdc00 && code <= 0xdfff);
		}
	}
}

static int
digits(void)
{
	int n = 0;

	for (; j < j_end && *j >= '0' && *j <= '9'; j++)
		n++;
	must(n > 0);
	return n;
}

static void
number(void)
{
	const char *start = j;

	j += *j == '-';
	bool zero = j < j_end && *j == '0';
	must(digits() == 1 || !zero);
	if (j < j_end && *j == '.') {
		j++;
		digits();
	}
	must(j - start <= 1000);
	if (j < j_end && (*j == 'e' || *j == 'E')) {
		j++;
		if (*j == '-' || *j == '+')
			j++;
		must(strtol(j, NULL, 10) < 1000);
		digits();
	}
}

static void
value(int depth)
{
	must(depth < 70);
	space();
	must(j < j_end);
	if (*j == '"') {
		string();
	} else if (*j == '{' || *j == '[') {
		char close = *j++ == '{' ? '}' : ']';
		space();
		if (j < j_end && *j == close) {
			j++;
			return;
		}
		for (;;) {
			if (close == '}') {
				space();
				string();
				space();
				expect(':');
			}
			value(depth + 1);
			space();
			must(j < j_end);
			if (*j++ == close)
				break;
			must(j[-1] == ',');
		}
	} else if (*j == '-' || (*j >= '0' && *j <= '9')) {
		number();
	} else {
		size_t left = (size_t) (j_end - j), n = *j == 'f' ? 5 : 4;
		must(left >= n &&
			 (memcmp(j, "true", 4) == 0 || memcmp(j, "null", 4) == 0 || memcmp(j, "false", n) == 0));
		j += n;
	}
}

static void
copy_out(struct slice s, char after)
{
	if (s.p == NULL)
		fputs("\\N", out);
	for (; s.p < s.end; s.p++)
		if (*s.p == '\\')
			fputs("\\\\", out);
		else if (*s.p == '\n')
			fputs("\\n", out);
		else if (*s.p == '\t')
			fputs("\\t", out);
		else
			fputc(*s.p, out);
	fputc(after, out);
}

static void
check_entry(void *into, const struct log_entry *e)
{
	(*(long *) into)++;
	check_text(e->message);
	check_text(e->level);
	must(e->level.p < e->level.end && e->message.p != NULL);
	must(e->level.end - e->level.p <= 64);
	must(e->timestamp_us >= INT64_C(946684800000000) && e->timestamp_us <= READ_US + INT64_C(2000000000000));
	if (e->logger.p != NULL)
		check_text(e->logger);
	if (e->context.p != NULL) {
		check_text(e->context);
		must(*e->context.p == '{');
		j = e->context.p;
		j_end = e->context.end;
		value(0);
		must(j == j_end);
	}
	if (out != NULL) {
		copy_out(e->message, '\t');
		copy_out(e->context, '\n');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log_workspace w;
	struct log_lines l;
	int64_t now = READ_US;
	long entries = 0;

	if (size < 2)
		return 0;
	if (out == NULL && getenv("OBSERV_FUZZ_OUT") != NULL)
		must((out = fopen(getenv("OBSERV_FUZZ_OUT"), "a")) != NULL);
	allocations = data[0] == 0 ? -1 : data[0] - 1;
	log_workspace_init(&w, (struct log_memory){resize, NULL});
	log_lines_init(&l, &w);
	l.zone_given = data[1] & 1;
	struct slice in = {(const char *) data + 2, (const char *) data + size}, text;
	for (int i = 0; slice_line(&in, &text); i++) {
		size_t len = (size_t) (text.end - text.p);
		char *copy = malloc(len > 0 ? len : 1); /* as long as it is: a byte too far is seen */
		uint32_t before = log_lines_pending(&l);

		memcpy(copy, text.p, len);
		struct log_line line = {.text = {copy, copy + len}, .bytes = (int64_t) len};
		line.flags = (data[1] >> 1 & 3) == (unsigned) (i & 3) ? data[1] >> 3 & 3 : 0;
		log_lines_feed(&l, &line, now, check_entry, &entries);
		free(copy);
		uint32_t after = log_lines_pending(&l);
		must(after == 0 || after == 1 || after == before + 1);
		must(log_lines_pending_bytes(&l) <= 4 * LOG_JOIN_MAX_BYTES);
		must((after == 0) == (log_lines_due_us(&l) == INT64_MAX));
		if ((data[1] & 0x20) != 0) {
			now += 700000;
			log_lines_flush(&l, now, check_entry, &entries);
		}
	}
	log_lines_flush(&l, INT64_MAX, check_entry, &entries);
	must(log_lines_pending(&l) == 0 && log_lines_due_us(&l) == INT64_MAX && log_lines_format(&l) != NULL);
	log_lines_free(&l);
	log_workspace_free(&w);
	return 0;
}
