/*
 * Alerts that changed are taken to their groups. What does not belong here: which routes match (routes.c), what a group's channels are told
 * (dispatch_decide.c).
 *
 * An alert that went to a group from which routes or labels lead elsewhere now leaves it when nobody was told of it there; else it stays as
 * departed, for those who were told are told its end (C3).
 */
#include "postgres.h"

#include "ext/dispatch.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "ext/message.h"
#include "ext/row_batch.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BATCH_ALERTS "10000"
/* Of a group key: 128 bits of SHA-256. */
#define KEY_DIGITS 32

/* Alerts after $1 that changed; and those that fire, too. */
#define CHANGED                                                                                              \
	"a.alert_id IN (SELECT b.alert_id FROM observ.alerts b WHERE b.unrouted AND b.alert_id > $1 ORDER BY "   \
	"b.alert_id LIMIT " BATCH_ALERTS ")"
#define CHANGED_OR_FIRING                                                                                    \
	"a.alert_id IN (SELECT b.alert_id FROM observ.alerts b WHERE (b.unrouted OR b.status IN ('firing', "     \
	"'recovering')) AND b.alert_id > $1 ORDER BY b.alert_id LIMIT " BATCH_ALERTS ")"

static const char members_sql[] =
	"SELECT alert_id, group_key, departed FROM observ_data.group_members WHERE alert_id = ANY ($1) "
	"ORDER BY alert_id, group_key";

static const char add_groups_sql[] =
	"INSERT INTO observ_data.alert_groups (group_key, route_id, labels, opened_at, next_flush_at, "
	"escalation_id) "
	"SELECT g.group_key, g.route_id, g.labels, g.opened_at, g.next_flush_at, nullif(g.escalation_id, 0) "
	"FROM unnest($1, $2, $3, $4, $5, $6) g (group_key, route_id, labels, opened_at, next_flush_at, "
	"escalation_id) "
	"ON CONFLICT (group_key) DO NOTHING";
static const Oid group_types[] = {TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};

static const char add_members_sql[] =
	"INSERT INTO observ_data.group_members AS m (group_key, alert_id) "
	"SELECT n.group_key, n.alert_id FROM unnest($1, $2) n (group_key, alert_id) "
	"ON CONFLICT (group_key, alert_id) DO UPDATE SET departed = false WHERE m.departed";
/* Who leaves a group where somebody was told of it stays as departed. */
static const char leave_sql[] =
	"WITH n AS (SELECT n.group_key, n.alert_id, EXISTS (SELECT FROM observ_data.told t WHERE t.alert_id = "
	"n.alert_id AND t.group_key = n.group_key AND t.state = 'firing') AS told "
	"FROM unnest($1, $2) n (group_key, alert_id)), "
	"gone AS (DELETE FROM observ_data.group_members m USING n "
	"WHERE m.group_key = n.group_key AND m.alert_id = n.alert_id AND NOT n.told) "
	"UPDATE observ_data.group_members m SET departed = true FROM n "
	"WHERE m.group_key = n.group_key AND m.alert_id = n.alert_id AND n.told";
static const Oid member_types[] = {TEXTOID, INT8OID};

/*
 * What somebody changes right now stays unrouted: it is looked at again when that is committed. Rows that are locked are not waited for, so
 * there is no deadlock with those who lock alerts in another order.
 */
static const char clear_sql[] =
	"UPDATE observ.alerts a SET unrouted = false FROM ("
	"  SELECT b.alert_id FROM observ.alerts b JOIN unnest($1, $2) s (alert_id, changes) USING (alert_id) "
	"  WHERE b.unrouted AND b.changes = s.changes FOR NO KEY UPDATE OF b SKIP LOCKED) seen "
	"WHERE a.alert_id = seen.alert_id";
static const Oid seen_types[] = {INT8OID, INT4OID};

/* A membership, as it is. */
typedef struct Membership {
	int64 alert_id;
	char *key;
	bool departed, wanted;
} Membership;

typedef struct Batch {
	Dispatch *dispatch;
	HTAB *groups; /* keys of the groups of this batch */
	ObservRowBatch *new_groups, *joining, *leaving, *seen;
	Membership *members;
	int n_members, next_member;
	struct slice *values;
} Batch;

static void
put_text(StringInfo buffer, struct slice s)
{
	appendBinaryStringInfo(buffer, s.p == NULL ? "" : s.p, (int) (s.end - s.p));
	appendStringInfoChar(buffer, '\0');
}

static void
add_pair(StringInfo pairs, JsonbParseState **json, struct slice name, struct slice value)
{
	JsonbValue key = {.type = jbvString, .val.string = {(int) (name.end - name.p), (char *) name.p}};
	JsonbValue text = {.type = jbvString, .val.string = {(int) (value.end - value.p), (char *) value.p}};

	if (value.p == value.end)
		return;
	put_text(pairs, name);
	put_text(pairs, value);
	pushJsonbValue(json, WJB_KEY, &key);
	pushJsonbValue(json, WJB_VALUE, &text);
}

