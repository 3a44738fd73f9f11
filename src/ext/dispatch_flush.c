/*
 * Groups whose time has come: their timers, and what is read about them. What does not belong here: the decision per channel
 * (dispatch_decide.c), what is written (dispatch_write.c).
 *
 * Times of flushes are a grid: first group_wait after the group began, then each group_interval. A flush counts for its time on the grid although
 * the call came a little later (C5); of flushes that were missed only the latest is made up for.
 */
#include "postgres.h"

#include "ext/dispatch.h"

#include "catalog/pg_type.h"
#include "ext/dispatch_write.h"
#include "ext/row_batch.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Groups that are read, decided and written together. */
#define CHUNK_GROUPS 500
/* Of a group whose route is gone and that has no root either. */
#define TEST_INTERVAL          (10 * USECS_PER_SEC)
#define DEFAULT_GROUP_INTERVAL (5 * USECS_PER_MINUTE)

/* Locked in order: nobody else locks them, but whoever does in this order can't be in a deadlock with us. */
static const char due_sql[] =
	"SELECT group_key, route_id, labels, next_flush_at, escalation_id FROM observ_data.alert_groups "
	"WHERE next_flush_at <= $1 OR group_key = ANY ($2) ORDER BY group_key FOR UPDATE";

/* Alerts that wait for another one, which may have happened. */
static const char held_sql[] =
	"SELECT group_key, alert_id FROM observ_data.group_members WHERE suppressed IN ('hold', 'grace') "
	"ORDER BY alert_id, group_key";
#define HELD_ALERTS                                                                                          \
	"a.alert_id IN (SELECT m.alert_id FROM observ_data.group_members m WHERE m.suppressed IN ('hold', "      \
	"'grace')) AND a.status IN ('firing', 'recovering')"

static const char members_sql[] =
	"SELECT group_key, alert_id, departed, suppressed, due_at IS NOT NULL FROM observ_data.group_members "
	"WHERE group_key = ANY ($1) ORDER BY group_key, alert_id";
static const char told_sql[] = "SELECT group_key, channel, alert_id, state = 'firing', flapping, "
							   "acknowledged, since_seq FROM observ_data.told "
							   "WHERE group_key = ANY ($1) ORDER BY group_key, alert_id";
static const char channels_sql[] =
	"SELECT group_key, channel, seq, incident, repeats, sent_at, decision, decided_at "
	"FROM observ_data.group_channels WHERE group_key = ANY ($1) ORDER BY group_key, channel";

/* ---- what holds for all groups */

static void
read_settings(Dispatch *d)
{
	d->n_settings = (int) observ_spi(
		SPI_OK_SELECT,
		"SELECT name, enabled, send_resolved, resolved_during_silence FROM observ.notification_channels", 0,
		NULL, NULL, NULL);
	d->settings = palloc0(Max(d->n_settings, 1) * sizeof(DispatchSettings));
	for (int i = 0; i < d->n_settings; i++)
		d->settings[i] = (DispatchSettings){observ_spi_text(i, 1), observ_spi_boolean(i, 2),
											observ_spi_boolean(i, 3), observ_spi_boolean(i, 4)};
}

static void
read_rules(Dispatch *d)
{
	d->n_rules = (int) observ_spi(SPI_OK_SELECT,
								  "SELECT rule_id, notification_channels FROM observ.alert_rules "
								  "WHERE notification_channels IS NOT NULL ORDER BY rule_id",
								  0, NULL, NULL, NULL);
	d->rules = palloc0(Max(d->n_rules, 1) * sizeof(DispatchRule));
	for (int i = 0; i < d->n_rules; i++)
		d->rules[i] = (DispatchRule){observ_spi_int64(i, 1), observ_route_names((uint64) i, 2)};
}

static bool
is_among(const char *name, const ObservNames *names)
{
	for (int i = 0; i < names->n; i++)
		if (strcmp(names->name[i], name) == 0)
			return true;
	return false;
}

/* Why the time intervals of a route keep everybody from being told; NULL: they don't. Names that nobody knows any more restrict nothing. */
static const char *
interval_of(Dispatch *d, const ObservRoute *route, const ObservNames *known)
{
	bool restricted = false, active = false;

	for (int i = 0; i < route->mute.n; i++)
		if (is_among(route->mute.name[i], known) &&
			observ_in_time_interval(d->suppressions, route->mute.name[i]))
			return route->mute.name[i];
	for (int i = 0; i < route->active.n; i++)
		if (is_among(route->active.name[i], known)) {
			restricted = true;
			active = active || observ_in_time_interval(d->suppressions, route->active.name[i]);
		}
	return restricted && !active ? psprintf("outside of %s", route->active.name[0]) : NULL;
}

