/*
 * The open notifications of one channel and group: which one is sent, which give way to it. What does not belong here: reading and writing them
 * (outbox_claim.c), what the merged one says of which alert (core/outbox_merge.h).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "core/outbox_merge.h"
#include "ext/notification_text.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* Who waits longer than that says what is, not what was. */
#define STALE_US (30 * USECS_PER_SEC)

/* ---- alerts of a notification */

static bool
field(JsonbContainer *object, const char *name, JsonbValue *v)
{
	return getKeyJsonValueFromContainer(object, name, (int) strlen(name), v) != NULL;
}

static int64
integer_field(JsonbContainer *object, const char *name, int64 otherwise)
{
	JsonbValue v;

	if (!field(object, name, &v) || v.type != jbvNumeric)
		return otherwise;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(v.val.numeric)));
}

int64
observ_outbox_alert_id(JsonbContainer *alert)
{
	return integer_field(alert, "alert_id", 0);
}

static enum mark
mark_field(JsonbContainer *object)
{
	JsonbValue v;

	if (!field(object, "mark", &v) || v.type != jbvString)
		return MARK_NONE;
	for (int mark = MARK_NEW; mark <= MARK_RESOLVED; mark++) {
		const char *name = observ_mark_name((enum mark) mark);

		if (strlen(name) == (size_t) v.val.string.len &&
			memcmp(name, v.val.string.val, (size_t) v.val.string.len) == 0)
			return (enum mark) mark;
	}
	return MARK_NONE;
}

/* The alerts of several notifications. */
typedef struct Items {
	int n, room, n_notes;
	struct outbox_item *item;
	JsonbContainer **object; /* as they came: by `place` of an item */
	int hidden_resolved;     /* resolved ones that are counted but not listed */
} Items;

static void
add_item(Items *items, JsonbContainer *object, const OutboxRow *r)
{
	struct outbox_item item = {.alert_id = observ_outbox_alert_id(object),
							   .note = items->n_notes,
							   .place = items->n,
							   .mark = mark_field(object)};

	item.since_seq = (int) integer_field(object, "since_seq", item.mark == MARK_NEW ? r->source.seq : 0);
	if (items->n == items->room) {
		items->room *= 2;
		items->item = repalloc(items->item, sizeof *items->item * items->room);
		items->object = repalloc(items->object, sizeof *items->object * items->room);
	}
	items->object[items->n] = object;
	items->item[items->n++] = item;
}

static void
add_note(Items *items, const OutboxRow *r)
{
	Jsonb *alerts = r->source.alerts;
	uint32 n = JB_ROOT_IS_ARRAY(alerts) ? JB_ROOT_COUNT(alerts) : 0;
	int listed = 0;

	for (uint32 i = 0; i < n; i++) {
		JsonbValue *v = getIthJsonbValueFromContainer(&alerts->root, i);

		if (v == NULL || v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data) ||
			mark_field(v->val.binary.data) == MARK_NONE)
			continue;
		add_item(items, v->val.binary.data, r);
		listed += mark_field(v->val.binary.data) == MARK_RESOLVED;
	}
	/* Nobody can say which these are: they count when the channel may have heard of them. */
	if (r->source.delivered_seq > 0)
		items->hidden_resolved += Max(r->source.resolved - listed, 0);
	items->n_notes++;
}

static Items
items_of(OutboxRow **rows, int n)
{
	Items items = {.room = 64};

	items.item = palloc(sizeof *items.item * items.room);
	items.object = palloc(sizeof *items.object * items.room);
	for (int i = 0; i < n; i++)
		add_note(&items, rows[i]);
	return items;
}

Jsonb *
observ_outbox_marked(JsonbContainer *object, enum mark mark, int since_seq)
{
	JsonbValue v;
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue *built = NULL;
	const char *name = observ_mark_name(mark);
	bool is_mark = false, is_since = false;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_VALUE && is_mark)
			v = (JsonbValue){.type = jbvString, .val.string = {(int) strlen(name), (char *) name}};
		else if (token == WJB_VALUE && is_since && since_seq >= 0)
			v = (JsonbValue){.type = jbvNumeric, .val.numeric = int64_to_numeric(since_seq)};
		is_mark = token == WJB_KEY && v.val.string.len == 4 && memcmp(v.val.string.val, "mark", 4) == 0;
		is_since = token == WJB_KEY && v.val.string.len == 9 && memcmp(v.val.string.val, "since_seq", 9) == 0;
		built = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &v : NULL);
	}
	return JsonbValueToJsonb(built);
}

/* New, still, resolved. */
static Jsonb *
alerts_of(const Items *items)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int mark = MARK_NEW; mark <= MARK_RESOLVED; mark++)
		for (int i = 0; i < items->n; i++)
			if ((int) items->item[i].mark == mark) {
				Jsonb *object = observ_outbox_marked(items->object[items->item[i].place], (enum mark) mark,
													 items->item[i].since_seq);
				JsonbValue v = {
					.type = jbvBinary,
					.val.binary = {.data = &object->root, .len = (int) VARSIZE(object) - VARHDRSZ}};

				pushJsonbValue(&state, WJB_ELEM, &v);
			}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/* ---- the newest takes the place of the others */

static enum notify_reason
reason_of(const char *name)
{
	for (int reason = NOTIFY_FIRST; reason <= NOTIFY_REPEAT; reason++)
		if (strcmp(notify_reason_names[reason], name) == 0)
			return (enum notify_reason) reason;
	return NOTIFY_NOT;
}

