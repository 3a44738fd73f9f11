/*
 * What an evaluation asks about VPSs: the registry observ.vps. Most VPSs have nothing special, so the whole of it is read only when
 * labels are asked for. What does not belong here: samples.
 */
#include "postgres.h"

#include "ext/evaluation_parts.h"

#include "catalog/pg_type.h"
#include "ext/label_matchers.h"
#include "ext/spi_util.h"
#include "ext/vps_key.h"
#include "ext/window_store.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define DEFAULT_INTERVAL_US (INT64CONST(60) * USECS_PER_SEC)

typedef struct VpsEntry {
	ObservVpsKey key; /* of the VPS alone */
	int64 expected_us;
	bool retired;
	Jsonb *labels;
} VpsEntry;

/* expected_interval of a thousand years is as good as any longer one. */
#define VPS_COLUMNS                                                                                          \
	"vps_name, coalesce((least(extract(epoch FROM expected_interval), 3e10) * 1000000)::int8, 0), "          \
	"status = 'retired', labels"

static HTAB *
read_vps(ObservEvaluation *evaluation, SPIPlanPtr *plan, const char *sql)
{
	MemoryContext before = CurrentMemoryContext;
	uint64 n = observ_spi_read(plan, sql, 0, NULL, NULL, NULL);
	SPITupleTable *rows = SPI_tuptable;
	HTAB *table;

	MemoryContextSwitchTo(evaluation->context);
	table = observ_vps_table_create("observ VPSs", sizeof(VpsEntry), 256);
	for (uint64 i = 0; i < n; i++) {
		bool isnull;
		text *name = DatumGetTextPCopy(observ_spi_value(i, 1, &isnull));
		ObservVpsKey key = observ_vps_key(PointerGetDatum(name), (Datum) 0);
		VpsEntry *entry = hash_search(table, &key, HASH_ENTER, NULL);

		entry->expected_us = DatumGetInt64(observ_spi_value(i, 2, &isnull));
		entry->retired = DatumGetBool(observ_spi_value(i, 3, &isnull));
		entry->labels = DatumGetJsonbPCopy(observ_spi_value(i, 4, &isnull));
	}
	SPI_freetuptable(rows);
	MemoryContextSwitchTo(before);
	return table;
}

static const VpsEntry *
find(HTAB *table, const char *vps_name)
{
	ObservVpsKey key = {.vps = vps_name, .vps_len = strlen(vps_name), .app = ""};

	return hash_search(table, &key, HASH_FIND, NULL);
}

static const VpsEntry *
special_vps(ObservEvaluation *evaluation, const char *vps_name)
{
	static SPIPlanPtr plan = NULL;

	if (vps_name == NULL)
		return NULL;
	if (evaluation->special == NULL)
		evaluation->special =
			read_vps(evaluation, &plan,
					 "SELECT " VPS_COLUMNS " FROM observ.vps WHERE expected_interval IS NOT NULL OR "
					 "status <> 'active'");
	return hash_get_num_entries(evaluation->special) == 0 ? NULL : find(evaluation->special, vps_name);
}

static const VpsEntry *
registered_vps(ObservEvaluation *evaluation, const char *vps_name)
{
	static SPIPlanPtr plan = NULL;

	if (vps_name == NULL)
		return NULL;
	if (evaluation->registry == NULL)
		evaluation->registry = read_vps(evaluation, &plan, "SELECT " VPS_COLUMNS " FROM observ.vps");
	return find(evaluation->registry, vps_name);
}

bool
observ_vps_is_retired(ObservEvaluation *evaluation, const char *vps_name)
{
	const VpsEntry *entry = special_vps(evaluation, vps_name);

	return entry != NULL && entry->retired;
}

bool
observ_summary_is_of(TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	TimestampTz seen;

	if (observ_spi_read(&plan, "SELECT seen_until FROM observ_data.summary_state", 0, NULL, NULL, NULL) == 0)
		return false;
	seen = observ_spi_time(0, 1);
	return seen > at - OBSERV_LOOKBACK && seen < at + OBSERV_LOOKBACK;
}

bool
observ_vps_is_deleted(ObservEvaluation *evaluation, const char *vps_name)
{
	static SPIPlanPtr plan = NULL;
	static const char sql[] = "SELECT FROM observ.vps v WHERE v.vps_name = $1 "
							  "UNION ALL SELECT FROM observ.fleet_summary f WHERE f.vps_name = $1 LIMIT 1";
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(vps_name)};
	int nest_level;
	uint64 n;

	if (!observ_summary_is_of(evaluation->at))
		return false;
	nest_level = observ_few_rows_begin();
	n = observ_spi_read(&plan, sql, lengthof(types), types, values, NULL);
	observ_few_rows_end(nest_level);
	SPI_freetuptable(SPI_tuptable);
	return n == 0;
}

Jsonb *
observ_vps_labels(ObservEvaluation *evaluation, const char *vps_name)
{
	const VpsEntry *entry = registered_vps(evaluation, vps_name);

	return entry == NULL ? NULL : entry->labels;
}

int64
observ_expected_interval(ObservEvaluation *evaluation, const char *vps_name, int64 said_by_rows_us)
{
	const VpsEntry *entry = special_vps(evaluation, vps_name);

	if (entry != NULL && entry->expected_us > 0)
		return entry->expected_us;
	return said_by_rows_us > 0 ? said_by_rows_us : DEFAULT_INTERVAL_US;
}

typedef struct Selected {
	ObservEvaluation *evaluation;
	const char *vps_name, *app_name;
} Selected;

static struct slice
selected_label(void *arg, struct slice name)
{
	const Selected *selected = arg;
	Jsonb *labels;
	JsonbValue v;

	if (slice_equals(name, "vps_name") || slice_equals(name, "instance"))
		return slice_of(selected->vps_name);
	if (slice_equals(name, "app_name"))
		return slice_of(selected->app_name ? selected->app_name : "");
	labels = observ_vps_labels(selected->evaluation, selected->vps_name);
	if (labels == NULL ||
		getKeyJsonValueFromContainer(&labels->root, name.p, name.end - name.p, &v) == NULL ||
		v.type != jbvString)
		return slice_of("");
	return (struct slice){v.val.string.val, v.val.string.val + v.val.string.len};
}

bool
observ_rule_selects(ObservEvaluation *evaluation, const ObservRule *rule, const char *vps_name,
					const char *app_name)
{
	Selected selected = {evaluation, vps_name, app_name};

	if (observ_vps_is_retired(evaluation, vps_name))
		return false;
	if (rule->selector == NULL || vps_name == NULL)
		return true;
	return observ_matchers_accept(rule->selector, selected_label, &selected);
}
