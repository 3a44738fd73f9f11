/*
 * Who is told of what could not be delivered, and what that means for dispatches. What does not belong here: when something is given up.
 *
 * The fallback channel is told in a notification of its own, with a number of its own. It then counts as told of the alerts, so dispatches tell it
 * their end, too (C3). Without a fallback nobody was told: what still fires is new to the channel at the next flush.
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "ext/processes.h"
#include "utils/timestamp.h"

#define KEY_OF(number)                                                                                       \
	"encode(sha256(convert_to(concat_ws(' ', f.fallback, f.group_key, " number "), 'UTF8')), 'hex')"

#define INCIDENT_KEY    KEY_OF("'incident', f.incident")
#define IDEMPOTENCY_KEY KEY_OF("f.number")

/*
 * $1 dead notifications, $2 now. Never to a channel that was tried for the same: chain. fit: those that have somebody else; base: the latest number of
 * that channel; numbered: theirs.
 */
static const char fallback_sql[] =
	"WITH RECURSIVE dead AS (SELECT n.notification_id, n.channel, n.group_key, n.seq, n.fallback_of, "
	"c.fallback "
	"  FROM observ.notifications n JOIN observ.notification_channels c ON c.name = n.channel "
	"  JOIN observ.notification_channels f ON f.name = c.fallback AND f.enabled "
	"  WHERE n.notification_id = ANY ($1)), "
	"chain AS (SELECT notification_id AS id, channel, fallback_of FROM dead "
	"  UNION ALL SELECT c.id, p.channel, p.fallback_of FROM chain c "
	"    JOIN observ.notifications p ON p.notification_id = c.fallback_of), "
	"fit AS (SELECT d.* FROM dead d WHERE NOT EXISTS (SELECT FROM chain c WHERE c.id = d.notification_id "
	"  AND c.channel = d.fallback)), "
	"base AS (SELECT p.group_key, p.fallback, greatest(g.seq, 0, (SELECT o.seq FROM observ.notifications o "
	"      WHERE o.channel = p.fallback AND o.group_key = p.group_key ORDER BY o.seq DESC LIMIT 1)) AS seq, "
	"    coalesce(g.incident, 1) AS incident, EXISTS (SELECT FROM observ_data.told t "
	"      WHERE t.group_key = p.group_key AND t.channel = p.fallback AND t.state = 'firing') AS goes_on "
	"  FROM (SELECT DISTINCT group_key, fallback FROM fit) p "
	"  LEFT JOIN observ_data.group_channels g ON g.group_key = p.group_key AND g.channel = p.fallback), "
	"numbered AS (SELECT f.*, (b.seq + row_number() OVER same)::int AS number, "
	"    CASE WHEN b.goes_on THEN b.incident ELSE b.seq + 1 END AS incident "
	"  FROM fit f JOIN base b USING (group_key, fallback) "
	"  WINDOW same AS (PARTITION BY f.group_key, f.fallback ORDER BY f.seq)), "
	"made AS (INSERT INTO observ.notifications (\"timestamp\", channel, group_key, seq, route, incident_key, "
	"    idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved, "
	"fallback_of) "
	"  SELECT $2, f.fallback, n.group_key, f.number, n.route, " INCIDENT_KEY ", " IDEMPOTENCY_KEY ", "
	"    n.reason, n.state, n.severity, format('[not delivered through %s] %s', n.channel, n.title), "
	"    n.group_labels, (SELECT coalesce(jsonb_agg(a || CASE WHEN a->>'mark' = 'resolved' "
	"          THEN '{\"since_seq\": 0}' WHEN t.since_seq IS NOT NULL "
	"          THEN jsonb_build_object('mark', 'still', 'since_seq', t.since_seq) "
	"          ELSE jsonb_build_object('mark', 'new', 'since_seq', f.number) END ORDER BY o), '[]') "
	"      FROM jsonb_array_elements(n.alerts) WITH ORDINALITY e (a, o) "
	"      LEFT JOIN observ_data.told t ON t.alert_id = (a->>'alert_id')::bigint "
	"        AND t.group_key = n.group_key AND t.channel = f.fallback AND t.state = 'firing'), "
	"    n.firing, n.resolved, n.notification_id "
	"  FROM numbered f JOIN observ.notifications n USING (notification_id) "
	"  RETURNING notification_id, channel, group_key, seq, severity, fallback_of), "
	"queued AS (INSERT INTO observ_data.deliveries "
	"    (channel, group_key, seq, notification_id, emergency, lane, due_at, made_at) "
	"  SELECT channel, group_key, seq, notification_id, severity = 'emergency', "
	"    CASE severity WHEN 'emergency' THEN 0 ELSE 1 END, $2, $2 FROM made "
	/* Of a notification that somebody has deleted, whose number came again. */
	"  ON CONFLICT (channel, group_key, seq) DO UPDATE SET notification_id = excluded.notification_id, "
	"    emergency = excluded.emergency, lane = excluded.lane, due_at = excluded.due_at, "
	"    made_at = excluded.made_at, failures = 0, parts = '-'), "
	"counted AS (INSERT INTO observ_data.group_channels (group_key, channel, seq, incident, sent_at) "
	"  SELECT group_key, fallback, max(number), max(incident), $2 FROM numbered "
	"  GROUP BY group_key, fallback ORDER BY group_key, fallback "
	"  ON CONFLICT (group_key, channel) DO UPDATE SET seq = excluded.seq, incident = excluded.incident), "
	"told AS (INSERT INTO observ_data.told AS o (alert_id, group_key, channel, state, told_at, reason, "
	"flapping, "
	"    acknowledged, since_seq) "
	"  SELECT DISTINCT ON (t.alert_id, t.group_key, f.fallback) t.alert_id, t.group_key, f.fallback, "
	"'firing', "
	"    $2, t.reason, t.flapping, t.acknowledged, f.number "
	"  FROM numbered f JOIN observ_data.told t ON t.group_key = f.group_key AND t.channel = f.channel "
	"    AND t.state = 'firing' AND t.since_seq <= f.seq "
	"  JOIN observ_data.group_members m ON m.group_key = t.group_key AND m.alert_id = t.alert_id "
	"  ORDER BY t.alert_id, t.group_key, f.fallback, f.number "
	"  ON CONFLICT (alert_id, group_key, channel) DO UPDATE SET state = 'firing', told_at = "
	"excluded.told_at, "
	"    since_seq = excluded.since_seq WHERE o.state <> 'firing') "
	"SELECT fallback_of FROM made";

