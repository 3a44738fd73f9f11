/* encode.c: Rows as text. See encode.h for what belongs here. */
#include "collector/encode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void
encode_timestamp(struct strbuf *b, int64_t us)
{
	time_t seconds = (time_t) (us / 1000000);
	long fraction = (long) (us % 1000000);
	struct tm t;

	if (fraction < 0) {
		fraction += 1000000;
		seconds--;
	}
	gmtime_r(&seconds, &t);
	strbuf_printf(b, "%04d-%02d-%02d %02d:%02d:%02d.%06ld+00", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
				  t.tm_hour, t.tm_min, t.tm_sec, fraction);
}

void
encode_value(struct strbuf *b, const struct row *row, enum metric metric, const char *null)
{
	double v = row->value[metric];

	if (!isfinite(v))
		strbuf_puts(b, null);
	else if (metric_columns[metric].type == METRIC_REAL)
		strbuf_printf(b, "%.7g", v);
	else
		strbuf_printf(b, "%.0f", v);
}

void
encode_json(struct strbuf *b, const struct row *row, const char *vps_name, const char *app_name)
{
	strbuf_puts(b, "{\"timestamp\": \"");
	encode_timestamp(b, row->timestamp_us);
	strbuf_puts(b, "\", \"vps_name\": ");
	strbuf_json_string(b, vps_name);
	strbuf_puts(b, ", \"app_name\": ");
	strbuf_json_string(b, app_name);
	for (int m = 0; m < METRICS; m++) {
		strbuf_printf(b, ", \"%s\": ", metric_columns[m].name);
		encode_value(b, row, m, "null");
	}
	strbuf_putc(b, '}');
}

/* Whether an array literal takes the text as it is. */
static bool
is_plain(struct slice text)
{
	if (text.p == text.end || (text.end - text.p == 4 && strncasecmp(text.p, "null", 4) == 0))
		return false;
	for (const char *at = text.p; at < text.end; at++)
		if (!(*at >= '0' && *at <= '9') && !(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z') &&
			(*at == '\0' || !strchr(".-_+;", *at)))
			return false;
	return true;
}

void
encode_array_item(struct strbuf *b, struct slice text)
{
	if (!text.p) {
		strbuf_puts(b, "NULL");
		return;
	}
	if (is_plain(text)) {
		strbuf_add(b, text.p, (size_t) (text.end - text.p));
		return;
	}
	const char *from = text.p;
	strbuf_putc(b, '"');
	for (const char *at = text.p; at < text.end; at++) {
		if (*at != '"' && *at != '\\' && *at != '\0')
			continue;
		strbuf_add(b, from, (size_t) (at - from));
		if (*at != '\0')
			strbuf_putc(b, '\\');
		from = *at == '\0' ? at + 1 : at;
	}
	strbuf_add(b, from, (size_t) (text.end - from));
	strbuf_putc(b, '"');
}

int64_t
encode_next_number(const char **at, int64_t if_null)
{
	char *end;

	*at += strspn(*at, "{,");
	if (strncmp(*at, "NULL", 4) == 0) {
		*at += 4;
		return if_null;
	}
	int64_t value = strtoll(*at, &end, 10);
	*at = end;
	return value;
}

/* Length of the UTF-8 character at `p`; 0 when it is none. No surrogates, nothing above U+10FFFF, nothing longer than need be. */
static int
utf8_length(const unsigned char *p, const unsigned char *end)
{
	if (*p < 0x80)
		return 1;
	int length = *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	if (length == 0 || end - p < length)
		return 0;
	for (int i = 1; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool bad = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
			   (*p == 0xf4 && p[1] > 0x8f);
	return bad ? 0 : length;
}

void
encode_json_text(struct strbuf *b, struct slice text)
{
	const unsigned char *end = (const unsigned char *) text.end;

	strbuf_putc(b, '"');
	for (const unsigned char *at = (const unsigned char *) text.p; at < end;) {
		int length = utf8_length(at, end);
		if (length == 0 || *at == '\0')
			strbuf_puts(b, "\xef\xbf\xbd");
		else if (*at == '"' || *at == '\\')
			strbuf_printf(b, "\\%c", *at);
		else if (*at < 0x20)
			strbuf_printf(b, "\\u%04x", *at);
		else
			strbuf_add(b, (const char *) at, (size_t) length);
		at += length ? length : 1;
	}
	strbuf_putc(b, '"');
}
