#include "core/retry_after.h"

#include <stddef.h>
#include <string.h>

/* What of the text is still to be read. Never passes its end: each step stops at the terminating zero. */
typedef const char *cursor;

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
skip_blanks(cursor *at)
{
	while (blank(**at))
		(*at)++;
}

static bool
take(cursor *at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool
take_number(cursor *at, int min_digits, int max_digits, int *out)
{
	int n = 0;

	*out = 0;
	for (; n < max_digits && digit(**at); n++)
		*out = *out * 10 + (*(*at)++ - '0');
	return n >= min_digits;
}

/* 1 to 12; 0 for something else. */
static int
take_month(cursor *at)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
		if (strncmp(*at, names + 3 * i, 3) == 0) {
			*at += 3;
			return i + 1;
		}
	return 0;
}

static bool
take_time(cursor *at, int clock[3])
{
	for (int i = 0; i < 3; i++)
		if ((i > 0 && !take(at, ':')) || !take_number(at, 2, 2, &clock[i]))
			return false;
	return clock[0] < 24 && clock[1] < 60 && clock[2] <= 60; /* 60: a leap second */
}

/* Days from 1970-01-01, proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t
days_from_civil(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = year / 400; /* years are positive here */
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int
year_of(int64_t now_s)
{
	return 1970 +
		   (int) (now_s / 31556952); /* mean length of a year; a day more or less doesn't matter here */
}

bool
http_date(const char *text, int64_t now_s, int64_t *out_s)
{
	cursor at = text;
	int day, month, year, clock[3], century;
	bool ok;

	skip_blanks(&at);
	while ((*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z'))
		at++; /* the day of the week says nothing new */
	if (take(&at, ',')) {
		skip_blanks(&at);
		if (!take_number(&at, 1, 2, &day) || (*at != ' ' && *at != '-'))
			return false;
		bool old = *at++ == '-';
		month = take_month(&at);
		ok = month > 0 && take(&at, old ? '-' : ' ') && take_number(&at, 2, 4, &year) && take(&at, ' ') &&
			 take_time(&at, clock) && take(&at, ' ') && strncmp(at, "GMT", 3) == 0;
		at += ok ? 3 : 0;
		if (ok && year < 100) {
			century = year_of(now_s) / 100 * 100;
			year += century + (century + year > year_of(now_s) + 50 ? -100 : 0);
		}
	} else {
		skip_blanks(&at);
		month = take_month(&at);
		skip_blanks(&at);
		ok = month > 0 && take_number(&at, 1, 2, &day) && take(&at, ' ') && take_time(&at, clock) &&
			 take(&at, ' ') && take_number(&at, 4, 4, &year);
	}
	if (!ok || day < 1 || day > 31 || year < 1601)
		return false;
	skip_blanks(&at);
	if (*at)
		return false;
	*out_s = ((days_from_civil(year, month, day) * 24 + clock[0]) * 60 + clock[1]) * 60 + clock[2];
	return true;
}

/* "120", "0.65"; what is too long to count is as good as the greatest. */
static bool
seconds_ms(cursor at, int64_t *out_ms)
{
	int64_t ms = 0, unit = 100;

	if (!digit(*at))
		return false;
	for (; digit(*at); at++)
		if (ms <= RETRY_AFTER_MAX_MS)
			ms = ms * 10 + (*at - '0') * 1000;
	if (take(&at, '.'))
		for (; digit(*at); at++, unit /= 10)
			ms += (*at - '0') * unit;
	skip_blanks(&at);
	*out_ms = ms;
	return *at == '\0';
}

int64_t
retry_after_ms(const char *text, int64_t now_s)
{
	int64_t ms, date_s;

	if (!text)
		return -1;
	skip_blanks(&text);
	if (!seconds_ms(text, &ms)) {
		if (!http_date(text, now_s, &date_s))
			return -1;
		/* Compared in seconds: the product of what is far away would not fit. */
		ms = date_s - now_s > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : (date_s - now_s) * 1000;
	}
	return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}
