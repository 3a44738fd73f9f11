/*
 * spool_fill.c: fills the spool of an agent that does not run, with whatever a test wants to be delivered.
 *
 *     spool_fill DIR < lines
 *
 * A line is a record: kind, microseconds since 1970, "+" where the group goes on or "." where it ends, then the fields, all separated by
 * tabs. \N is NULL; \t \n \\ and \xHH stand for bytes. Says the number of the last record.
 */
#include "collector/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static char *
unescape(char *text, struct slice *out)
{
	char *to = text, *at = text;

	*out = (struct slice){NULL, NULL};
	if (strcmp(text, "\\N") == 0)
		return text;
	for (; *at; at++) {
		if (*at != '\\') {
			*to++ = *at;
			continue;
		}
		at++;
		if (*at == 'x') {
			char hex[3] = {at[1], at[2], '\0'};
			*to++ = (char) strtol(hex, NULL, 16);
			at += 2;
		} else {
			*to++ = *at == 't' ? '\t' : *at == 'n' ? '\n' : *at;
		}
	}
	*out = (struct slice){text, to};
	return to;
}

static bool
read_record(char *line, struct record *r, bool *goes_on)
{
	char *kind = strsep(&line, "\t"), *time = strsep(&line, "\t"), *group = strsep(&line, "\t"), *field;

	if (!kind || !time || !group)
		return false;
	long number = strtol(kind, NULL, 10);
	if (number < RECORD_METRICS || number >= RECORD_KINDS)
		return false;
	record_init(r, (enum record_kind) number, number == RECORD_METRICS ? RANK_METRICS : RANK_KEEP,
				strtoll(time, NULL, 10));
	*goes_on = *group == '+';
	for (int f = 0; f < r->fields && (field = strsep(&line, "\t")) != NULL; f++)
		unescape(field, &r->field[f]);
	return true;
}

int
main(int argc, char **argv)
{
	struct spool *spool = argc == 2 ? spool_open(argv[1], INT64_C(4) << 30, monotonic_ms()) : NULL;
	char *line = NULL;
	size_t size = 0;
	bool open = false, goes_on;
	struct record r;

	if (!spool)
		return 2;
	for (ssize_t len; (len = getline(&line, &size, stdin)) > 0;) {
		line[strcspn(line, "\n")] = '\0';
		if (!read_record(line, &r, &goes_on))
			return 2;
		if (!open)
			spool_begin(spool);
		spool_put(spool, &r);
		open = goes_on;
		if (!open && !spool_end(spool, SPOOL_LATER))
			return 1;
	}
	printf("%lld\n", (long long) spool_last(spool));
	spool_close(spool);
	free(line);
	return 0;
}
