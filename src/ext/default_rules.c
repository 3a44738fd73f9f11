/*
 * The alert rules that come with observ: put in by CREATE EXTENSION, brought up to date by ALTER EXTENSION UPDATE, put back one by one.
 * What does not belong here: the rules themselves (rules/<category>.sql), checking rules (rule_check.c).
 *
 * Three things are known of each: what this version ships (observ_data.default_rules, a member of the extension), the row of
 * observ.alert_rules, which belongs to the user, and that it has been here before (observ_data.default_rules_seen, which is dumped with
 * the user's tables). A rule is edited when the hash of its row is no longer that which it came with (alert_rules.shipped_as).
 */
#include "postgres.h"

#include "ext/default_rules.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

OBSERV_SQL_FUNCTION(observ_list_default_rules);
OBSERV_SQL_FUNCTION(observ_merge_default_rules);
OBSERV_SQL_FUNCTION(observ_restore_default_rule);

/* Hash of the row r of observ.alert_rules. */
#define HASH_OF_ROW "observ_data._rule_hash(observ_data._rule_definition(pg_catalog.to_jsonb(r)))"

/* A row of observ.alert_rules out of the definition in s. Query rules run as the owner of the tables, not as who installs. */
#define ROW_OF_DEFINITION                                                                                    \
	"pg_catalog.jsonb_populate_record(NULL::observ.alert_rules, observ_data._rule_defaults() || "            \
	"s.definition)"

/* Columns that make a rule what it is, quoted, each with that before it, with commas between. */
static char *
columns(const char *prefix)
{
	observ_spi(SPI_OK_SELECT,
			   psprintf("SELECT pg_catalog.string_agg('%s' || pg_catalog.quote_ident(c.name), ', ' ORDER BY "
						"c.name) FROM observ_data._rule_columns() c",
						prefix),
			   0, NULL, NULL, NULL);
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Rows as text must not depend on settings of the session: their hashes are kept. */
static int
settings_begin(void)
{
	int nest_level = NewGUCNestLevel();

	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	return nest_level;
}

/* Puts default rules (s) into observ.alert_rules; `which`: a condition about s. */
static uint64
insert_rules(const char *which, int nargs, const Oid *types, const Datum *values)
{
	return observ_spi(SPI_OK_INSERT_RETURNING,
					  psprintf("INSERT INTO observ.alert_rules (%s, owner, shipped_as) "
							   "SELECT %s, 'observ_owner', s.hash FROM observ_data.default_rules s, "
							   "LATERAL " ROW_OF_DEFINITION " p WHERE %s "
							   "ORDER BY s.number ON CONFLICT DO NOTHING RETURNING rule_id",
							   columns(""), columns("p."), which),
					  nargs, types, values, NULL);
}

/* Makes rules (r) what ships under their name (s); `which`: a condition about r and s. */
static uint64
update_rules(const char *which, int nargs, const Oid *types, const Datum *values)
{
	return observ_spi(SPI_OK_UPDATE_RETURNING,
					  psprintf("UPDATE observ.alert_rules r SET (%s) = (SELECT %s FROM " ROW_OF_DEFINITION
							   " p), owner = 'observ_owner', shipped_as = s.hash "
							   "FROM observ_data.default_rules s WHERE s.name = r.name AND %s "
							   "RETURNING r.rule_id",
							   columns(""), columns("p."), which),
					  nargs, types, values, NULL);
}

static void
remember_rules(void)
{
	observ_spi(SPI_OK_INSERT,
			   "INSERT INTO observ_data.default_rules_seen (name) SELECT r.name FROM observ.alert_rules r "
			   "JOIN observ_data.default_rules s USING (name) WHERE r.shipped_as IS NOT NULL "
			   "ON CONFLICT DO NOTHING",
			   0, NULL, NULL, NULL);
}

/* What a merge did. */
typedef struct Merged {
	uint64 added, updated, removed, edited;
} Merged;

static Merged
merge(void)
{
	Merged done;
	int nest_level = settings_begin();

	observ_spi(SPI_OK_UTILITY, "LOCK TABLE observ.alert_rules IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL,
			   NULL);
	done.removed =
		observ_spi(SPI_OK_DELETE_RETURNING,
				   "WITH gone AS (DELETE FROM observ.alert_rules r WHERE r.shipped_as = " HASH_OF_ROW
				   " AND NOT EXISTS (SELECT FROM observ_data.default_rules s WHERE s.name = r.name) "
				   "RETURNING r.name) DELETE FROM observ_data.default_rules_seen d USING gone g "
				   "WHERE d.name = g.name RETURNING d.name",
				   0, NULL, NULL, NULL);
	/* Also those that were edited into what ships now. */
	done.updated =
		update_rules("r.shipped_as <> s.hash AND " HASH_OF_ROW " IN (r.shipped_as, s.hash)", 0, NULL, NULL);
	done.added =
		insert_rules("NOT EXISTS (SELECT FROM observ.alert_rules r WHERE r.name = s.name) AND "
					 "NOT EXISTS (SELECT FROM observ_data.default_rules_seen d WHERE d.name = s.name)",
					 0, NULL, NULL);
	remember_rules();
	done.edited =
		observ_spi(SPI_OK_SELECT, "SELECT 1 FROM observ.alert_rules r WHERE r.shipped_as <> " HASH_OF_ROW, 0,
				   NULL, NULL, NULL);
	AtEOXact_GUC(true, nest_level);
	return done;
}

void
observ_merge_rules(void)
{
	(void) merge();
}

/* observ_data._merge_default_rules(); see its COMMENT. */
Datum
observ_merge_default_rules(PG_FUNCTION_ARGS)
{
	Datum values[4];
	bool nulls[lengthof(values)] = {0};
	Merged done;

	SPI_connect();
	done = merge();
	SPI_finish();
	values[0] = Int64GetDatum(done.added);
	values[1] = Int64GetDatum(done.updated);
	values[2] = Int64GetDatum(done.removed);
	values[3] = Int64GetDatum(done.edited);
	return observ_row(fcinfo, values, nulls);
}

static void
require_default_rule(const Oid *types, const Datum *values)
{
	const char *name = TextDatumGetCString(values[0]);

	if (observ_spi(SPI_OK_SELECT, "SELECT 1 FROM observ_data.default_rules WHERE name = $1", 1, types, values,
				   NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no default rule \"%s\"", name),
						errhint("SELECT name FROM observ.default_rules() lists them.")));
	if (observ_spi(SPI_OK_SELECT, "SELECT 1 FROM observ.alert_rules WHERE name = $1 AND shipped_as IS NULL",
				   1, types, values, NULL) > 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("the rule \"%s\" is your own, not a default rule that was edited", name),
						errhint("Rename it first: UPDATE observ.alert_rules SET name = … WHERE name = '%s'.",
								name)));
}

