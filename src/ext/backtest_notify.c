/*
 * Notifications of a backtest: groups, their timers and what each channel knows, in memory. Where alerts go and what is told is decided by the same code
 * as in observ.dispatch_notifications().
 * What does not belong here: episodes (backtest.c), routes (routes.c), the decision (core/notify_decision.c).
 *
 * Nothing is suppressed: silences, inhibition and time intervals of routes depend on what else was going on. Nobody acknowledges anything.
 */
#include "postgres.h"

#include "ext/backtest.h"
#include "ext/dispatch.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* As dispatch has it for routes that say nothing. */
#define DEFAULT_GROUP_INTERVAL (5 * USECS_PER_MINUTE)

typedef struct Channel {
	const char *name;
	bool send_resolved;
	TimestampTz sent_at;
	int repeats;
} Channel;

/* What a channel knows of an alert. */
typedef struct Told {
	enum told_state state;
	bool flapping;
} Told;

typedef struct Member {
	const ObservEpisode *episode;
	bool firing, flapping;
	Told *told; /* by channel */
} Member;

typedef struct NotifyGroup {
	const ObservRoute *route;
	StringInfoData pairs;
	Jsonb *labels;
	TimestampTz next; /* flush */
	List *members;
	Channel *channels;
	int n_channels;
} NotifyGroup;

typedef struct Notifying {
	ObservRoutes *routes;
	const ObservNames *channels;
	struct slice *values;
	List *groups;
	List *notes;
	List *disabled; /* names of channels that nobody is told through … */
	List *taciturn; /* … that don't want to know of ends */
} Notifying;

/* ---- channels */

