/*
 * How many alerts fire, in observ.fleet_summary. What does not belong here: the rest of the summary (fleet_refresh.c).
 */
#include "postgres.h"

#include "ext/alert_store.h"

#include "catalog/pg_type.h"
#include "ext/message.h"
#include "ext/spi_util.h"

/* Alerts of a VPS itself count for each of its applications. %s: which rows. */
#define COUNT_SQL(which)                                                                                     \
	"WITH wanted AS (SELECT s.vps_name, s.app_name, count(a.alert_id)::int4 AS n, max(a.severity) AS worst " \
	"FROM observ.fleet_summary s LEFT JOIN observ.alerts a ON a.status <> 'resolved' AND a.status <> "       \
	"'pending' AND a.instance = s.vps_name AND NOT a.labels ? '" OBSERV_TEST_LABEL                           \
	"' AND (a.app_name IS NULL OR a.app_name = s.app_name) " which                                           \
	" GROUP BY 1, 2), locked AS (SELECT f.vps_name, f.app_name, w.n, w.worst FROM observ.fleet_summary f "   \
	"JOIN wanted w ON f.vps_name = w.vps_name AND f.app_name = w.app_name WHERE f.firing_alerts <> w.n OR "  \
	"f.worst_severity IS DISTINCT FROM w.worst ORDER BY 1, 2 FOR NO KEY UPDATE OF f SKIP LOCKED) "           \
	"UPDATE observ.fleet_summary f SET firing_alerts = l.n, worst_severity = l.worst FROM locked l WHERE "   \
	"f.vps_name = l.vps_name AND f.app_name = l.app_name"

void
observ_count_alerts(ArrayType *vps_names)
{
	static SPIPlanPtr some = NULL, all = NULL;
	Datum value = PointerGetDatum(vps_names);

	if (vps_names == NULL)
		observ_spi_kept(&all, SPI_OK_UPDATE, COUNT_SQL(""), 0, NULL, NULL, NULL);
	else
		observ_spi_kept(&some, SPI_OK_UPDATE, COUNT_SQL("WHERE s.vps_name = ANY ($1)"), 1,
						(Oid[]){TEXTARRAYOID}, &value, NULL);
}