/* Trouble that earlier ones had, and that the newest has not. */
static int
added(const Items *items)
{
	int n = 0;

	for (int i = 0; i < items->n; i++)
		n += items->item[i].mark == MARK_NEW && items->item[i].note < items->n_notes - 1;
	return n;
}

/* Returns false when there is nothing left to say. */
static bool
merge(OutboxRow **rows, int n)
{
	OutboxRow *newest = rows[n - 1];
	MessageSource *source = &newest->source;
	Items items = items_of(rows, n);
	struct outbox_tally tally = outbox_merge(items.item, items.n, n, source->delivered_seq);
	enum notify_reason *reasons = palloc(sizeof *reasons * n), reason;
	NotificationCounts counts = {.fresh = tally.fresh};

	source->firing += added(&items);
	tally.resolved += items.hidden_resolved;
	source->resolved = tally.resolved;
	for (int i = 0; i < n; i++) {
		reasons[i] = reason_of(rows[i]->source.reason);
		newest->emergency |= rows[i]->emergency;
		source->severity = Max(source->severity, rows[i]->source.severity);
	}
	reason = outbox_reason(reasons, n, &tally, source->firing);
	if (reason == NOTIFY_NOT)
		return false;
	counts.firing = source->firing;
	counts.resolved = source->resolved;
	source->alerts = alerts_of(&items);
	source->reason = notify_reason_names[reason];
	source->title = observ_notification_title(reason, &counts, source->group_labels, source->route);
	newest->rewritten = true;
	/* It is as old as what it says. */
	newest->made_at = rows[0]->made_at;
	return true;
}

/* The newest gets `action`, unless there is nothing left to say. */
static void
merge_into_newest(OutboxRow **rows, int n, enum OutboxAction action)
{
	rows[n - 1]->action = n == 1 || merge(rows, n) ? action : ROW_CANCELLED;
	for (int i = 0; i < n - 1; i++) {
		rows[i]->action = ROW_SUPERSEDED;
		rows[i]->by = rows[n - 1]->source.notification_id;
	}
}

/* ---- decisions */

static bool
is_due(const OutboxRow *r, TimestampTz at)
{
	return r->lane == LANE_BEHIND || r->due_at <= at;
}

static bool
gives_way(const OutboxRow *r, TimestampTz at)
{
	return r->source.attempt > 1 || at - r->made_at > STALE_US;
}

/* What came before it was not delivered: its marks say what the channel was to know, not what it knows. */
static bool
has_gap(const OutboxRow *r)
{
	return r->source.delivered_seq < r->source.seq - 1;
}

/* `rows` are those that may be merged. */
static void
send_one(TimestampTz at, OutboxRow **rows, int n)
{
	bool due = false;

	for (int i = 0; i < n; i++)
		due |= is_due(rows[i], at);
	if (n == 0 || !due)
		return;
	if (n == 1 || !gives_way(rows[0], at)) {
		if (is_due(rows[0], at))
			rows[0]->action = !has_gap(rows[0]) || merge(rows, 1) ? ROW_SEND : ROW_CANCELLED;
		rows[0]->followed = n > 1;
		for (int i = 1; i < n; i++)
			rows[i]->action = ROW_BEHIND;
		return;
	}
	merge_into_newest(rows, n, ROW_SEND);
}

void
observ_outbox_decide(TimestampTz at, OutboxRow *rows, int n)
{
	OutboxRow **merged = palloc(sizeof(OutboxRow *) * Max(n, 1)), *first = NULL;
	int count = 0;

	for (int i = 0; i < n; i++)
		if (rows[i].action != ROW_GONE &&
			(rows[i].lane == LANE_SENDING || (rows[i].alone && is_due(&rows[i], at))))
			if (first == NULL || rows[i].lane == LANE_SENDING)
				first = &rows[i];
	for (int i = 0; i < n; i++) {
		if (rows[i].action == ROW_GONE || &rows[i] == first)
			continue;
		if (first != NULL)
			rows[i].action = ROW_BEHIND;
		else if (!rows[i].alone)
			merged[count++] = &rows[i];
	}
	if (first == NULL)
		send_one(at, merged, count);
	else if (first->lane != LANE_SENDING)
		first->action = ROW_SEND;
}

/*
 * Those that are too old die as one, which says what they all would have. The channel is told by the younger ones what was in them, if it comes to its
 * senses.
 */
void
observ_outbox_give_up(TimestampTz at, OutboxRow *rows, int n)
{
	OutboxRow **old = palloc(sizeof(OutboxRow *) * Max(n, 1)),
			  **all = palloc(sizeof(OutboxRow *) * Max(n, 1));
	int n_old = 0, n_all = 0;

	for (int i = 0; i < n; i++)
		if (rows[i].lane == LANE_SENDING)
			return;
	for (int i = 0; i < n; i++) {
		bool is_old = observ_outbox_deadline(rows[i].made_at, rows[i].emergency) <= at;

		if (rows[i].action == ROW_GONE)
			continue;
		if (rows[i].alone)
			rows[i].action = is_old ? ROW_DEAD : ROW_LEAVE;
		else {
			if (is_old && n_old == n_all)
				old[n_old++] = &rows[i];
			all[n_all++] = &rows[i];
		}
	}
	if (n_all > n_old && n_old > 0) {
		TimestampTz made_at = all[n_old]->made_at;

		merge_into_newest(all, n_all, ROW_LEAVE);
		all[n_all - 1]->made_at = made_at;
	}
	if (n_old > 0)
		merge_into_newest(old, n_old, ROW_DEAD);
}