static void
read_intervals(Dispatch *d)
{
	ObservNames known = {0};

	d->interval = palloc0(d->routes->n * sizeof(char *));
	known.n = (int) observ_spi(SPI_OK_SELECT, "SELECT name FROM observ.time_intervals", 0, NULL, NULL, NULL);
	known.name = palloc(Max(known.n, 1) * sizeof(char *));
	for (int i = 0; i < known.n; i++)
		known.name[i] = observ_spi_text((uint64) i, 1);
	for (int i = 0; i < d->routes->n; i++)
		d->interval[i] = interval_of(d, &d->routes->route[i], &known);
}

void
observ_read_circumstances(Dispatch *d)
{
	if (d->suppressions != NULL)
		return;
	d->suppressions = observ_load_suppressions(d->at);
	read_settings(d);
	read_rules(d);
	read_intervals(d);
}

/* ---- due groups */

/*
 * Groups with alerts that were held back by what has not come to be, or is over and confirmed (C12, C13), and those of steps that are due: they
 * don't wait for their time.
 */
static Datum
released_groups(Dispatch *d)
{
	int n = (int) observ_spi(SPI_OK_SELECT, held_sql, 0, NULL, NULL, NULL), n_alerts, n_keys = 0, a = 0;
	SPITupleTable *held = SPI_tuptable;
	Datum *keys = palloc((n + list_length(d->released)) * sizeof(Datum) + 1);
	ObservAlert *alerts;
	ListCell *cell;

	foreach (cell, d->released)
		keys[n_keys++] = CStringGetTextDatum(lfirst(cell));
	if (n == 0)
		return observ_array(keys, n_keys, TEXTOID);
	observ_read_circumstances(d);
	alerts = observ_load_alerts(d->at, HELD_ALERTS, 0, NULL, NULL, &n_alerts);
	for (int i = 0; i < n; i++) {
		bool isnull;
		int64 alert_id = DatumGetInt64(SPI_getbinval(held->vals[i], held->tupdesc, 2, &isnull));

		while (a < n_alerts && alerts[a].alert_id < alert_id)
			a++;
		if (a < n_alerts && alerts[a].alert_id == alert_id &&
			observ_suppression_of(d->suppressions, &alerts[a]).by == SUPPRESSED_NOT)
			keys[n_keys++] = SPI_getbinval(held->vals[i], held->tupdesc, 1, &isnull);
	}
	return observ_array(keys, n_keys, TEXTOID);
}

static void
set_times(const Dispatch *d, DispatchGroup *group, TimestampTz due)
{
	int64 every =
		group->route != NULL ? group->route->group_interval_us : d->routes->route[0].group_interval_us;

	if (every <= 0)
		every = DEFAULT_GROUP_INTERVAL;
	if (group->escalation != NULL && group->escalation->repeat_us > 0)
		every = Min(every, group->escalation->repeat_us);
	/* Its end is told soon: somebody sits there and waits. */
	if (observ_is_test(group->labels))
		every = Min(every, TEST_INTERVAL);
	group->at = due > d->at ? d->at : due + (d->at - due) / every * every;
	group->next = group->at + every;
}

static DispatchGroup *
due_groups(Dispatch *d, int *n)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID};
	Datum values[] = {TimestampTzGetDatum(d->at), released_groups(d)};
	DispatchGroup *groups;

	*n = (int) observ_spi(SPI_OK_SELECT, due_sql, 2, types, values, NULL);
	groups = palloc0(Max(*n, 1) * sizeof(DispatchGroup));
	for (int i = 0; i < *n; i++) {
		bool isnull;
		int route = observ_route_by_id(d->routes, observ_spi_int64(i, 2));

		groups[i].key = observ_spi_text(i, 1);
		groups[i].route = route < 0 ? NULL : &d->routes->route[route];
		groups[i].labels = DatumGetJsonbPCopy(observ_spi_value(i, 3, &isnull));
		(void) observ_spi_value(i, 5, &isnull);
		groups[i].escalated = !isnull;
		if (groups[i].escalated)
			groups[i].escalation = observ_escalation_by_id(d->escalations, observ_spi_int64(i, 5));
		set_times(d, &groups[i], observ_spi_time(i, 4));
	}
	SPI_freetuptable(SPI_tuptable);
	return groups;
}

