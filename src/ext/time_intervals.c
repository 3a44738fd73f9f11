/*
 * Named times and times of maintenance: jsonb and time zones around core/time_interval.h.
 * What does not belong here: who uses them for what.
 */
#include "postgres.h"

#include "ext/time_intervals.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_INTERVALS 100

static struct slice
value_slice(const JsonbValue *v)
{
	return (struct slice){v->val.string.val, v->val.string.val + v->val.string.len};
}

/* The text of a string or number; false for what is neither. */
static bool
text_of(const JsonbValue *v, struct slice *out)
{
	if (v->type == jbvString) {
		*out = value_slice(v);
		return true;
	}
	if (v->type != jbvNumeric)
		return false;
	*out = slice_of(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric))));
	return true;
}

static const char *
read_times_element(struct time_interval *out, JsonbValue *element)
{
	JsonbValue start, end;

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data) ||
		JsonContainerSize(element->val.binary.data) != 2 ||
		getKeyJsonValueFromContainer(element->val.binary.data, "start_time", 10, &start) == NULL ||
		getKeyJsonValueFromContainer(element->val.binary.data, "end_time", 8, &end) == NULL ||
		start.type != jbvString || end.type != jbvString)
		return "an element of times is written as {\"start_time\": \"22:00\", \"end_time\": \"06:00\"}";
	return time_interval_add_times(out, value_slice(&start), value_slice(&end));
}

/* One list of an interval: times, weekdays, … */
static const char *
read_list(struct time_interval *out, struct slice name, const JsonbValue *list)
{
	int n;

	if (slice_equals(name, "location"))
		return "the time zone is the column timezone";
	if (list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data) ||
		(n = (int) JsonContainerSize(list->val.binary.data)) == 0)
		return psprintf("%.*s must be an array with at least one element", (int) (name.end - name.p), name.p);
	for (int i = 0; i < n; i++) {
		JsonbValue *element = getIthJsonbValueFromContainer(list->val.binary.data, (uint32) i);
		const char *problem;
		struct slice text;

		if (slice_equals(name, "times"))
			problem = read_times_element(out, element);
		else if (text_of(element, &text))
			problem = time_interval_add(out, name, text);
		else
			problem = psprintf("elements of %.*s must be strings", (int) (name.end - name.p), name.p);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

static const char *
read_interval(struct time_interval *out, const JsonbValue *element)
{
	JsonbIterator *it;
	JsonbValue key, list;
	JsonbIteratorToken token;
	const char *problem;

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		return "each element must be an object";
	it = JsonbIteratorInit(element->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE) {
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &list, true);
		problem = read_list(out, value_slice(&key), &list);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

ObservTimes *
observ_read_times(Jsonb *times, const char *zone, const char **problem)
{
	ObservTimes *out = palloc0(sizeof(ObservTimes));

	*problem = NULL;
	if (JB_ROOT_IS_SCALAR(times) || !JB_ROOT_IS_ARRAY(times) || JB_ROOT_COUNT(times) == 0)
		*problem = "times must be an array of objects, and not empty";
	else if (JB_ROOT_COUNT(times) > MAX_INTERVALS)
		*problem = "there are more than 100 objects";
	else if ((out->zone = pg_tzset(zone)) == NULL)
		*problem = "the time zone does not exist";
	if (*problem != NULL)
		return NULL;
	out->interval = palloc0(JB_ROOT_COUNT(times) * sizeof(struct time_interval));
	while (out->n < (int) JB_ROOT_COUNT(times)) {
		*problem = read_interval(&out->interval[out->n],
								 getIthJsonbValueFromContainer(&times->root, (uint32) out->n));
		if (*problem != NULL)
			return NULL;
		out->n++;
	}
	return out;
}

/*
 * Whether IANA's database has that zone. pg_tzset() takes rules as POSIX writes them, too ("ABC3DEF"), which nobody means here; all of those have a
 * digit, so most names needn't be looked up in the list.
 */
static bool
is_zone(const char *name)
{
	pg_tzenum *list;
	pg_tz *zone;
	bool found = false;

	if (strlen(name) > TZ_STRLEN_MAX || pg_tzset(name) == NULL)
		return false;
	if (strpbrk(name, "0123456789") == NULL)
		return true;
	list = pg_tzenumerate_start();
	while (!found && (zone = pg_tzenumerate_next(list)) != NULL)
		found = pg_strcasecmp(pg_get_timezone_name(zone), name) == 0;
	pg_tzenumerate_end(list);
	return found;
}

ObservTimes *
observ_check_times(Jsonb *times, const char *zone, const char *what)
{
	const char *problem;
	ObservTimes *out;

	if (!is_zone(zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown time zone of %s", what),
				 errdetail("Given: %s", zone),
				 errhint("Zones are named as in SELECT name FROM pg_timezone_names: Europe/Berlin, UTC.")));
	out = observ_read_times(times, zone, &problem);
	if (out == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("times of %s can't be read: %s", what, problem),
				 errdetail("Given: %s", JsonbToCString(NULL, &times->root, VARSIZE(times))),
				 errhint("[{\"weekdays\": [\"monday:friday\"], \"times\": [{\"start_time\": \"22:00\", "
						 "\"end_time\": \"06:00\"}]}] is from ten in the evening until six.")));
	return out;
}

/* A wall_clock_at. */
static struct wall_clock
clock_of(void *arg, int64_t at)
{
	pg_time_t seconds = timestamptz_to_time_t(at);
	struct pg_tm *tm = pg_localtime(&seconds, arg);

	/* Of a time that no clock shows nothing is known. */
	if (tm == NULL)
		return (struct wall_clock){.year = 0, .month = 1, .day = 1};
	return (struct wall_clock){tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday, tm->tm_wday,
							   tm->tm_hour * 60 + tm->tm_min};
}

bool
observ_times_show(const ObservTimes *times, TimestampTz at)
{
	struct wall_clock clock = clock_of(times->zone, at);

	return time_interval_shows(times->interval, times->n, &clock);
}

TimestampTz
observ_times_change(const ObservTimes *times, TimestampTz at, TimestampTz limit)
{
	return time_interval_change(times->interval, times->n, at, limit, clock_of, times->zone);
}
