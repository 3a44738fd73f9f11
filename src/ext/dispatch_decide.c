/*
 * What each channel of a group is told at a flush, and what of it is remembered. What does not belong here: the decision itself
 * (core/notify_decision.c), reading (dispatch_flush.c), SQL (dispatch_write.c).
 */
#include "postgres.h"

#include "ext/dispatch.h"

#include "core/hash.h"
#include "ext/dispatch_write.h"
#include "ext/notification_text.h"
#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* A row of decisions goes on for so long at most, so that the partition that it lies in is there. */
#define LONGEST_DECISION USECS_PER_DAY
/* Alerts that a decision names as left out; the others are counted. */
#define MAX_SUPPRESSED 1000

/* The alerts of a group as one channel sees them. */
typedef struct View {
	const DispatchGroup *group;
	DispatchChannel *channel;
	struct notify_channel settings;
	int n;
	struct notify_alert *alert;
	int *member;  /* index in the group */
	int withheld; /* ends that wait until a silence is over */
	int firing, resolved, muted;
} View;

static bool
is_told_to(const DispatchMember *m, const DispatchChannel *channel)
{
	if (m->departed || m->alert == NULL)
		return false;
	for (int i = 0; i < m->channels->n; i++)
		if (strcmp(m->channels->name[i], channel->settings->name) == 0)
			return true;
	return false;
}

static enum notify_news
news_of(const DispatchMember *m, const DispatchTold *told)
{
	bool known = told->state == TOLD_FIRING;

	if (known && m->firing && told->acknowledged && !m->alert->acknowledged)
		return NEWS_ACK_EXPIRED;
	if (m->flapping && !(known && told->flapping) && !m->alert->acknowledged)
		return NEWS_FLAPPING;
	if (known && told->flapping && !m->flapping)
		return NEWS_STEADY;
	if (known && m->firing && m->alert->acknowledged && !told->acknowledged)
		return NEWS_ACKNOWLEDGED;
	return NEWS_NONE;
}

/* What was only held back for another alert that might have come was not kept from anybody. */
static bool
was_kept_back(const DispatchMember *m)
{
	return m->was_suppressed != NULL &&
		   strcmp(m->was_suppressed, observ_suppressed_names[SUPPRESSED_HELD]) != 0;
}

static struct notify_alert
picture_of(const DispatchGroup *group, const DispatchMember *m, const DispatchTold *told, bool mine)
{
	/* A step that waited while it was suppressed is not late: its clock stood still. */
	bool counted = !group->escalated || told->state == TOLD_FIRING;
	struct notify_alert a = {.firing = m->firing,
							 .suppressed = m->suppressed != NULL,
							 .was_suppressed = counted && was_kept_back(m),
							 .keeps_quiet = !mine || m->flapping || m->alert->acknowledged,
							 .told = told->state};

	if (mine)
		a.news = news_of(m, told);
	return a;
}

/* C3 knows one exception: a channel for people may want to hear of ends after the silence only. */
static bool
is_withheld(const DispatchMember *m, const DispatchTold *told, const DispatchSettings *settings)
{
	return !m->firing && told->state == TOLD_FIRING && !settings->resolved_during_silence &&
		   m->suppression.silenced;
}

static View
view_of(const DispatchGroup *group, DispatchChannel *channel)
{
	View view = {.group = group, .channel = channel};
	const DispatchSettings *settings = channel->settings;

	view.settings = (struct notify_channel){.send_resolved = settings->send_resolved,
											.escalation = group->escalated,
											.sent_at = channel->sent_at,
											.repeats = channel->repeats};
	if (group->escalated) {
		if (group->escalation != NULL && group->escalation->repeat_us > 0) {
			view.settings.repeat_us = &group->escalation->repeat_us;
			view.settings.n_repeat = 1;
		}
	} else if (group->route != NULL) {
		view.settings.repeat_us = group->route->repeat_us;
		view.settings.n_repeat = group->route->n_repeat;
	}
	view.alert = palloc(Max(group->n_members, 1) * sizeof(struct notify_alert));
	view.member = palloc(Max(group->n_members, 1) * sizeof(int));
	for (int i = 0; i < group->n_members; i++) {
		const DispatchMember *m = &group->members[i];
		DispatchTold *told = &channel->told[i];
		bool mine = is_told_to(m, channel);

		if (m->alert == NULL || (!mine && told->state != TOLD_FIRING))
			continue;
		view.settings.told_anything |= told->state == TOLD_FIRING;
		if (is_withheld(m, told, settings)) {
			view.withheld++;
			continue;
		}
		view.member[view.n] = i;
		view.alert[view.n++] = picture_of(group, m, told, mine);
	}
	return view;
}

