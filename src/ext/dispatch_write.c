/*
 * What a dispatch writes about groups, set by set: the outbox with its decisions, then what channels know, then groups. What does not belong here:
 * what is decided (dispatch_decide.c), the words of a notification (notification_text.c).
 *
 * UNIQUE constraints of observ.notifications are what keeps a notification from being made twice (C10); nothing here looks first.
 */
#include "postgres.h"

#include "ext/dispatch_write.h"

#include "catalog/pg_type.h"
#include "ext/notification_text.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static const Oid note_types[] = {INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID,  TEXTOID, INT4OID,
								 TEXTOID, TEXTOID,        INT4OID, TEXTOID, JSONBOID, INT4OID, INT4OID};
static const Oid listed_types[] = {INT4OID, INT4OID, INT8OID, TEXTOID, INT4OID};
static const Oid decision_types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,       TEXTOID,
									 INT4OID,        INT4OID, INT4OID, TEXTOID, TIMESTAMPTZOID};
static const Oid channel_types[] = {TEXTOID, TEXTOID,        INT4OID, INT4OID,
									INT4OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID};
static const Oid told_types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
								 TEXTOID, BOOLOID, BOOLOID, INT4OID};
static const Oid member_types[] = {TEXTOID, INT8OID, TEXTOID};
static const Oid closed_types[] = {TEXTOID, INT8OID};
static const Oid group_types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
static const Oid empty_types[] = {TEXTOID};

/* Of the statement that writes the outbox. */
#define MAX_ARGUMENTS 31

/* Keys are hashes, so that receivers get the same bytes whatever names mean: SHA-256 of channel, group and number, blanks between them. */
#define KEY_OF(number)                                                                                       \
	"encode(sha256(convert_to(concat_ws(' ', n.channel, n.group_key, " number "), 'UTF8')), 'hex')"

#define INCIDENT_KEY    KEY_OF("'incident', n.incident")
#define IDEMPOTENCY_KEY KEY_OF("n.seq")

/*
 * $1 to $14 notifications, $15 to $19 the alerts in them, $20 to $30 decisions, $31 the earliest row that goes on. What is made is queued for the
 * notifier (outbox.h).
 */
static const char outbox_before[] =
	"WITH n AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
	"    n (number, at, channel, group_key, seq, route, incident, reason, state, severity, title, labels, "
	"firing, resolved)), "
	"listed AS (SELECT l.number, jsonb_agg(";
static const char outbox_after[] =
	" ORDER BY l.position) AS alerts "
	"  FROM unnest($15, $16, $17, $18, $19) l (number, position, alert_id, mark, since_seq) "
	"  JOIN observ.alerts a USING (alert_id) JOIN n USING (number) GROUP BY l.number), "
	"made AS (INSERT INTO observ.notifications (\"timestamp\", channel, group_key, seq, route, incident_key, "
	"    idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved) "
	"  SELECT n.at, n.channel, n.group_key, n.seq, nullif(n.route, ''), " INCIDENT_KEY ", " IDEMPOTENCY_KEY
	", "
	"    n.reason, n.state, (enum_range(NULL::observ.severity))[n.severity + 1], n.title, n.labels, "
	"    coalesce(listed.alerts, '[]'), n.firing, n.resolved "
	"  FROM n LEFT JOIN listed USING (number) ORDER BY n.number "
	"  RETURNING notification_id, channel, group_key, seq, \"timestamp\", severity), "
	"queued AS (INSERT INTO observ_data.deliveries "
	"    (channel, group_key, seq, notification_id, emergency, lane, due_at, made_at) "
	"  SELECT channel, group_key, seq, notification_id, severity = 'emergency', "
	"    CASE severity WHEN 'emergency' THEN 0 ELSE 1 END, \"timestamp\", \"timestamp\" FROM made "
	/* Of a notification that somebody has deleted, whose number came again. */
	"  ON CONFLICT (channel, group_key, seq) DO UPDATE SET notification_id = excluded.notification_id, "
	"    emergency = excluded.emergency, lane = excluded.lane, due_at = excluded.due_at, "
	"    made_at = excluded.made_at, failures = 0, parts = '-'), "
	"d AS (SELECT * FROM unnest($20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30) "
	"    d (at, group_key, channel, route, decision, reason, note, firing, resolved, suppressed, since)), "
	"same AS (UPDATE observ.notification_decisions o SET last_at = d.at, flushes = o.flushes + 1 FROM d "
	"  WHERE d.since > '-infinity' AND o.group_key = d.group_key AND o.channel = d.channel "
	"    AND o.\"timestamp\" = d.since AND o.\"timestamp\" >= $31 RETURNING o.group_key, o.channel) "
	"INSERT INTO observ.notification_decisions (\"timestamp\", last_at, group_key, channel, route, "
	"  decision, reason, notification_id, firing, resolved, suppressed) "
	"SELECT d.at, d.at, d.group_key, d.channel, nullif(d.route, ''), d.decision, d.reason, "
	"  made.notification_id, d.firing, d.resolved, nullif(d.suppressed, '')::jsonb "
	"FROM d LEFT JOIN made ON d.note > 0 AND made.channel = d.channel AND made.group_key = d.group_key "
	"WHERE NOT EXISTS (SELECT FROM same s WHERE s.group_key = d.group_key AND s.channel = d.channel)";

