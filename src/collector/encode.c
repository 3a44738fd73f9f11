/* encode.c: Rows as text. See encode.h for what belongs here. */
#include "collector/encode.h"

#include <math.h>
#include <stdio.h>
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

void
encode_array_element(struct strbuf *b, const char *text)
{
	strbuf_putc(b, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			strbuf_putc(b, '\\');
		strbuf_putc(b, *text);
	}
	strbuf_putc(b, '"');
}
