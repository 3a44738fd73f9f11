/*
 * Who is in the fleet, read once per evaluation by sources that need it. What does not belong here: samples.
 */
#include "postgres.h"

#include "ext/rule_fleet.h"

#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"

static const char fleet_sql[] =
	"SELECT vps_name, app_name FROM observ.fleet_summary WHERE \"timestamp\" IS NOT NULL";

static void
add(HTAB *table, const char *vps_name, const char *app_name)
{
	ObservVpsKey key = {vps_name, app_name, (int) strlen(vps_name), (int) strlen(app_name)};

	(void) hash_search(table, &key, HASH_ENTER, NULL);
}

static void
take_member(void *arg, uint64 row)
{
	ObservFleet *fleet = arg;
	bool isnull;
	const char *vps_name = TextDatumGetCString(observ_spi_value(row, 1, &isnull));
	const char *app_name = TextDatumGetCString(observ_spi_value(row, 2, &isnull));

	add(fleet->members, vps_name, app_name);
	add(fleet->vps, vps_name, "");
}

ObservFleet *
observ_load_fleet(void)
{
	ObservFleet *fleet = palloc(sizeof(ObservFleet));

	fleet->members = observ_vps_table_create("observ fleet of rules", sizeof(ObservFleetMember), 256);
	fleet->vps = observ_vps_table_create("observ VPSs of rules", sizeof(ObservFleetMember), 256);
	observ_spi_each(fleet_sql, 0, NULL, NULL, NULL, take_member, fleet);
	return fleet;
}

bool
observ_fleet_fell_silent(const ObservFleet *fleet, ObservEvaluation *evaluation, const char *vps_name)
{
	ObservVpsKey key = {vps_name, "", (int) strlen(vps_name), 0};

	return hash_search(fleet->vps, &key, HASH_FIND, NULL) != NULL &&
		   observ_vps_is_silent(evaluation, vps_name);
}