static const char channels_sql[] =
	"INSERT INTO observ_data.group_channels AS c (group_key, channel, seq, incident, repeats, sent_at, "
	"decision, decided_at) "
	"SELECT n.group_key, n.channel, n.seq, n.incident, n.repeats, nullif(n.sent_at, '-infinity'), "
	"n.decision, "
	"nullif(n.decided_at, '-infinity') FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) "
	"n (group_key, channel, seq, incident, repeats, sent_at, decision, decided_at) "
	"ON CONFLICT (group_key, channel) DO UPDATE SET seq = excluded.seq, incident = excluded.incident, "
	"repeats = excluded.repeats, sent_at = excluded.sent_at, decision = excluded.decision, "
	"decided_at = excluded.decided_at";

static const char told_sql[] =
	"INSERT INTO observ_data.told (alert_id, group_key, channel, state, told_at, reason, flapping, "
	"acknowledged, since_seq) "
	"SELECT n.alert_id, n.group_key, n.channel, n.state, n.told_at, nullif(n.reason, ''), n.flapping, "
	"n.acknowledged, n.since_seq FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) "
	"n (alert_id, group_key, channel, state, told_at, reason, flapping, acknowledged, since_seq) "
	"ON CONFLICT (alert_id, group_key, channel) DO UPDATE SET state = excluded.state, told_at = "
	"excluded.told_at, reason = excluded.reason, flapping = excluded.flapping, acknowledged = "
	"excluded.acknowledged, since_seq = excluded.since_seq";

static const char members_sql[] =
	"UPDATE observ_data.group_members m SET suppressed = nullif(n.suppressed, '') "
	"FROM unnest($1, $2, $3) n (group_key, alert_id, suppressed) "
	"WHERE m.group_key = n.group_key AND m.alert_id = n.alert_id";

static const char forget_sql[] = "WITH n AS (SELECT * FROM unnest($1, $2) n (group_key, alert_id)), "
								 "t AS (DELETE FROM observ_data.told t USING n WHERE t.group_key = "
								 "n.group_key AND t.alert_id = n.alert_id) "
								 "DELETE FROM observ_data.group_members m USING n "
								 "WHERE m.group_key = n.group_key AND m.alert_id = n.alert_id";

static const char groups_sql[] =
	"UPDATE observ_data.alert_groups g SET last_flush_at = n.at, next_flush_at = n.next "
	"FROM unnest($1, $2, $3) n (group_key, at, next) WHERE g.group_key = n.group_key";
static const char empty_sql[] = "DELETE FROM observ_data.alert_groups WHERE group_key = ANY ($1)";

static Datum
text_datum(const char *s)
{
	return CStringGetTextDatum(s == NULL ? "" : s);
}

static const char *
route_name(const DispatchGroup *group)
{
	return group->route == NULL ? NULL : group->route->name;
}

void
observ_writes_begin(DispatchWrites *writes)
{
	writes->notes = observ_row_batch(note_types, lengthof(note_types));
	writes->listed = observ_row_batch(listed_types, lengthof(listed_types));
	writes->decisions = observ_row_batch(decision_types, lengthof(decision_types));
	writes->channels = observ_row_batch(channel_types, lengthof(channel_types));
	writes->told = observ_row_batch(told_types, lengthof(told_types));
	writes->members = observ_row_batch(member_types, lengthof(member_types));
	writes->closed = observ_row_batch(closed_types, lengthof(closed_types));
	writes->groups = observ_row_batch(group_types, lengthof(group_types));
	writes->empty = observ_row_batch(empty_types, lengthof(empty_types));
	writes->earliest = DT_NOEND;
	writes->partition = (ObservRange){DT_NOEND, DT_NOEND};
}

int
observ_write_note(DispatchWrites *writes, const DispatchNote *note)
{
	int number = observ_row_batch_size(writes->notes) + 1;
	Datum row[] = {Int32GetDatum(number),
				   TimestampTzGetDatum(note->group->at),
				   text_datum(note->channel->settings->name),
				   text_datum(note->group->key),
				   Int32GetDatum(note->channel->seq),
				   text_datum(route_name(note->group)),
				   Int32GetDatum(note->channel->incident),
				   text_datum(notify_reason_names[note->reason]),
				   text_datum(note->firing > 0 ? "firing" : "resolved"),
				   Int32GetDatum(note->severity),
				   text_datum(note->title),
				   JsonbPGetDatum(note->group->labels),
				   Int32GetDatum(note->firing),
				   Int32GetDatum(note->resolved)};

	observ_row_batch_add(writes->notes, row, NULL);
	return number;
}

void
observ_write_listed(DispatchWrites *writes, int note, int position, int64 alert_id, enum mark mark,
					int since_seq)
{
	observ_row_batch_add(writes->listed,
						 (Datum[]){Int32GetDatum(note), Int32GetDatum(position), Int64GetDatum(alert_id),
								   text_datum(observ_mark_name(mark)), Int32GetDatum(since_seq)},
						 NULL);
}