/* $1 those without a fallback. Not while a later one is on its way, which says it all. */
static const char forget_sql[] =
	"DELETE FROM observ_data.told t USING observ.notifications n LEFT JOIN observ_data.group_channels g "
	"ON g.group_key = n.group_key AND g.channel = n.channel "
	"WHERE n.notification_id = ANY ($1) AND t.group_key = n.group_key AND t.channel = n.channel "
	"AND t.state = 'firing' AND t.since_seq > coalesce(g.delivered_seq, 0) AND NOT EXISTS (SELECT FROM "
	"observ_data.deliveries d WHERE d.channel = n.channel AND d.group_key = n.group_key AND d.seq > n.seq)";

static bool
is_among(int64 id, const int64 *ids, int n)
{
	for (int i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static Datum
ids_datum(const int64 *ids, int n)
{
	Datum *values = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(ids[i]);
	return observ_array(values, n, INT8OID);
}

void
observ_outbox_fall_back(TimestampTz at, const int64 *dead, int n)
{
	static const Oid types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	static SPIPlanPtr fallback = NULL, forget = NULL;
	int told = (int) observ_spi_kept(&fallback, SPI_OK_SELECT, fallback_sql, 2, types,
									 (Datum[]){ids_datum(dead, n), TimestampTzGetDatum(at)}, NULL);
	int64 *elsewhere = palloc(sizeof(int64) * Max(told, 1)), *nobody = palloc(sizeof(int64) * n);
	int n_nobody = 0;

	for (int i = 0; i < told; i++)
		elsewhere[i] = observ_spi_int64((uint64) i, 1);
	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; i < n; i++)
		if (!is_among(dead[i], elsewhere, told))
			nobody[n_nobody++] = dead[i];
	if (n_nobody > 0)
		observ_spi_kept(&forget, SPI_OK_DELETE, forget_sql, 1, types, (Datum[]){ids_datum(nobody, n_nobody)},
						NULL);
	if (told > 0)
		observ_wake_notifier_at_commit();
}