/*
 * observ.restore_default_rule(name) → rule_id; see its COMMENT. As the caller, who must be allowed to write rules.
 * Errors: 42704 when no such rule ships, 42710 when a rule of one's own has the name.
 */
Datum
observ_restore_default_rule(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID};
	Datum values[] = {PG_GETARG_DATUM(0)};
	int nest_level;
	int64 rule_id;
	bool isnull;

	observ_require_versions();
	SPI_connect();
	nest_level = settings_begin();
	require_default_rule(types, values);
	/* One of the two. */
	if (update_rules("s.name = $1", 1, types, values) == 0 &&
		insert_rules("s.name = $1", 1, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the rule \"%s\" was changed at the same time", TextDatumGetCString(values[0]))));
	rule_id = DatumGetInt64(observ_spi_value(0, 1, &isnull));
	remember_rules();
	AtEOXact_GUC(true, nest_level);
	SPI_finish();
	PG_RETURN_INT64(rule_id);
}

static const char list_sql[] =
	"SELECT s.name, s.whole ->> 'category', (s.whole ->> 'severity')::observ.severity, "
	"CASE WHEN r.shipped_as = " HASH_OF_ROW
	" THEN CASE WHEN r.shipped_as = s.hash THEN 'unchanged' ELSE 'older' END "
	"WHEN r.shipped_as IS NOT NULL THEN 'edited' WHEN r.name IS NOT NULL THEN 'own rule' "
	"WHEN d.name IS NOT NULL THEN 'deleted' ELSE 'missing' END, r.rule_id, "
	"s.definition FROM (SELECT *, observ_data._rule_defaults() || definition AS whole FROM "
	"observ_data.default_rules) s LEFT JOIN observ.alert_rules r ON r.name = s.name "
	"LEFT JOIN observ_data.default_rules_seen d ON d.name = s.name ORDER BY s.number, s.name";

/* observ.default_rules() → set of rows; see its COMMENT. */
Datum
observ_list_default_rules(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ObservIdentity saved;
	int nest_level;
	uint64 n;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	nest_level = settings_begin();
	SPI_connect();
	n = observ_spi(SPI_OK_SELECT, list_sql, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++) {
		Datum values[6];
		bool nulls[lengthof(values)];

		for (size_t j = 0; j < lengthof(values); j++)
			values[j] = observ_spi_value(i, (int) j + 1, &nulls[j]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	AtEOXact_GUC(true, nest_level);
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