/* Whether the incident that was over goes on: one of its alerts has fired again so soon that it is the same episode. */
static bool
reopens(const View *view)
{
	for (int i = 0; i < view->n; i++) {
		const ObservAlert *alert = view->group->members[view->member[i]].alert;

		if (view->alert[i].mark == MARK_NEW && alert->reopened > 0 &&
			alert->starts_at <= view->channel->sent_at)
			return true;
	}
	return false;
}

static void
count(View *view, bool sent)
{
	for (int i = 0; i < view->n; i++) {
		const struct notify_alert *a = &view->alert[i];

		if (sent ? a->mark == MARK_RESOLVED : !a->firing && a->told == TOLD_FIRING)
			view->resolved++;
		else if (a->firing && (sent ? a->mark != MARK_NONE || a->told == TOLD_FIRING : true)) {
			view->firing++;
			view->muted += a->suppressed;
		}
	}
}

/* Of an alert in the notification that was just made. */
static int
since_seq(const DispatchChannel *channel, const DispatchTold *told)
{
	return told->state == TOLD_FIRING ? told->since_seq : channel->seq;
}

/* What the channel knows after it was told. */
static void
remember(const View *view, enum notify_reason reason)
{
	for (int i = 0; i < view->n; i++) {
		const DispatchMember *m = &view->group->members[view->member[i]];
		DispatchTold *told = &view->channel->told[view->member[i]], now = *told;
		enum mark mark = view->alert[i].mark;

		if (mark == MARK_NEW || mark == MARK_STILL)
			now = (DispatchTold){TOLD_FIRING, m->flapping, m->alert->acknowledged,
								 .since_seq = since_seq(view->channel, told)};
		else if (!m->firing && told->state == TOLD_FIRING)
			/* Also of a channel that does not want to know: what fires then is a first notification. */
			now = (DispatchTold){TOLD_RESOLVED, .since_seq = told->since_seq};
		if (now.state == told->state && now.flapping == told->flapping &&
			now.acknowledged == told->acknowledged)
			continue;
		now.changed = true;
		*told = now;
	}
	if (reason != NOTIFY_NOT)
		view->channel->reason = notify_reason_names[reason];
}

/* Puts a notification into the outbox; returns its number. */
static int
notify(View *view, enum notify_reason reason, DispatchWrites *writes)
{
	DispatchChannel *channel = view->channel;
	DispatchNote note = {.group = view->group, .channel = channel, .reason = reason};
	NotificationItem *items = palloc(Max(view->n, 1) * sizeof *items);
	NotificationCounts counts = {.firing = view->firing, .muted = view->muted, .resolved = view->resolved};
	int n = 0, listed, number;

	channel->seq++;
	/* By the number of its first notification, which is never used again. */
	if (!view->settings.told_anything && !reopens(view))
		channel->incident = channel->seq;
	channel->repeats = reason == NOTIFY_REPEAT ? channel->repeats + 1 : 0;
	channel->sent_at = view->group->at;
	for (int i = 0; i < view->n; i++) {
		const ObservAlert *alert = view->group->members[view->member[i]].alert;

		if (view->alert[i].mark == MARK_NONE)
			continue;
		items[n++] = (NotificationItem){alert, view->alert[i].mark,
										since_seq(channel, &channel->told[view->member[i]])};
		counts.fresh += view->alert[i].mark == MARK_NEW;
		note.severity = Max(note.severity, alert->severity);
	}
	listed = observ_notification_order(items, n);
	note.firing = counts.firing;
	note.resolved = counts.resolved;
	note.title = observ_notification_title(reason, &counts, view->group->labels,
										   view->group->route == NULL ? NULL : view->group->route->name);
	number = observ_write_note(writes, &note);
	for (int i = 0; i < listed; i++)
		observ_write_listed(writes, number, i, items[i].alert->alert_id, items[i].mark, items[i].since_seq);
	return number;
}