void
observ_write_told(DispatchWrites *writes, const DispatchGroup *group, const DispatchChannel *channel,
				  int64 alert_id, const DispatchTold *told, const char *reason)
{
	Datum row[] = {Int64GetDatum(alert_id),
				   text_datum(group->key),
				   text_datum(channel->settings->name),
				   text_datum(told->state == TOLD_FIRING ? "firing" : "resolved"),
				   TimestampTzGetDatum(group->at),
				   text_datum(reason),
				   BoolGetDatum(told->flapping),
				   BoolGetDatum(told->acknowledged),
				   Int32GetDatum(told->since_seq)};

	observ_row_batch_add(writes->told, row, NULL);
}

void
observ_write_channel(DispatchWrites *writes, const DispatchGroup *group, const DispatchChannel *channel)
{
	Datum row[] = {text_datum(group->key),           text_datum(channel->settings->name),
				   Int32GetDatum(channel->seq),      Int32GetDatum(channel->incident),
				   Int32GetDatum(channel->repeats),  TimestampTzGetDatum(channel->sent_at),
				   Int64GetDatum(channel->decision), TimestampTzGetDatum(channel->decided_at)};

	observ_row_batch_add(writes->channels, row, NULL);
}

void
observ_write_decision(DispatchWrites *writes, const DispatchGroup *group, const char *channel,
					  const DispatchDecision *decision, TimestampTz since)
{
	Datum row[] = {
		TimestampTzGetDatum(group->at),   text_datum(group->key),          text_datum(channel),
		text_datum(route_name(group)),    text_datum(decision->decision),  text_datum(decision->reason),
		Int32GetDatum(decision->note),    Int32GetDatum(decision->firing), Int32GetDatum(decision->resolved),
		text_datum(decision->suppressed), TimestampTzGetDatum(since)};

	if (group->at < writes->partition.from || group->at >= writes->partition.to)
		writes->partition = observ_ensure_partition("notification_decisions", group->at);
	if (since != DT_NOBEGIN)
		writes->earliest = Min(writes->earliest, since);
	observ_row_batch_add(writes->decisions, row, NULL);
}

void
observ_write_member(DispatchWrites *writes, const DispatchGroup *group, int64 alert_id,
					const char *suppressed)
{
	observ_row_batch_add(writes->members,
						 (Datum[]){text_datum(group->key), Int64GetDatum(alert_id), text_datum(suppressed)},
						 NULL);
}

void
observ_write_closed(DispatchWrites *writes, const DispatchGroup *group, int64 alert_id)
{
	observ_row_batch_add(writes->closed, (Datum[]){text_datum(group->key), Int64GetDatum(alert_id)}, NULL);
}

void
observ_write_group(DispatchWrites *writes, const DispatchGroup *group, bool open)
{
	if (open)
		observ_row_batch_add(writes->groups,
							 (Datum[]){text_datum(group->key), TimestampTzGetDatum(group->at),
									   TimestampTzGetDatum(group->next)},
							 NULL);
	else
		observ_row_batch_add(writes->empty, (Datum[]){text_datum(group->key)}, NULL);
}

static void
write_outbox(const DispatchWrites *writes)
{
	static SPIPlanPtr plan = NULL;
	static char *sql = NULL;
	Oid types[MAX_ARGUMENTS];
	Datum values[MAX_ARGUMENTS];
	int n = 0;

	if (observ_row_batch_size(writes->decisions) == 0)
		return;
	n = observ_row_batch_arguments(writes->notes, n, types, values);
	n = observ_row_batch_arguments(writes->listed, n, types, values);
	n = observ_row_batch_arguments(writes->decisions, n, types, values);
	types[n] = TIMESTAMPTZOID;
	values[n++] = TimestampTzGetDatum(writes->earliest);
	if (sql == NULL)
		sql = MemoryContextStrdup(
			TopMemoryContext, psprintf("%s%s%s", outbox_before, observ_notification_alert_sql, outbox_after));
	observ_spi_kept(&plan, SPI_OK_INSERT, sql, n, types, values, NULL);
}

int
observ_writes_finish(DispatchWrites *writes)
{
	static SPIPlanPtr channels = NULL, told = NULL, members = NULL, forget = NULL, groups = NULL,
					  empty = NULL;
	int made = observ_row_batch_size(writes->notes), nest_level = observ_few_rows_begin();

	write_outbox(writes);
	observ_row_batch_run(writes->channels, &channels, SPI_OK_INSERT, channels_sql);
	observ_row_batch_run(writes->told, &told, SPI_OK_INSERT, told_sql);
	observ_row_batch_run(writes->members, &members, SPI_OK_UPDATE, members_sql);
	observ_row_batch_run(writes->closed, &forget, SPI_OK_DELETE, forget_sql);
	observ_row_batch_run(writes->groups, &groups, SPI_OK_UPDATE, groups_sql);
	observ_row_batch_run(writes->empty, &empty, SPI_OK_DELETE, empty_sql);
	observ_few_rows_end(nest_level);
	if (made > 0)
		observ_wake_notifier_at_commit();
	return made;
}
