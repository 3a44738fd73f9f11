/*
 * Texts of messages that every kind of channel shares: what severities are called, what fits, an alert in a line. What does not belong here: where a
 * message comes from (message.c), templates of channels (message_values.c), forms of services (channel_*.c).
 */
#include "postgres.h"

#include "ext/message.h"

#include <limits.h>
#include <math.h>

#include "core/template_filters.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

static const struct {
	const char *name;
	int color;
} severities[] = {{"info", 0xB0B0B0}, {"low", 0x8AA0B5},      {"medium", 0x4C8BF5},   {"warning", 0xF2C744},
				  {"high", 0xE8590C}, {"critical", 0xD00000}, {"emergency", 0x8B0000}};

const char *
observ_severity_name(int severity)
{
	Assert(severity >= 0 && severity < (int) lengthof(severities));
	return severities[severity].name;
}

int
observ_severity_color(int severity)
{
	Assert(severity >= 0 && severity < (int) lengthof(severities));
	return severities[severity].color;
}

/* --- escapes */

void
observ_escape_html(StringInfo out, const char *character, int len)
{
	switch (*character) {
	case '&':
		appendStringInfoString(out, "&amp;");
		break;
	case '<':
		appendStringInfoString(out, "&lt;");
		break;
	case '>':
		appendStringInfoString(out, "&gt;");
		break;
	case '"':
		appendStringInfoString(out, "&quot;");
		break;
	case '\'':
		appendStringInfoString(out, "&#39;");
		break;
	default:
		appendBinaryStringInfo(out, character, len);
	}
}

void
observ_escape_slack(StringInfo out, const char *character, int len)
{
	if (*character == '"' || *character == '\'')
		appendBinaryStringInfo(out, character, len);
	else
		observ_escape_html(out, character, len);
}

/* --- what fits */

#define ELLIPSIS "\xe2\x80\xa6" /* … */

/* Also those that UTF-8 writes in two bytes (U+0080 to U+009F), and what ends lines or turns them around (U+2028, U+2029, U+202A to U+202E, U+2066 to U+2069). */
static bool
is_control(const char *p, int len)
{
	const unsigned char *c = (const unsigned char *) p;

	if (len == 1)
		return c[0] < 0x20 || c[0] == 0x7F;
	if (GetDatabaseEncoding() != PG_UTF8)
		return false;
	if (len == 2)
		return c[0] == 0xC2 && c[1] < 0xA0;
	if (len == 3 && c[0] == 0xE2)
		return (c[1] == 0x80 && c[2] >= 0xA8 && c[2] <= 0xAE) ||
			   (c[1] == 0x81 && c[2] >= 0xA6 && c[2] <= 0xA9);
	return false;
}

/* Whether a whole text is fit as it is: the usual case, which costs no walk through an escape. */
static bool
is_fit(const char *text, int max, bool one_line)
{
	int n = 0;

	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
		if (++n > max || *p >= 0x7F || (*p < 0x20 && (one_line || *p != '\n')))
			return false;
	return true;
}

char *
observ_fit(const char *text, int max, bool one_line, MessageEscape escape)
{
	StringInfoData out, piece;
	int length = 0; /* characters in `out` */
	int cut = 0;    /* bytes of `out` that leave room for the ellipsis */
	bool fits = true;

	if (max <= 0)
		return pstrdup("");
	if (escape == NULL && is_fit(text, max, one_line))
		return pstrdup(text);
	initStringInfo(&out);
	initStringInfo(&piece);
	for (const char *p = text; *p != '\0';) {
		int len = pg_mblen(p), added;
		bool blank = is_control(p, len) && (one_line || *p != '\n');

		resetStringInfo(&piece);
		if (blank)
			appendStringInfoChar(&piece, ' ');
		else if (escape != NULL)
			escape(&piece, p, len);
		else
			appendBinaryStringInfo(&piece, p, len);
		added = pg_mbstrlen_with_len(piece.data, piece.len);
		if (length + added > max) {
			fits = false;
			break;
		}
		appendBinaryStringInfo(&out, piece.data, piece.len);
		length += added;
		if (length < max)
			cut = out.len;
		p += len;
	}
	if (!fits) {
		out.len = cut;
		out.data[cut] = '\0';
		appendStringInfoString(&out, GetDatabaseEncoding() == PG_UTF8 ? ELLIPSIS : ".");
	}
	pfree(piece.data);
	return out.data;
}

/* --- an alert in words */

char *
observ_time_text(TimestampTz time, int digits)
{
	struct pg_tm tm;
	fsec_t fraction;
	char *out = palloc(MAXDATELEN + 1), *end;

	if (time == 0 || TIMESTAMP_NOT_FINITE(time) ||
		timestamp2tm(time, NULL, &tm, &fraction, NULL, NULL) != 0 || tm.tm_year < 1 || tm.tm_year > 9999)
		return NULL;
	end = out + snprintf(out, MAXDATELEN, "%04d-%02d-%02dT%02d:%02d:%02d.%06d", tm.tm_year, tm.tm_mon,
						 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fraction);
	end -= 6 - digits;
	while (end[-1] == '0')
		end--;
	end -= end[-1] == '.';
	*end++ = 'Z';
	*end = '\0';
	return out;
}

