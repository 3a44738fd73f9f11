/* log_time.c: times as loggers write them. See log_time.h for what belongs here. */
#include "core/log_time.h"

#define SECOND INT64_C(1000000)
#define DAY    (86400 * SECOND)

/* 2000-01-01 00:00:00 UTC */
#define YEAR_2000 (INT64_C(946684800) * SECOND)

struct civil {
	int year, month, day, hour, minute, second;
	int micro;
};

/* Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil). */
static int64_t
days_from_civil(int year, int month, int day)
{
	year -= month <= 2;
	int era = (year >= 0 ? year : year - 399) / 400;
	int year_of_era = year - era * 400;
	int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return (int64_t) era * 146097 + day_of_era - 719468;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool
is_valid(const struct civil *c)
{
	return c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= days_in_month(c->year, c->month) &&
		   c->hour <= 23 && c->minute <= 59 && c->second <= 60;
}

static int64_t
to_us(const struct civil *c)
{
	int64_t s =
		days_from_civil(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 + c->second;

	return s * SECOND + c->micro;
}

/* Takes exactly `n` digits off `s`. */
static bool
take_digits(struct slice *s, int n, int *out)
{
	int value = 0;

	if (s->end - s->p < n)
		return false;
	for (int i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		value = value * 10 + (s->p[i] - '0');
	}
	s->p += n;
	*out = value;
	return true;
}

static bool
take(struct slice *s, char c)
{
	if (s->p >= s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* Jan to Dec, 0 for anything else. */
static int
take_month(struct slice *s)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	if (s->end - s->p < 3)
		return 0;
	for (int i = 0; i < 12; i++)
		if (memcmp(s->p, names + 3 * i, 3) == 0) {
			s->p += 3;
			return i + 1;
		}
	return 0;
}

/* hh:mm, seconds and their fraction if there are any. */
static bool
take_clock(struct slice *s, struct civil *c)
{
	if (!take_digits(s, 2, &c->hour) || !take(s, ':') || !take_digits(s, 2, &c->minute))
		return false;
	struct slice rest = *s;
	if (!take(&rest, ':') || !take_digits(&rest, 2, &c->second))
		return true;
	*s = rest;
	if (!take(&rest, '.') && !take(&rest, ','))
		return true;
	int digit, scale = 100000;
	while (take_digits(&rest, 1, &digit)) {
		c->micro += digit * scale;
		scale /= 10;
		*s = rest;
	}
	return true;
}

/* An offset or a name of UTC, with a blank before it or not. False: there is none, nothing is taken. */
static bool
take_zone(struct slice *s, int32_t *zone_s)
{
	static const char *const utc[] = {"UTC", "GMT", "Z", "z"};
	struct slice rest = *s;
	int hours, minutes = 0;

	(void) take(&rest, ' ');
	for (size_t i = 0; i < sizeof utc / sizeof utc[0]; i++)
		if (slice_starts(rest, utc[i])) {
			s->p = rest.p + strlen(utc[i]);
			*zone_s = 0;
			return true;
		}
	bool west = take(&rest, '-');
	if ((!west && !take(&rest, '+')) || !take_digits(&rest, 2, &hours))
		return false;
	struct slice before = rest;
	(void) take(&rest, ':');
	if (!take_digits(&rest, 2, &minutes))
		rest = before;
	if (hours > 15 || minutes > 59)
		return false;
	*zone_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
	s->p = rest.p;
	return true;
}

/* 2026-01-02T03:04:05 and the like. */
static bool
take_iso(struct slice *s, struct civil *c)
{
	if (!take_digits(s, 4, &c->year) || s->p >= s->end)
		return false;
	char dash = *s->p;
	if ((dash != '-' && dash != '/') || !take(s, dash) || !take_digits(s, 2, &c->month) || !take(s, dash) ||
		!take_digits(s, 2, &c->day))
		return false;
	return (take(s, 'T') || take(s, ' ') || take(s, 't') || take(s, '_')) && take_clock(s, c);
}

/* 02/Jan/2026:03:04:05 */
static bool
take_web(struct slice *s, struct civil *c)
{
	return take_digits(s, 2, &c->day) && take(s, '/') && (c->month = take_month(s)) != 0 && take(s, '/') &&
		   take_digits(s, 4, &c->year) && take(s, ':') && take_clock(s, c);
}

/* Jan  2 03:04:05: has no year. */
static bool
take_syslog(struct slice *s, struct civil *c)
{
	c->month = take_month(s);
	if (c->month == 0 || !take(s, ' '))
		return false;
	return (take(s, ' ') ? take_digits(s, 1, &c->day) : take_digits(s, 2, &c->day)) && take(s, ' ') &&
		   take_clock(s, c);
}

/* The latest year in which the time is not in the future. */
static bool
find_year(struct civil *c, int64_t read_us)
{
	int year = (int) (1970 + read_us / (DAY * 146097 / 400)) + 1;

	for (int last = year - 9; year >= last; year--) {
		c->year = year;
		if (is_valid(c) && to_us(c) <= read_us + DAY)
			return true;
	}
	return false;
}

enum log_time_result
log_time_prefix(struct slice s, int32_t zone_s, int64_t read_us, int64_t *out_us, const char **end)
{
	struct slice rest = s;
	struct civil c = {0};
	bool found;

	if (s.p >= s.end)
		return LOG_TIME_NONE;
	if (*s.p >= 'A' && *s.p <= 'S') {
		found = take_syslog(&rest, &c) && find_year(&c, read_us);
	} else if (s.end - s.p > 2 && s.p[2] == '/') {
		found = take_web(&rest, &c);
	} else {
		found = take_iso(&rest, &c);
	}
	if (!found || !is_valid(&c))
		return LOG_TIME_NONE;
	bool zone = take_zone(&rest, &zone_s);
	*out_us = to_us(&c) - zone_s * SECOND;
	*end = rest.p;
	return zone ? LOG_TIME_OK : LOG_TIME_NO_ZONE;
}

/* Digits with or without a fraction (its first 6 digits), as a number of millionths. False for anything else, and beyond 10^18. */
static bool
read_millionths(struct slice s, int64_t *whole, int *millionths)
{
	const char *dot = memchr(s.p, '.', (size_t) (s.end - s.p));
	struct slice digits = {s.p, dot != NULL ? dot : s.end};
	int digit, scale = 100000;

	*millionths = 0;
	if (digits.end - digits.p > 19 || !slice_to_i64(digits, whole))
		return false;
	if (dot == NULL)
		return true;
	digits = (struct slice){dot + 1, s.end};
	while (take_digits(&digits, 1, &digit)) {
		*millionths += digit * scale;
		scale /= 10;
	}
	return digits.p == digits.end;
}

/* 1.7000000001e9: some serialisers write floats so. */
static bool
read_scientific(struct slice s, int64_t *whole, int *millionths)
{
	const char *e = memchr(s.p, 'e', (size_t) (s.end - s.p));
	char digits[40];
	int used = 0, point = -1, exponent = 0;

	if (e == NULL)
		e = memchr(s.p, 'E', (size_t) (s.end - s.p));
	if (e == NULL || e - s.p > 25)
		return false;
	struct slice after = {e + 1, s.end};
	(void) take(&after, '+');
	int64_t value;
	if (!slice_to_i64(after, &value) || value > 18)
		return false;
	exponent = (int) value;
	for (const char *p = s.p; p < e; p++) {
		if (*p == '.' && point < 0)
			point = used;
		else if (*p >= '0' && *p <= '9')
			digits[used++] = *p;
		else
			return false;
	}
	if (used == 0)
		return false;
	point = (point < 0 ? used : point) + exponent;
	*whole = 0;
	*millionths = 0;
	for (int i = 0; i < point + 6; i++) {
		int digit = i < used ? digits[i] - '0' : 0;
		if (i < point) {
			if (*whole > INT64_MAX / 10 - 1)
				return false;
			*whole = *whole * 10 + digit;
		} else {
			*millionths = *millionths * 10 + digit;
		}
	}
	return true;
}

enum log_time_result
log_time_parse(struct slice s, int32_t zone_s, int64_t read_us, int64_t *out_us)
{
	const char *end;
	int64_t whole;
	int millionths;

	while (s.p < s.end && *s.p == ' ')
		s.p++;
	while (s.p < s.end && s.end[-1] == ' ')
		s.end--;
	if (s.p >= s.end)
		return LOG_TIME_NONE;
	enum log_time_result result = log_time_prefix(s, zone_s, read_us, out_us, &end);
	if (result != LOG_TIME_NONE) /* a named zone behind it is one that we do not know */
		return end == s.end || *end == ' ' ? result : LOG_TIME_NONE;
	if (*s.p < '0' || *s.p > '9' ||
		!(read_millionths(s, &whole, &millionths) || read_scientific(s, &whole, &millionths)))
		return LOG_TIME_NONE;
	if (whole < INT64_C(100000000000))
		*out_us = whole * SECOND + millionths;
	else if (whole < INT64_C(100000000000000))
		*out_us = whole * 1000 + millionths / 1000;
	else if (whole < INT64_C(100000000000000000))
		*out_us = whole;
	else
		*out_us = whole / 1000;
	return LOG_TIME_OK;
}

bool
log_time_plausible(int64_t us, int64_t read_us)
{
	return us >= YEAR_2000 && us <= read_us + DAY;
}
