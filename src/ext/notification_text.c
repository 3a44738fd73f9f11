/*
 * What a notification says, for every channel the same (alerting.md 2.13). What does not belong here: the form that a channel gives it, annotations
 * (those are rendered with the alert).
 */
#include "postgres.h"

#include "ext/notification_text.h"

#include "ext/metric_labels.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#define MAX_TITLE_LENGTH 300 /* bytes */

#define RFC3339(time) "to_char(" time " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* Times that hands have written may be infinite: the difference would be an error, and nobody would be told of anything. */
#define DURATION                                                                                             \
	"CASE WHEN isfinite(a.starts_at) AND (l.mark <> 'resolved' OR isfinite(a.ends_at)) THEN "                \
	"greatest(extract(epoch FROM CASE l.mark WHEN 'resolved' THEN a.ends_at ELSE n.at END - a.starts_at), "  \
	"0)::float8 END"

/* What can't be said is null. A person is named when the acknowledgement holds, and when it held at the end. */
const char observ_notification_alert_sql[] =
	"jsonb_build_object('alert_id', a.alert_id, 'fingerprint', a.fingerprint, 'mark', l.mark, "
	"'status', CASE l.mark WHEN 'resolved' THEN 'resolved' ELSE 'firing' END, 'severity', a.severity, "
	"'labels', a.labels, 'annotations', a.annotations, 'summary', a.summary, 'description', a.description, "
	"'value', a.value, 'peak', a.peak_value, 'starts_at', " RFC3339(
		"a.starts_at") ", 'ends_at', CASE l.mark "
					   "WHEN 'resolved' THEN " RFC3339(
						   "a.ends_at") " END, 'duration_seconds', " DURATION ", "
										"'acked_by', CASE WHEN a.acknowledged_at IS NOT NULL AND "
										"(a.acknowledged_until IS NULL OR "
										"a.acknowledged_until > n.at OR a.acknowledged_until > a.ends_at) "
										"THEN a.acknowledged_by END, "
										"'resolved_reason', CASE l.mark WHEN 'resolved' THEN "
										"a.resolved_reason END, 'flapping', a.flapping, "
										"'stale', a.stale, 'reopened', a.reopened, 'since_seq', l.since_seq)";

const char *
observ_mark_name(enum mark mark)
{
	static const char *const names[] = {"none", "new", "still", "resolved"};

	return names[mark];
}

static void
put_value(StringInfo title, const char *name, struct slice value)
{
	if (value.p == value.end)
		return;
	appendStringInfoChar(title, ' ');
	if (name != NULL)
		appendStringInfo(title, "%s=", name);
	/* A title is one line. */
	for (const char *p = value.p; p < value.end; p++)
		appendStringInfoChar(title, (unsigned char) *p < ' ' ? ' ' : *p);
}

static void
put_group(StringInfo title, Jsonb *labels, const char *route)
{
	int before = title->len;
	JsonbIterator *it = JsonbIteratorInit(&labels->root);
	JsonbIteratorToken token;
	JsonbValue v;
	char *name = NULL;

	put_value(title, NULL, observ_label_value(labels, slice_of("alertname")));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE && strcmp(name, "alertname") != 0 && v.type == jbvString)
			put_value(title, name, (struct slice){v.val.string.val, v.val.string.val + v.val.string.len});
	}
	if (title->len == before && route != NULL)
		put_value(title, NULL, slice_of(route));
}

char *
observ_notification_title(enum notify_reason reason, const NotificationCounts *counts, Jsonb *group_labels,
						  const char *route)
{
	StringInfoData title;

	initStringInfo(&title);
	appendStringInfoChar(&title, '[');
	if (reason == NOTIFY_FLAPPING)
		appendStringInfoString(&title, "FLAPPING ");
	if (counts->firing > 0) {
		appendStringInfo(&title, "FIRING:%d", counts->firing);
		if (counts->fresh > 0 && counts->muted > 0)
			appendStringInfo(&title, " (%d new, %d muted)", counts->fresh, counts->muted);
		else if (counts->fresh > 0)
			appendStringInfo(&title, " (%d new)", counts->fresh);
		else if (counts->muted > 0)
			appendStringInfo(&title, " (%d muted)", counts->muted);
	}
	if (counts->resolved > 0)
		appendStringInfo(&title, "%sRESOLVED:%d", counts->firing > 0 ? " " : "", counts->resolved);
	appendStringInfoChar(&title, ']');
	put_group(&title, group_labels, route);
	if (title.len > MAX_TITLE_LENGTH) {
		title.len = pg_mbcliplen(title.data, title.len, MAX_TITLE_LENGTH - 3);
		title.data[title.len] = '\0';
		appendStringInfoString(&title, "...");
	}
	return title.data;
}

static int
compare_items(const void *a, const void *b)
{
	const NotificationItem *x = a, *y = b;
	int order;

	if (x->mark != y->mark)
		return x->mark < y->mark ? -1 : 1;
	if (x->alert->severity != y->alert->severity)
		return x->alert->severity > y->alert->severity ? -1 : 1;
	order = strcmp(x->alert->instance == NULL ? "" : x->alert->instance,
				   y->alert->instance == NULL ? "" : y->alert->instance);
	if (order != 0)
		return order;
	return x->alert->alert_id < y->alert->alert_id ? -1 : x->alert->alert_id > y->alert->alert_id;
}

int
observ_notification_order(NotificationItem *items, int n)
{
	int firing = 0, resolved = 0, listed = 0;

	qsort(items, (size_t) n, sizeof *items, compare_items);
	for (int i = 0; i < n; i++) {
		bool fits = items[i].mark == MARK_RESOLVED ? resolved++ < OBSERV_LISTED_RESOLVED
												   : firing++ < OBSERV_LISTED_FIRING;

		if (fits)
			items[listed++] = items[i];
	}
	return listed;
}