/* ---- what is read about them */

typedef struct Chunk {
	Dispatch *dispatch;
	DispatchGroup *groups;
	int n;
	Datum keys;
} Chunk;

/* Moves on to the group of that key: rows come in the same order. */
static DispatchGroup *
group_of(const Chunk *chunk, const char *key, int *at)
{
	while (*at < chunk->n && strcmp(chunk->groups[*at].key, key) < 0)
		(*at)++;
	Assert(*at < chunk->n);
	return &chunk->groups[*at];
}

static const ObservNames *
channels_of(const Dispatch *d, const DispatchGroup *group, const DispatchMember *m)
{
	static const ObservNames nobody = {0};
	const ObservAlert *alert = m->alert;
	int low = 0, high = d->n_rules;

	if (group->escalated)
		return m->due && group->escalation != NULL ? &group->escalation->channels : &nobody;
	while (alert != NULL && low < high) {
		int middle = (low + high) / 2;

		if (d->rules[middle].rule_id == alert->rule_id)
			return &d->rules[middle].channels;
		if (d->rules[middle].rule_id < alert->rule_id)
			low = middle + 1;
		else
			high = middle;
	}
	return group->route == NULL ? &nobody : &group->route->channels;
}

static const ObservAlert *
alert_by_id(const ObservAlert *alerts, int n, int64 alert_id)
{
	int low = 0, high = n;

	while (low < high) {
		int middle = (low + high) / 2;

		if (alerts[middle].alert_id < alert_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && alerts[low].alert_id == alert_id ? &alerts[low] : NULL;
}

/*
 * What flaps is trouble until it is steady, also while it is resolved and may be reopened; whatever happens to the rule, it is not longer than
 * that.
 */
static bool
flaps(TimestampTz at, const ObservAlert *alert)
{
	if (!alert->flapping)
		return false;
	return alert->status != ALERT_RESOLVED ||
		   (at - alert->ends_at < alert->reopen_us && alert->resolved_reason != NULL &&
			strcmp(alert->resolved_reason, "cleared") == 0);
}

bool
observ_is_trouble(TimestampTz at, const ObservAlert *alert)
{
	return flaps(at, alert) || alert->status == ALERT_FIRING || alert->status == ALERT_RECOVERING;
}

static void
set_member(Dispatch *d, DispatchGroup *group, DispatchMember *m)
{
	const ObservAlert *alert = m->alert;
	int route = group->route == NULL ? -1 : (int) (group->route - d->routes->route);

	m->channels = channels_of(d, group, m);
	if (alert == NULL)
		return;
	m->flapping = flaps(d->at, alert);
	m->firing = observ_is_trouble(d->at, alert);
	m->suppression = observ_suppression_of(d->suppressions, alert);
	m->suppressed = observ_suppressed_names[m->suppression.by];
	if (m->suppressed == NULL && route >= 0 && d->interval[route] != NULL) {
		m->suppressed = "mute_time_interval";
		m->suppression.rule = d->interval[route];
	}
}

/* By their numbers: the memberships were written a moment ago, and are not in the snapshot that alerts are read in. */
static void
read_alerts(Chunk *chunk, DispatchMember *members, int n)
{
	static const Oid types[] = {INT8ARRAYOID};
	Datum *ids = palloc_extended(Max(n, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	Datum values[1];
	int n_alerts;
	ObservAlert *alerts;

	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(members[i].alert_id);
	values[0] = observ_array(ids, n, INT8OID);
	alerts = observ_load_alerts(chunk->dispatch->at, "a.alert_id = ANY ($1)", 1, types, values, &n_alerts);
	for (int g = 0; g < chunk->n; g++)
		for (int i = 0; i < chunk->groups[g].n_members; i++) {
			DispatchMember *m = &chunk->groups[g].members[i];

			m->alert = alert_by_id(alerts, n_alerts, m->alert_id);
			set_member(chunk->dispatch, &chunk->groups[g], m);
		}
}

static void
read_members(Chunk *chunk)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TEXTARRAYOID};
	int at = 0, n = (int) observ_spi_kept(&plan, SPI_OK_SELECT, members_sql, 1, types, &chunk->keys, NULL);
	DispatchMember *members =
		palloc_extended(Max(n, 1) * sizeof(DispatchMember), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int i = 0; i < n; i++) {
		DispatchGroup *group = group_of(chunk, observ_spi_text(i, 1), &at);
		DispatchMember *m = &members[i];

		if (group->n_members++ == 0)
			group->members = m;
		m->alert_id = observ_spi_int64(i, 2);
		m->departed = observ_spi_boolean(i, 3);
		m->was_suppressed = observ_spi_text(i, 4);
		m->due = observ_spi_boolean(i, 5);
	}
	SPI_freetuptable(SPI_tuptable);
	read_alerts(chunk, members, n);
}

static const DispatchSettings *
settings_of(Dispatch *d, const char *name)
{
	DispatchSettings *made;

	for (int i = 0; i < d->n_settings; i++)
		if (strcmp(d->settings[i].name, name) == 0)
			return &d->settings[i];
	made = palloc(sizeof *made);
	*made = (DispatchSettings){pstrdup(name), .enabled = true, .send_resolved = true,
							   .resolved_during_silence = true};
	return made;
}

static DispatchChannel *
channel_of(Dispatch *d, DispatchGroup *group, const char *name, bool create)
{
	DispatchChannel *channel;

	for (int i = 0; i < group->n_channels; i++)
		if (strcmp(group->channels[i].settings->name, name) == 0)
			return &group->channels[i];
	if (!create)
		return NULL;
	group->channels = group->channels == NULL
						  ? palloc(sizeof(DispatchChannel))
						  : repalloc(group->channels, (group->n_channels + 1) * sizeof(DispatchChannel));
	channel = &group->channels[group->n_channels++];
	*channel = (DispatchChannel){.settings = settings_of(d, name),
								 .incident = 1,
								 .sent_at = DT_NOBEGIN,
								 .decided_at = DT_NOBEGIN,
								 .told = palloc0(group->n_members * sizeof(DispatchTold))};
	return channel;
}

/* The channels that are to be told now. */
static void
add_channels(Chunk *chunk)
{
	for (int g = 0; g < chunk->n; g++) {
		DispatchGroup *group = &chunk->groups[g];
		const ObservNames *before = NULL;

		for (int i = 0; i < group->n_members; i++) {
			const DispatchMember *m = &group->members[i];

			if (m->channels == before || m->departed)
				continue;
			before = m->channels;
			for (int c = 0; c < before->n; c++)
				channel_of(chunk->dispatch, group, before->name[c], true);
		}
	}
}

/* What channels know; those that were told are concerned whatever routes and rules say now. */
static void
read_told(Chunk *chunk)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TEXTARRAYOID};
	int at = 0, m = 0;
	DispatchGroup *before = NULL;
	int n = (int) observ_spi_kept(&plan, SPI_OK_SELECT, told_sql, 1, types, &chunk->keys, NULL);

	for (int i = 0; i < n; i++) {
		DispatchGroup *group = group_of(chunk, observ_spi_text(i, 1), &at);
		int64 alert_id = observ_spi_int64(i, 3);
		DispatchTold *told;

		if (group != before)
			m = 0;
		before = group;
		while (m < group->n_members && group->members[m].alert_id < alert_id)
			m++;
		if (m == group->n_members || group->members[m].alert_id != alert_id)
			continue;
		told = &channel_of(chunk->dispatch, group, observ_spi_text(i, 2), true)->told[m];
		*told =
			(DispatchTold){observ_spi_boolean(i, 4) ? TOLD_FIRING : TOLD_RESOLVED, observ_spi_boolean(i, 5),
						   observ_spi_boolean(i, 6), .since_seq = observ_spi_int32(i, 7)};
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
read_channels(Chunk *chunk)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TEXTARRAYOID};
	int at = 0, n = (int) observ_spi_kept(&plan, SPI_OK_SELECT, channels_sql, 1, types, &chunk->keys, NULL);

	for (int i = 0; i < n; i++) {
		DispatchGroup *group = group_of(chunk, observ_spi_text(i, 1), &at);
		DispatchChannel *channel = channel_of(chunk->dispatch, group, observ_spi_text(i, 2), false);

		if (channel == NULL)
			continue;
		channel->known = true;
		channel->seq = observ_spi_int32(i, 3);
		channel->incident = observ_spi_int32(i, 4);
		channel->repeats = observ_spi_int32(i, 5);
		channel->sent_at = observ_spi_time(i, 6);
		channel->decision = observ_spi_int64(i, 7);
		channel->decided_at = observ_spi_time(i, 8);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Numbers of channels whose row is gone: a number is never used twice. */
static void
read_numbers(Chunk *chunk)
{
	static const Oid pair_types[] = {TEXTOID, TEXTOID};
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *pairs = observ_row_batch(pair_types, lengthof(pair_types));
	int at = 0;

	for (int g = 0; g < chunk->n; g++)
		for (int c = 0; c < chunk->groups[g].n_channels; c++)
			if (!chunk->groups[g].channels[c].known)
				observ_row_batch_add(
					pairs,
					(Datum[]){CStringGetTextDatum(chunk->groups[g].key),
							  CStringGetTextDatum(chunk->groups[g].channels[c].settings->name)},
					NULL);
	if (observ_row_batch_size(pairs) == 0)
		return;
	observ_row_batch_run(
		pairs, &plan, SPI_OK_SELECT,
		"SELECT p.group_key, p.channel, n.seq, n.\"timestamp\" FROM unnest($1, $2) p (group_key, channel), "
		"LATERAL (SELECT seq, \"timestamp\" FROM observ.notifications o WHERE o.channel = p.channel "
		"AND o.group_key = p.group_key AND o.seq > 0 ORDER BY seq DESC LIMIT 1) n ORDER BY p.group_key "
		"COLLATE \"C\"");
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++) {
		DispatchGroup *group = group_of(chunk, observ_spi_text(i, 1), &at);
		DispatchChannel *channel = channel_of(chunk->dispatch, group, observ_spi_text(i, 2), true);

		channel->seq = observ_spi_int32(i, 3);
		channel->sent_at = observ_spi_time(i, 4);
	}
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_channels(const void *a, const void *b)
{
	return strcmp(((const DispatchChannel *) a)->settings->name,
				  ((const DispatchChannel *) b)->settings->name);
}

static void
read_chunk(Chunk *chunk)
{
	Datum *keys = palloc(chunk->n * sizeof(Datum));

	for (int i = 0; i < chunk->n; i++)
		keys[i] = CStringGetTextDatum(chunk->groups[i].key);
	chunk->keys = observ_array(keys, chunk->n, TEXTOID);
	read_members(chunk);
	add_channels(chunk);
	read_told(chunk);
	/* Nobody: that is a decision, too, but for a step that is not due. */
	for (int g = 0; g < chunk->n; g++)
		if (chunk->groups[g].n_channels == 0 && chunk->groups[g].n_members > 0 && !chunk->groups[g].escalated)
			(void) channel_of(chunk->dispatch, &chunk->groups[g], "", true);
	read_channels(chunk);
	read_numbers(chunk);
	for (int g = 0; g < chunk->n; g++)
		if (chunk->groups[g].n_channels > 1)
			qsort(chunk->groups[g].channels, (size_t) chunk->groups[g].n_channels, sizeof(DispatchChannel),
				  compare_channels);
}

static void
flush_chunk(Chunk *chunk)
{
	DispatchWrites writes;
	int nest_level = observ_few_rows_begin();

	read_chunk(chunk);
	observ_few_rows_end(nest_level);
	observ_writes_begin(&writes);
	for (int i = 0; i < chunk->n; i++) {
		CHECK_FOR_INTERRUPTS();
		observ_decide_group(chunk->dispatch, &chunk->groups[i], &writes);
	}
	chunk->dispatch->notifications += observ_writes_finish(&writes);
	chunk->dispatch->flushed += chunk->n;
}

void
observ_flush_groups(Dispatch *dispatch)
{
	int n;
	DispatchGroup *groups = due_groups(dispatch, &n);
	MemoryContext context;

	if (n == 0)
		return;
	observ_read_circumstances(dispatch);
	context = AllocSetContextCreate(CurrentMemoryContext, "observ flush", ALLOCSET_DEFAULT_SIZES);
	for (int first = 0; first < n; first += CHUNK_GROUPS) {
		MemoryContext before = MemoryContextSwitchTo(context);
		Chunk chunk = {dispatch, groups + first, Min(CHUNK_GROUPS, n - first), (Datum) 0};

		flush_chunk(&chunk);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}
