/* spool_loss.c: What was given up, in numbers and words. See spool_loss.h for what belongs here. */
#include "collector/spool_loss.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIME_FORM "%Y-%m-%dT%H:%M:%SZ"

static const struct {
	unsigned reason;
	const char *name;
} reasons[] = {
	{LOSS_SPOOL_FULL, "spool full"},         {LOSS_DISK_LOW, "disk nearly full"},
	{LOSS_MEMORY_FULL, "disk not writable"}, {LOSS_DAMAGED, "spool damaged"},
	{LOSS_TOO_LARGE, "too large"},           {LOSS_NUMBERS, "numbers used by another agent"},
};

/* Each count: where, where what of it is counted again, its name in the data and in the message. */
static const struct {
	size_t offset, again;
	const char *key, *words;
} counts[] = {
#define AT(member) offsetof(struct loss, member), offsetof(struct loss, again.member)
	{AT(records[RANK_METRICS]), "metrics", "samples"},
	{AT(thinned), "metrics_thinned", "samples thinned to one a minute"},
	{AT(records[RANK_LOW]), "logs", "log lines below warning"},
	{AT(records[RANK_WARNING]), "log_warnings", "log lines of level warning"},
	{AT(records[RANK_KEEP]), "important", "errors, events or failed checks"},
	{AT(damaged), "damaged", "damaged places"},
#undef AT
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static int64_t *
count_at(struct loss *l, size_t offset)
{
	return (int64_t *) ((char *) l + offset);
}

static int64_t
value_at(const struct loss *l, size_t offset)
{
	return *(const int64_t *) ((const char *) l + offset);
}

static int64_t
value_of(const struct loss *l, size_t i)
{
	return value_at(l, counts[i].offset);
}

static void
add_times(struct loss *l, int64_t from_us, int64_t to_us)
{
	if (from_us != 0 && (l->from_us == 0 || from_us < l->from_us))
		l->from_us = from_us;
	if (to_us > l->to_us)
		l->to_us = to_us;
}

void
loss_count(struct loss *l, const struct record *r)
{
	struct loss said;

	/* An event that says what was lost before is not lost with all that it says. */
	if (loss_of_event(r, &said)) {
		for (size_t i = 0; i < LENGTH(counts); i++)
			*count_at(&said, counts[i].again) = value_of(&said, i);
		loss_add(l, &said);
		return;
	}
	l->records[r->rank]++;
	add_times(l, r->timestamp_us, r->timestamp_us);
}

void
loss_thin(struct loss *l, const struct record *r)
{
	l->thinned++;
	add_times(l, r->timestamp_us, r->timestamp_us);
}

void
loss_add(struct loss *to, const struct loss *more)
{
	for (size_t i = 0; i < LENGTH(counts); i++) {
		*count_at(to, counts[i].offset) += value_of(more, i);
		*count_at(to, counts[i].again) += value_at(more, counts[i].again);
	}
	if (loss_is_any(more))
		to->reasons |= more->reasons;
	add_times(to, more->from_us, more->to_us);
}

void
loss_add_new(struct loss *to, const struct loss *more)
{
	for (size_t i = 0; i < LENGTH(counts); i++)
		*count_at(to, counts[i].offset) += value_of(more, i) - value_at(more, counts[i].again);
}

bool
loss_is_any(const struct loss *l)
{
	for (size_t i = 0; i < LENGTH(counts); i++)
		if (value_of(l, i) > 0)
			return true;
	return false;
}

static void
add_reasons(const struct loss *l, struct strbuf *out)
{
	const char *comma = "";

	for (size_t i = 0; i < LENGTH(reasons); i++)
		if (l->reasons & reasons[i].reason) {
			strbuf_printf(out, "%s%s", comma, reasons[i].name);
			comma = ", ";
		}
}

void
loss_message(const struct loss *l, struct strbuf *out)
{
	const char *comma = "";

	strbuf_puts(out, "lost ");
	for (size_t i = 0; i < LENGTH(counts); i++)
		if (value_of(l, i) > 0) {
			strbuf_printf(out, "%s%" PRId64 " %s", comma, value_of(l, i), counts[i].words);
			comma = ", ";
		}
	strbuf_puts(out, ": ");
	add_reasons(l, out);
}

static void
add_time(struct strbuf *out, const char *key, int64_t us)
{
	time_t seconds = (time_t) (us / 1000000);
	struct tm tm;
	char text[40];

	if (us == 0 || gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof text, TIME_FORM, &tm) == 0)
		return;
	strbuf_printf(out, ", \"%s\": \"%s\"", key, text);
}

void
loss_json(const struct loss *l, struct strbuf *out)
{
	strbuf_puts(out, "{\"reason\": \"");
	add_reasons(l, out);
	strbuf_puts(out, "\"");
	for (size_t i = 0; i < LENGTH(counts); i++)
		strbuf_printf(out, ", \"%s\": %" PRId64, counts[i].key, value_of(l, i));
	add_time(out, "from", l->from_us);
	add_time(out, "to", l->to_us);
	strbuf_puts(out, "}");
}

/* --- reading it back */

/* Where the value of a key begins in JSON that loss_json() wrote; NULL: not there. */
static const char *
find_value(const char *json, const char *key)
{
	char name[40];

	snprintf(name, sizeof name, "\"%s\": ", key);
	const char *at = strstr(json, name);
	return at ? at + strlen(name) : NULL;
}

static int64_t
time_at(const char *json, const char *key)
{
	const char *at = find_value(json, key);
	struct tm tm = {0};

	return at && strptime(at + 1, TIME_FORM, &tm) ? (int64_t) timegm(&tm) * 1000000 : 0;
}

bool
loss_of_event(const struct record *r, struct loss *out)
{
	char json[1000];

	*out = (struct loss){0};
	if (r->kind != RECORD_EVENT || !slice_equals(r->field[EVENT_KIND], LOSS_EVENT) ||
		!slice_copy(r->field[EVENT_DATA], json, sizeof json))
		return false;
	for (size_t i = 0; i < LENGTH(counts); i++) {
		const char *at = find_value(json, counts[i].key);
		if (!at)
			return false; /* others tell of losses, too: in words of their own */
		*count_at(out, counts[i].offset) = strtoll(at, NULL, 10);
	}
	for (size_t i = 0; i < LENGTH(reasons); i++)
		if (strstr(json, reasons[i].name))
			out->reasons |= reasons[i].reason;
	out->from_us = time_at(json, "from");
	out->to_us = time_at(json, "to");
	return true;
}
