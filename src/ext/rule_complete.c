/*
 * Which source the values of an alert rule come from, by its metric_name or query.
 * What does not belong here: whether its other columns fit (rule_check.c).
 */
#include "postgres.h"

#include "ext/rule_check.h"

#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"

/* How many names of labelled metrics are looked through for the one that was meant. */
#define MAX_NAMES 10000

static bool
series_exists(const char *metric_name)
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {CStringGetTextDatum(metric_name)};

	return observ_spi_kept(&plan, SPI_OK_SELECT,
						   "SELECT 1 FROM observ.metric_series WHERE metric_name = $1 LIMIT 1", 1,
						   (Oid[]){TEXTOID}, values, NULL) > 0;
}

/* Names of labelled metrics, ended by NULL. Steps from one name to the next through the index: there may be millions of series. */
static const char *const *
labelled_names(void)
{
	uint64 n = observ_spi(SPI_OK_SELECT,
						  "WITH RECURSIVE names (name) AS ("
						  "(SELECT metric_name FROM observ.metric_series ORDER BY metric_name LIMIT 1) "
						  "UNION ALL SELECT (SELECT s.metric_name FROM observ.metric_series s "
						  "WHERE s.metric_name > n.name ORDER BY s.metric_name LIMIT 1) "
						  "FROM names n WHERE n.name IS NOT NULL) "
						  "SELECT name FROM names WHERE name IS NOT NULL LIMIT " CppAsString2(MAX_NAMES),
						  0, NULL, NULL, NULL);
	const char **names = palloc0(sizeof(char *) * (n + 1));

	for (uint64 i = 0; i < n; i++)
		names[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
	return names;
}

static void
unknown_metric(const char *metric_name)
{
	const char *nearest = rule_metric_nearest(metric_name, labelled_names());

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("unknown metric \"%s\"", metric_name),
			 errdetail("It is none of observ.alert_metrics(), and no labelled metric has that name yet."),
			 nearest != NULL
				 ? errhint("Perhaps you mean \"%s\". For a labelled metric that is still to come, set source "
						   "to 'metric_samples'.",
						   nearest)
				 : errhint("SELECT name, description FROM observ.alert_metrics(); for a labelled metric that "
						   "is still to come, set source to 'metric_samples'.")));
}

/* Whether somebody else's series are read with the rights of the owner of the tables: who may write rules may know names of metrics. */
static bool
is_labelled(const char *metric_name, bool or_raise)
{
	ObservIdentity saved = observ_as_owner_begin();
	bool exists;

	SPI_connect();
	exists = series_exists(metric_name);
	if (!exists && or_raise)
		unknown_metric(metric_name);
	SPI_finish();
	observ_as_owner_end(&saved);
	return exists;
}

/* The source of a metric when nobody said one. */
static enum rule_source
source_of(const char *metric_name)
{
	const struct rule_metric *metric = rule_metric_find(metric_name);

	if (metric != NULL)
		return metric->source;
	(void) is_labelled(metric_name, true);
	return RULE_METRIC_SAMPLES;
}

/*
 * Whether the row says its source itself. After an UPDATE of metric_name or query alone it still has the old one, which says
 * nothing; but what was a labelled metric and could be one goes on being one.
 */
static bool
says_source(const ObservRuleRow *row, const ObservRuleRow *old)
{
	if (row->nulls[RULE_COL_SOURCE])
		return false;
	if (old == NULL || observ_rule_differs(row, old, RULE_COL_SOURCE) ||
		(!observ_rule_differs(row, old, RULE_COL_METRIC_NAME) &&
		 !observ_rule_differs(row, old, RULE_COL_QUERY)))
		return true;
	return !row->nulls[RULE_COL_METRIC_NAME] &&
		   rule_source_find(observ_rule_text(row, RULE_COL_SOURCE)) == RULE_METRIC_SAMPLES &&
		   is_labelled(observ_rule_text(row, RULE_COL_METRIC_NAME), false);
}

static void
check_said_source(const char *given, enum rule_source source, const char *metric_name)
{
	const struct rule_metric *metric = metric_name != NULL ? rule_metric_find(metric_name) : NULL;

	if (source == RULE_SOURCES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown source of an alert rule"),
						errdetail("Given: %s.", given),
						errhint("One of vps_metrics, health_checks, log_entries, metric_samples, absence or "
								"query; leave it out, and it is found out.")));
	if ((source == RULE_QUERY) != (metric_name == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("source %s does not fit an alert rule with a %s", rule_source_names[source],
							   metric_name == NULL ? "query" : "metric_name"),
						errdetail("%s: %s.", metric_name == NULL ? "query" : "metric_name",
								  metric_name == NULL ? "given" : metric_name),
						errhint("Leave source out, and it is found out.")));
	if (source == RULE_QUERY || source == RULE_METRIC_SAMPLES)
		return;
	if (metric == NULL)
		(void) is_labelled(metric_name, true);
	if (metric == NULL || metric->source != source)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("source %s has no metric \"%s\"", rule_source_names[source], metric_name),
						errdetail("It comes from %s.",
								  rule_source_names[metric == NULL ? RULE_METRIC_SAMPLES : metric->source]),
						errhint("Leave source out, and it is found out.")));
}

void
observ_complete_source(ObservRuleRow *row, const ObservRuleRow *old)
{
	char *metric_name = observ_rule_text(row, RULE_COL_METRIC_NAME);
	enum rule_source source;

	if (row->nulls[RULE_COL_QUERY] == (metric_name == NULL))
		ereport(ERROR,
				(errcode(metric_name == NULL ? ERRCODE_NOT_NULL_VIOLATION : ERRCODE_INVALID_PARAMETER_VALUE),
				 metric_name == NULL ? errmsg("an alert rule needs metric_name or query")
									 : errmsg("an alert rule has either metric_name or query, not both"),
				 errdetail("metric_name: %s.", metric_name == NULL ? "NULL" : metric_name),
				 errhint("SELECT name, description FROM observ.alert_metrics() lists the metrics; a query "
						 "returns labels, value and breach.")));
	if (says_source(row, old)) {
		char *given = observ_rule_text(row, RULE_COL_SOURCE);

		source = rule_source_find(given);
		check_said_source(given, source, metric_name);
	} else
		source = metric_name == NULL ? RULE_QUERY : source_of(metric_name);
	row->values[RULE_COL_SOURCE] = CStringGetTextDatum(rule_source_names[source]);
	row->nulls[RULE_COL_SOURCE] = false;
}