static bool
is_in(List *names, const char *name)
{
	ListCell *cell;

	foreach (cell, names)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

static void
read_channels(Notifying *notifying)
{
	static SPIPlanPtr plan = NULL;
	uint64 n = observ_spi_read(
		&plan,
		"SELECT name, enabled FROM observ.notification_channels WHERE NOT enabled OR NOT send_resolved", 0,
		NULL, NULL, NULL);

	for (uint64 row = 0; row < n; row++) {
		bool isnull;
		char *name = TextDatumGetCString(observ_spi_value(row, 1, &isnull));

		if (DatumGetBool(observ_spi_value(row, 2, &isnull)))
			notifying->taciturn = lappend(notifying->taciturn, name);
		else
			notifying->disabled = lappend(notifying->disabled, name);
	}
}

static void
add_channels(Notifying *notifying, NotifyGroup *group)
{
	const ObservNames *names = notifying->channels->n >= 0 ? notifying->channels : &group->route->channels;

	group->channels = palloc0(sizeof(Channel) * Max(names->n, 1));
	for (int i = 0; i < names->n; i++)
		if (!is_in(notifying->disabled, names->name[i]))
			group->channels[group->n_channels++] =
				(Channel){.name = names->name[i],
						  .send_resolved = !is_in(notifying->taciturn, names->name[i]),
						  .sent_at = DT_NOBEGIN};
}

/* ---- groups */

static NotifyGroup *
group_of(Notifying *notifying, const ObservRoute *route, const ObservEpisode *episode, TimestampTz at)
{
	StringInfoData pairs;
	NotifyGroup *group;
	ListCell *cell;
	Jsonb *labels;

	initStringInfo(&pairs);
	labels = observ_group_labels(route, episode->labels, &pairs);
	foreach (cell, notifying->groups) {
		group = lfirst(cell);
		if (group->route == route && group->pairs.len == pairs.len &&
			memcmp(group->pairs.data, pairs.data, pairs.len) == 0)
			return group;
	}
	group = palloc0(sizeof(NotifyGroup));
	group->route = route;
	group->pairs = pairs;
	group->labels = labels;
	group->next = at + route->group_wait_us;
	add_channels(notifying, group);
	notifying->groups = lappend(notifying->groups, group);
	return group;
}

static Member *
member_of(NotifyGroup *group, const ObservEpisode *episode)
{
	ListCell *cell;

	foreach (cell, group->members)
		if (((Member *) lfirst(cell))->episode == episode)
			return lfirst(cell);
	return NULL;
}

static struct slice
label_of(void *arg, struct slice name)
{
	return observ_alert_label_in(arg, name);
}

/* An alert fires: it goes to its groups. */
static void
join_groups(Notifying *notifying, const ObservBacktestEvent *event)
{
	ListCell *cell;

	observ_route_values(notifying->routes, label_of, event->episode->labels, notifying->values);
	foreach (cell, observ_find_routes(notifying->routes, notifying->values)) {
		const ObservRoute *route = &notifying->routes->route[lfirst_int(cell)];
		NotifyGroup *group = group_of(notifying, route, event->episode, event->at);
		Member *member = member_of(group, event->episode);

		if (member == NULL) {
			member = palloc0(sizeof(Member));
			member->episode = event->episode;
			member->told = palloc0(sizeof(Told) * Max(group->n_channels, 1));
			group->members = lappend(group->members, member);
		}
		member->firing = true;
	}
}

static void
take_event(Notifying *notifying, const ObservBacktestEvent *event)
{
	ListCell *cell;

	if (event->event == ALERT_EVENT_FIRING || event->event == ALERT_EVENT_REOPENED)
		join_groups(notifying, event);
	foreach (cell, notifying->groups) {
		Member *member = member_of(lfirst(cell), event->episode);

		if (member == NULL)
			continue;
		if (event->event == ALERT_EVENT_RESOLVED)
			member->firing = false;
		else if (event->event == ALERT_EVENT_FLAPPING)
			member->flapping = true;
		else if (event->event == ALERT_EVENT_STEADY)
			member->flapping = false;
	}
}

/* ---- flushes */

static struct notify_alert
picture_of(const Member *member, const Told *told)
{
	struct notify_alert a = {
		.firing = member->firing || member->flapping, .keeps_quiet = member->flapping, .told = told->state};
	bool known = told->state == TOLD_FIRING;

	if (member->flapping && !(known && told->flapping))
		a.news = NEWS_FLAPPING;
	else if (known && told->flapping && !member->flapping)
		a.news = NEWS_STEADY;
	return a;
}

static void
remember(NotifyGroup *group, int channel, const struct notify_alert *alerts)
{
	for (int i = 0; i < list_length(group->members); i++) {
		const Member *member = list_nth(group->members, i);
		Told *told = &member->told[channel];

		if (alerts[i].mark == MARK_NEW || alerts[i].mark == MARK_STILL)
			*told = (Told){TOLD_FIRING, member->flapping};
		else if (!alerts[i].firing && told->state == TOLD_FIRING)
			*told = (Told){TOLD_RESOLVED};
	}
}

static void
note(Notifying *notifying, const NotifyGroup *group, Channel *channel, enum notify_reason reason,
	 const struct notify_alert *alerts)
{
	ObservBacktestNote *made = palloc0(sizeof(ObservBacktestNote));

	*made = (ObservBacktestNote){.at = group->next,
								 .channel = channel->name,
								 .route = group->route->name,
								 .reason = notify_reason_names[reason],
								 .labels = group->labels};
	for (int i = 0; i < list_length(group->members); i++) {
		made->resolved += alerts[i].mark == MARK_RESOLVED;
		made->firing += alerts[i].firing && (alerts[i].mark != MARK_NONE || alerts[i].told == TOLD_FIRING);
	}
	channel->sent_at = group->next;
	channel->repeats = reason == NOTIFY_REPEAT ? channel->repeats + 1 : 0;
	notifying->notes = lappend(notifying->notes, made);
}

static void
tell_channel(Notifying *notifying, NotifyGroup *group, int number)
{
	Channel *channel = &group->channels[number];
	struct notify_channel settings = {.send_resolved = channel->send_resolved,
									  .sent_at = channel->sent_at,
									  .repeats = channel->repeats,
									  .repeat_us = group->route->repeat_us,
									  .n_repeat = group->route->n_repeat};
	int n = list_length(group->members);
	struct notify_alert *alerts = palloc(sizeof(struct notify_alert) * Max(n, 1));
	enum notify_reason reason;

	for (int i = 0; i < n; i++) {
		const Member *member = list_nth(group->members, i);

		alerts[i] = picture_of(member, &member->told[number]);
		settings.told_anything |= alerts[i].told == TOLD_FIRING;
	}
	reason = notify_decide(&settings, alerts, n, group->next);
	if (reason != NOTIFY_NOT)
		note(notifying, group, channel, reason, alerts);
	remember(group, number, alerts);
	pfree(alerts);
}

static bool
stays(const NotifyGroup *group, const Member *member)
{
	for (int i = 0; i < group->n_channels; i++)
		if (member->told[i].state == TOLD_FIRING)
			return true;
	return member->firing || member->flapping;
}

/* One flush; the group is gone when everybody knows that all is over. */
static void
flush(Notifying *notifying, NotifyGroup *group)
{
	int64 every =
		group->route->group_interval_us > 0 ? group->route->group_interval_us : DEFAULT_GROUP_INTERVAL;
	ListCell *cell;

	for (int i = 0; i < group->n_channels; i++)
		tell_channel(notifying, group, i);
	foreach (cell, group->members)
		if (!stays(group, lfirst(cell)))
			group->members = foreach_delete_current(group->members, cell);
	group->next += every;
	if (group->members == NIL)
		notifying->groups = list_delete_ptr(notifying->groups, group);
}

/* The flushes before a time, or at it, in their order. */
static void
flush_until(Notifying *notifying, TimestampTz until, bool inclusive)
{
	for (;;) {
		NotifyGroup *due = NULL;
		ListCell *cell;

		CHECK_FOR_INTERRUPTS();
		foreach (cell, notifying->groups) {
			NotifyGroup *group = lfirst(cell);

			if (due == NULL || group->next < due->next)
				due = group;
		}
		if (due == NULL || due->next > until || (due->next == until && !inclusive))
			return;
		flush(notifying, due);
	}
}

List *
observ_backtest_notes(const ObservBacktestEvent *events, int n, const ObservNames *channels,
					  TimestampTz until)
{
	MemoryContext context = CurrentMemoryContext;
	Notifying notifying = {.routes = observ_load_routes(), .channels = channels};

	MemoryContextSwitchTo(context);
	read_channels(&notifying);
	MemoryContextSwitchTo(context);
	notifying.values = palloc(sizeof(struct slice) * Max(notifying.routes->names.n, 1));
	for (int i = 0; i < n; i++) {
		flush_until(&notifying, events[i].at, false);
		take_event(&notifying, &events[i]);
	}
	flush_until(&notifying, until, true);
	return notifying.notes;
}