static bool
groups_by(const ObservRoute *route, const char *name)
{
	for (int i = 0; i < route->group_by.n; i++)
		if (strcmp(route->group_by.name[i], name) == 0)
			return true;
	return route->group_by_all;
}

/* A label that is missing is as good as an empty one. A test is a group of its own, whatever the route says: no news of trouble is in it. */
Jsonb *
observ_group_labels(const ObservRoute *route, Jsonb *labels, StringInfo pairs)
{
	JsonbParseState *json = NULL;
	JsonbValue *object;

	pushJsonbValue(&json, WJB_BEGIN_OBJECT, NULL);
	if (route->group_by_all) {
		JsonbIterator *it = JsonbIteratorInit(&labels->root);
		JsonbIteratorToken token;
		JsonbValue v;

		while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
			if (token == WJB_KEY) {
				struct slice name = {v.val.string.val, v.val.string.val + v.val.string.len};

				add_pair(pairs, &json, name, observ_alert_label_in(labels, name));
			}
	} else
		for (int i = 0; i < route->group_by.n; i++) {
			struct slice name = slice_of(route->group_by.name[i]);

			add_pair(pairs, &json, name, observ_alert_label_in(labels, name));
		}
	if (!groups_by(route, OBSERV_TEST_LABEL))
		add_pair(pairs, &json, slice_of(OBSERV_TEST_LABEL),
				 observ_alert_label_in(labels, slice_of(OBSERV_TEST_LABEL)));
	object = pushJsonbValue(&json, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(object);
}

/* SHA-256 of route, escalation (0: none) and group labels, the first half of it. */
static void
group_key(const ObservRoute *route, int64 escalation_id, const StringInfo pairs, char *key)
{
	static const char digits[] = "0123456789abcdef";
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	char *id = escalation_id == 0
				   ? psprintf(INT64_FORMAT, route->route_id)
				   : psprintf(INT64_FORMAT " escalation " INT64_FORMAT, route->route_id, escalation_id);

	if (pg_cryptohash_init(context) < 0 || pg_cryptohash_update(context, (uint8 *) id, strlen(id) + 1) < 0 ||
		pg_cryptohash_update(context, (uint8 *) pairs->data, pairs->len) < 0 ||
		pg_cryptohash_final(context, digest, sizeof digest) < 0)
		elog(ERROR, "could not hash the key of a group: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);
	for (int i = 0; i < KEY_DIGITS / 2; i++) {
		key[2 * i] = digits[digest[i] >> 4];
		key[2 * i + 1] = digits[digest[i] & 15];
	}
	key[KEY_DIGITS] = '\0';
	pfree(id);
}

/*
 * group_wait counts from the moment the alert began to fire, however late the dispatch comes; but what was there at the dispatch before (a route
 * was changed, an alert began anew) did not begin earlier than that, or it would be told before what inhibits it.
 */
static TimestampTz
group_begins(const Dispatch *dispatch, const ObservAlert *alert)
{
	return Max(Min(alert->starts_at, dispatch->at), dispatch->before);
}

/* A group that an alert belongs to. */
typedef struct Target {
	const ObservRoute *route;
	int64 escalation_id; /* 0: the route's own */
	int64 wait_us;       /* from its beginning to its first flush */
	StringInfoData pairs;
	Jsonb *labels;
} Target;

/* Notes that an alert belongs to a group. */
static void
join_group(Batch *batch, const ObservAlert *alert, Target *target)
{
	char key[KEY_DIGITS + 1];
	bool found;

	group_key(target->route, target->escalation_id, &target->pairs, key);
	for (int i = batch->next_member; i < batch->n_members && batch->members[i].alert_id == alert->alert_id;
		 i++)
		if (strcmp(batch->members[i].key, key) == 0) {
			batch->members[i].wanted = true;
			if (!batch->members[i].departed)
				return;
		}
	hash_search(batch->groups, key, HASH_ENTER, &found);
	if (!found) {
		TimestampTz at =
			target->escalation_id == 0 ? group_begins(batch->dispatch, alert) : batch->dispatch->at;
		Datum row[] = {CStringGetTextDatum(key),
					   Int64GetDatum(target->route->route_id),
					   JsonbPGetDatum(target->labels),
					   TimestampTzGetDatum(at),
					   TimestampTzGetDatum(Max(at + target->wait_us, batch->dispatch->at)),
					   Int64GetDatum(target->escalation_id)};

		observ_row_batch_add(batch->new_groups, row, NULL);
	}
	observ_row_batch_add(batch->joining, (Datum[]){CStringGetTextDatum(key), Int64GetDatum(alert->alert_id)},
						 NULL);
}

/* The group that a route makes of it, and those of the steps of escalations that take it, whose time is found by their clock. */
static void
join_groups(Batch *batch, const ObservAlert *alert, const ObservRoute *route)
{
	const ObservEscalations *all = batch->dispatch->escalations;
	/* Whoever tests sits there and waits. */
	Target target = {.route = route, .wait_us = observ_is_test(alert->labels) ? 0 : route->group_wait_us};

	initStringInfo(&target.pairs);
	target.labels = observ_group_labels(route, alert->labels, &target.pairs);
	join_group(batch, alert, &target);
	target.wait_us = route->group_interval_us;
	for (int i = 0; i < all->n; i++)
		if (observ_escalation_takes(&all->step[i], batch->values)) {
			target.escalation_id = all->step[i].escalation_id;
			join_group(batch, alert, &target);
		}
	pfree(target.pairs.data);
}

static void
route_alert(Batch *batch, const ObservAlert *alert)
{
	ObservRoutes *routes = batch->dispatch->routes;
	bool firing = alert->status == ALERT_FIRING || alert->status == ALERT_RECOVERING;
	ListCell *cell;
	int first;

	while (batch->next_member < batch->n_members &&
		   batch->members[batch->next_member].alert_id < alert->alert_id)
		batch->next_member++;
	first = batch->next_member;
	observ_row_batch_add(batch->seen,
						 (Datum[]){Int64GetDatum(alert->alert_id), Int32GetDatum(alert->changes)}, NULL);
	/* Pending alerts concern nobody yet; those that are over stay where they are. */
	if (!firing)
		return;
	observ_route_values(routes, observ_alert_label, unconstify(ObservAlert *, alert), batch->values);
	foreach (cell, observ_find_routes(routes, batch->values))
		join_groups(batch, alert, &routes->route[lfirst_int(cell)]);
	batch->dispatch->routed++;
	for (int i = first; i < batch->n_members && batch->members[i].alert_id == alert->alert_id; i++) {
		const Membership *m = &batch->members[i];

		if (!m->wanted && !m->departed)
			observ_row_batch_add(
				batch->leaving, (Datum[]){CStringGetTextDatum(m->key), Int64GetDatum(alert->alert_id)}, NULL);
	}
}

static void
read_members(Batch *batch, const ObservAlert *alerts, int n)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {INT8ARRAYOID};
	Datum *ids = palloc(Max(n, 1) * sizeof(Datum));
	Datum values[1];
	int nest_level = observ_few_rows_begin();

	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(alerts[i].alert_id);
	values[0] = observ_array(ids, n, INT8OID);
	batch->n_members = (int) observ_spi_kept(&plan, SPI_OK_SELECT, members_sql, 1, types, values, NULL);
	observ_few_rows_end(nest_level);
	batch->members = palloc0(Max(batch->n_members, 1) * sizeof(Membership));
	for (int i = 0; i < batch->n_members; i++) {
		bool isnull;

		batch->members[i] = (Membership){DatumGetInt64(observ_spi_value(i, 1, &isnull)),
										 TextDatumGetCString(observ_spi_value(i, 2, &isnull)),
										 DatumGetBool(observ_spi_value(i, 3, &isnull)), .wanted = false};
	}
}

static void
begin_batch(Batch *batch, Dispatch *dispatch)
{
	HASHCTL ctl = {.keysize = KEY_DIGITS + 1, .entrysize = KEY_DIGITS + 1, .hcxt = CurrentMemoryContext};

	*batch = (Batch){.dispatch = dispatch};
	batch->groups = hash_create("groups of a dispatch", 256, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	batch->new_groups = observ_row_batch(group_types, lengthof(group_types));
	batch->joining = observ_row_batch(member_types, lengthof(member_types));
	batch->leaving = observ_row_batch(member_types, lengthof(member_types));
	batch->seen = observ_row_batch(seen_types, lengthof(seen_types));
	batch->values = palloc0(Max(dispatch->routes->names.n, 1) * sizeof(struct slice));
}

static void
write_batch(Batch *batch)
{
	static SPIPlanPtr groups = NULL, join = NULL, leave = NULL, clear = NULL;
	int nest_level = observ_few_rows_begin();

	observ_row_batch_run(batch->new_groups, &groups, SPI_OK_INSERT, add_groups_sql);
	observ_row_batch_run(batch->joining, &join, SPI_OK_INSERT, add_members_sql);
	observ_row_batch_run(batch->leaving, &leave, SPI_OK_UPDATE, leave_sql);
	observ_row_batch_run(batch->seen, &clear, SPI_OK_UPDATE, clear_sql);
	observ_few_rows_end(nest_level);
}

void
observ_route_alerts(Dispatch *dispatch, bool all)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "observ routing", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	static const Oid types[] = {INT8OID};
	int64 last = PG_INT64_MIN;

	for (;;) {
		Datum values[] = {Int64GetDatum(last)};
		int n, nest_level = observ_few_rows_begin();
		ObservAlert *alerts =
			observ_load_alerts(dispatch->at, all ? CHANGED_OR_FIRING : CHANGED, 1, types, values, &n);
		Batch batch;

		observ_few_rows_end(nest_level);
		if (n == 0)
			break;
		begin_batch(&batch, dispatch);
		read_members(&batch, alerts, n);
		for (int i = 0; i < n; i++) {
			CHECK_FOR_INTERRUPTS();
			route_alert(&batch, &alerts[i]);
		}
		write_batch(&batch);
		last = alerts[n - 1].alert_id;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}