/* ---- why */

static void
put_suppressed(StringInfo json, const DispatchMember *m)
{
	appendStringInfo(json, "%s\"" INT64_FORMAT "\":{\"by\":", json->len == 0 ? "{" : ",", m->alert_id);
	if (m->suppressed == NULL)
		appendStringInfo(json, "\"%s\"}",
						 m->alert->acknowledged ? "acknowledged"
						 : m->flapping          ? "flapping"
												: "route");
	else {
		appendStringInfo(json, "\"%s\"", m->suppressed);
		if (m->suppression.by != SUPPRESSED_NOT)
			appendStringInfo(json, ",\"id\":" INT64_FORMAT, m->suppression.id);
		if (m->suppression.rule != NULL) {
			appendStringInfoString(json, ",\"rule\":");
			escape_json(json, m->suppression.rule);
		}
		appendStringInfoChar(json, '}');
	}
}

/* The alerts that fire and are left out or keep quiet, and by what; NULL: there are none. */
static char *
suppressed_json(const View *view)
{
	StringInfoData json;
	int n = 0;

	initStringInfo(&json);
	for (int i = 0; i < view->n; i++) {
		const struct notify_alert *a = &view->alert[i];

		if (a->firing && (a->suppressed || a->keeps_quiet) && n++ < MAX_SUPPRESSED)
			put_suppressed(&json, &view->group->members[view->member[i]]);
	}
	if (n == 0)
		return NULL;
	if (n > MAX_SUPPRESSED)
		appendStringInfo(&json, ",\"more\":%d", n - MAX_SUPPRESSED);
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* What would be told if nothing was suppressed. */
static enum notify_reason
reason_without_suppression(const View *view)
{
	struct notify_alert *copy = palloc(Max(view->n, 1) * sizeof *copy);
	bool any = false;

	for (int i = 0; i < view->n; i++) {
		copy[i] = view->alert[i];
		any |= copy[i].suppressed;
		copy[i].suppressed = copy[i].was_suppressed = false;
	}
	return any ? notify_decide(&view->settings, copy, view->n, view->group->at) : NOTIFY_NOT;
}

/* Why nothing is told. */
static DispatchDecision
explain(const View *view)
{
	int firing = 0, quiet = 0, ended = 0, known = 0;
	enum notify_reason otherwise = reason_without_suppression(view);

	for (int i = 0; i < view->n; i++) {
		const struct notify_alert *a = &view->alert[i];

		firing += a->firing;
		quiet += a->firing && a->keeps_quiet;
		ended += !a->firing && a->told == TOLD_FIRING;
		known += !a->firing && a->told == TOLD_RESOLVED;
	}
	if (otherwise != NOTIFY_NOT)
		return (DispatchDecision){"suppressed", psprintf("kept back: %s", notify_reason_names[otherwise])};
	if (ended > 0)
		return (DispatchDecision){"nothing_new", "over, which the channel does not want to know"};
	if (view->withheld > 0 && firing == 0)
		return (DispatchDecision){"suppressed", "over, which the channel is told when the silence ends"};
	if (firing == 0)
		return (DispatchDecision){"nothing_new",
								  known > 0 ? "over, and the channel knows" : "over before it was told"};
	if (quiet == firing)
		return (DispatchDecision){"nothing_new", "what fires is acknowledged, flapping or told elsewhere"};
	return (DispatchDecision){"nothing_new", "nothing new, the repeat interval has not passed"};
}

/* Keeps the reason (C16). The same again goes on in the row that is there. */
static void
record(const DispatchGroup *group, DispatchChannel *channel, const DispatchDecision *decision,
	   DispatchWrites *writes)
{
	bool sent = decision->note > 0;
	TimestampTz since = DT_NOBEGIN;
	uint64_t h = hash_string(hash_string(HASH_SEED, decision->decision), decision->reason);
	int counts[] = {decision->firing, decision->resolved};
	int64 hash;

	h = hash_span(h, counts, sizeof counts);
	h = hash_string(h, decision->suppressed == NULL ? "" : decision->suppressed);
	h = hash_string(h, group->route == NULL ? "" : group->route->name);
	hash = (int64) hash_finish(h);
	if (!sent && channel->decided_at != DT_NOBEGIN && channel->decision == hash &&
		group->at - channel->decided_at < LONGEST_DECISION)
		since = channel->decided_at;
	else {
		channel->decision = hash;
		channel->decided_at = sent ? DT_NOBEGIN : group->at;
		observ_write_channel(writes, group, channel);
	}
	observ_write_decision(writes, group, channel->settings->name, decision, since);
}

static void
decide_channel(DispatchGroup *group, DispatchChannel *channel, DispatchWrites *writes)
{
	View view = view_of(group, channel);
	DispatchDecision decision;
	enum notify_reason reason;

	if (view.n == 0 && view.withheld == 0 && channel->settings->name[0] != '\0')
		return;
	if (channel->settings->name[0] == '\0') {
		decision = (DispatchDecision){"no_channel", "neither route nor rule names a channel"};
		for (int i = 0; i < group->n_members; i++)
			view.firing += group->members[i].firing;
	} else if (!channel->settings->enabled) {
		/* What it knows stays as it is: when it is enabled again it is told the end of it. */
		count(&view, false);
		decision = (DispatchDecision){"no_channel", "the channel is disabled"};
	} else {
		reason = notify_decide(&view.settings, view.alert, view.n, group->at);
		count(&view, reason != NOTIFY_NOT);
		if (reason != NOTIFY_NOT)
			decision = (DispatchDecision){"sent", notify_reason_names[reason], notify(&view, reason, writes)};
		else
			decision = explain(&view);
		remember(&view, reason);
	}
	decision.firing = view.firing;
	decision.resolved = view.resolved;
	decision.suppressed = suppressed_json(&view);
	record(group, channel, &decision, writes);
}

/* An alert stays in the group as long as it is trouble that goes here, or somebody who was told doesn't know that it is over. */
static bool
stays(const DispatchGroup *group, int member)
{
	const DispatchMember *m = &group->members[member];

	if (m->alert == NULL)
		return false;
	if (m->firing && !m->departed)
		return true;
	for (int c = 0; c < group->n_channels; c++)
		if (group->channels[c].told[member].state == TOLD_FIRING)
			return true;
	return false;
}

static void
write_told(const DispatchGroup *group, int member, DispatchWrites *writes)
{
	for (int c = 0; c < group->n_channels; c++) {
		const DispatchChannel *channel = &group->channels[c];

		if (channel->told[member].changed)
			observ_write_told(writes, group, channel, group->members[member].alert_id, &channel->told[member],
							  channel->reason);
	}
}

/* What suppresses it is noted when it is something else than before. Held back after it was suppressed for good it counts as suppressed (C4). */
static void
write_member(const DispatchGroup *group, const DispatchMember *m, DispatchWrites *writes)
{
	const char *before = m->was_suppressed == NULL ? "" : m->was_suppressed;
	const char *now = m->firing && m->suppressed != NULL ? m->suppressed : "";

	if (m->suppression.by == SUPPRESSED_HELD && was_kept_back(m))
		now = before;
	if (strcmp(before, now) != 0)
		observ_write_member(writes, group, m->alert_id, now);
}

void
observ_decide_group(Dispatch *dispatch, DispatchGroup *group, DispatchWrites *writes)
{
	bool open = false;

	for (int c = 0; c < group->n_channels; c++)
		decide_channel(group, &group->channels[c], writes);
	for (int i = 0; i < group->n_members; i++) {
		if (stays(group, i)) {
			write_told(group, i, writes);
			write_member(group, &group->members[i], writes);
			open = true;
		} else
			observ_write_closed(writes, group, group->members[i].alert_id);
	}
	observ_write_group(writes, group, open);
}