char *
observ_duration_text(double seconds)
{
	static const struct {
		double seconds;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	StringInfoData out;
	double left = isfinite(seconds) && seconds > 0 ? floor(seconds + 0.5) : 0;

	initStringInfo(&out);
	for (size_t i = 0; i < lengthof(units); i++) {
		double count = floor(left / units[i].seconds);

		if (count < 1)
			continue;
		appendStringInfo(&out, "%.0f%s", count, units[i].unit);
		/* The next smaller unit only: nobody needs the seconds of a day. */
		if (i + 1 < lengthof(units)) {
			double rest = floor((left - count * units[i].seconds) / units[i + 1].seconds);

			if (rest >= 1)
				appendStringInfo(&out, " %.0f%s", rest, units[i + 1].unit);
		}
		return out.data;
	}
	appendStringInfoString(&out, "0s");
	return out.data;
}

/* As templates write numbers. */
static void
put_number(StringInfo out, const char *what, double value)
{
	struct template_operand operand = {.is_number = true, .number = value};

	if (isnan(value))
		return;
	template_plain(&operand);
	appendStringInfo(out, "%s%s %.*s", out->len > 0 ? ", " : "", what,
					 (int) (operand.text.end - operand.text.p), operand.text.p);
}

static void
put_part(StringInfo out, const char *before, const char *text)
{
	if (text == NULL)
		return;
	appendStringInfo(out, "%s%s%s", out->len > 0 ? ", " : "", before, text);
}

char *
observ_message_facts(const MessageAlert *alert)
{
	StringInfoData out;

	initStringInfo(&out);
	put_number(&out, "value", alert->value);
	if (alert->peak != alert->value)
		put_number(&out, "peak", alert->peak);
	if (alert->duration_seconds >= 0.5)
		put_part(&out, alert->firing ? "for " : "after ", observ_duration_text(alert->duration_seconds));
	put_part(&out, "acknowledged by ", alert->acked_by);
	if (alert->resolved_reason != NULL && strcmp(alert->resolved_reason, "cleared") != 0)
		put_part(&out, "", alert->resolved_reason);
	if (alert->flapping)
		put_part(&out, "", "flapping");
	if (alert->stale)
		put_part(&out, "", "no new data");
	if (alert->reopened)
		put_part(&out, "", "again");
	return out.data;
}

const char *
observ_mark_word(enum mark mark)
{
	static const char *const words[] = {"", "NEW", "STILL", "RESOLVED"};

	return words[mark];
}

char *
observ_message_line(const MessageAlert *alert)
{
	StringInfoData out;
	char *facts = observ_message_facts(alert), *line;

	initStringInfo(&out);
	appendStringInfo(&out, "%s %s", observ_mark_word(alert->mark), observ_severity_name(alert->severity));
	if (alert->name[0] != '\0')
		appendStringInfo(&out, " %s", alert->name);
	if (alert->instance[0] != '\0')
		appendStringInfo(&out, " %s", alert->instance);
	if (alert->summary != NULL && alert->summary[0] != '\0')
		appendStringInfo(&out, ": %s", alert->summary);
	if (facts[0] != '\0')
		appendStringInfo(&out, " (%s)", facts);
	line = observ_fit(out.data, INT_MAX, true, NULL);
	pfree(out.data);
	pfree(facts);
	return line;
}

/* --- the whole message */

/* Room that "… and N more" takes, with the line end before it. */
#define MORE_MAX 32

char *
observ_message_text(const Message *message, int max, int *n_listed)
{
	StringInfoData out;
	int total = message->n_alerts + message->left_out, length = 0, listed = 0;

	if (n_listed != NULL)
		*n_listed = message->n_alerts;
	if (message->body != NULL)
		return observ_fit(message->body, max, false, NULL);
	initStringInfo(&out);
	for (; listed < message->n_alerts; listed++) {
		char *line = observ_message_line(&message->alerts[listed]);
		int more = total - listed - 1 > 0 ? MORE_MAX : 0, separator = listed > 0;
		int room = max - length - separator - more, needed = pg_mbstrlen(line);

		/* The first alert is said in any case, if in part only. */
		if (needed > room && listed == 0 && room > 0) {
			line = observ_fit(line, room, true, NULL);
			needed = pg_mbstrlen(line);
		}
		if (needed > room)
			break;
		appendStringInfo(&out, "%s%s", separator ? "\n" : "", line);
		length += needed + separator;
		pfree(line);
	}
	if (n_listed != NULL)
		*n_listed = listed;
	if (listed < total && listed > 0)
		appendStringInfo(&out, "\n" ELLIPSIS " and %d more", total - listed);
	if (listed == 0)
		return observ_fit(message->title, max, true, NULL);
	return out.data;
}
