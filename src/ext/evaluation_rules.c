/*
 * What is known of each rule from one evaluation to the next: observ_data.rule_state. What does not belong here: its alerts.
 */
#include "postgres.h"

#include "ext/evaluation_parts.h"

#include "catalog/pg_type.h"
#include "ext/row_batch.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* data_seen_at may be that old: it is not written at each evaluation. */
#define DATA_SEEN_EVERY_US (INT64CONST(3600) * USECS_PER_SEC)

static const char read_sql[] =
	"SELECT rule_id, version, evaluated_at, errors, last_error, last_error_sqlstate, error_since, "
	"data_seen_at, overflow FROM observ_data.rule_state";

static const char write_sql[] =
	"INSERT INTO observ_data.rule_state AS s (rule_id, version, evaluated_at, errors, last_error, "
	"last_error_sqlstate, error_since, data_seen_at, overflow) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, "
	"$7, $8, $9) ON CONFLICT (rule_id) DO UPDATE SET version = excluded.version, evaluated_at = "
	"excluded.evaluated_at, errors = excluded.errors, last_error = excluded.last_error, last_error_sqlstate "
	"= excluded.last_error_sqlstate, error_since = excluded.error_since, data_seen_at = "
	"excluded.data_seen_at, overflow = excluded.overflow";

static const Oid write_types[] = {INT8OID, INT4OID,        TIMESTAMPTZOID, INT4OID, TEXTOID,
								  TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};

static int
compare_rule_id(const void *key, const void *rule)
{
	int64 id = *(const int64 *) key, other = ((const ObservRule *) rule)->rule_id;

	return (id > other) - (id < other);
}

ObservRule *
observ_find_rule(const ObservEvaluation *evaluation, int64 rule_id)
{
	return bsearch(&rule_id, evaluation->rules, evaluation->n_rules, sizeof(ObservRule), compare_rule_id);
}

void
observ_read_rule_state(ObservEvaluation *evaluation, TimestampTz before)
{
	static SPIPlanPtr plan = NULL;
	uint64 n = observ_spi_read(&plan, read_sql, 0, NULL, NULL, NULL);
	SPITupleTable *rows = SPI_tuptable;

	for (int i = 0; i < evaluation->n_rules; i++) {
		ObservRuleProgress *progress = &evaluation->progress[i];

		progress->last = progress->error_since = progress->data_seen_at = DT_NOBEGIN;
		progress->edited = true;
	}
	for (uint64 row = 0; row < n; row++) {
		const ObservRule *rule = observ_find_rule(evaluation, observ_spi_int64(row, 1));
		ObservRuleProgress *progress;

		if (rule == NULL) {
			evaluation->has_strangers = true;
			continue;
		}
		progress = observ_progress_of(evaluation, rule);
		progress->known = true;
		progress->version = observ_spi_int32(row, 2);
		progress->last = rule->interval_us > 0 ? observ_spi_time(row, 3) : before;
		progress->errors = observ_spi_int32(row, 4);
		progress->last_error = observ_spi_text(row, 5);
		progress->sqlstate = observ_spi_text(row, 6);
		progress->error_since = observ_spi_time(row, 7);
		progress->data_seen_at = observ_spi_time(row, 8);
		progress->overflow = observ_spi_int32(row, 9);
		progress->edited = progress->version != rule->version;
	}
	SPI_freetuptable(rows);
}

static void
note_error(ObservEvaluation *evaluation, ObservRuleProgress *progress, const ObservRule *rule)
{
	if (rule->error == NULL) {
		progress->write |= progress->errors > 0;
		progress->errors = 0;
		progress->last_error = progress->sqlstate = NULL;
		progress->error_since = DT_NOBEGIN;
		return;
	}
	if (progress->errors == 0)
		progress->error_since = evaluation->at;
	progress->errors++;
	progress->last_error = MemoryContextStrdup(evaluation->context, rule->error);
	progress->sqlstate = rule->sqlstate ? MemoryContextStrdup(evaluation->context, rule->sqlstate) : NULL;
	progress->failed = progress->write = true;
}

void
observ_rule_evaluated(ObservEvaluation *evaluation, ObservRule *rule)
{
	ObservRuleProgress *progress = &evaluation->progress[rule->index];
	int64 beyond = Min(progress->beyond, PG_INT32_MAX);

	note_error(evaluation, progress, rule);
	progress->last = evaluation->at;
	progress->write |= rule->interval_us > 0 || !progress->known;
	if (rule->error != NULL)
		return;
	if (progress->edited) {
		progress->version = rule->version;
		progress->edited = false;
		progress->write = true;
	}
	if (progress->overflow != beyond) {
		progress->overflow = (int) beyond;
		progress->write = true;
	}
	if (rule->observed > 0 &&
		(TIMESTAMP_NOT_FINITE(progress->data_seen_at) || evaluation->at < progress->data_seen_at ||
		 evaluation->at - progress->data_seen_at >= DATA_SEEN_EVERY_US)) {
		progress->data_seen_at = evaluation->at;
		progress->write = true;
	}
}

static void
put_time(Datum *value, bool *null, TimestampTz time)
{
	*null = time == DT_NOBEGIN;
	*value = TimestampTzGetDatum(time);
}

static void
put_text(Datum *value, bool *null, const char *s)
{
	*null = s == NULL;
	*value = s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

void
observ_write_rule_state(ObservEvaluation *evaluation)
{
	static SPIPlanPtr plan = NULL, forget = NULL;
	ObservRowBatch *batch = observ_row_batch(write_types, lengthof(write_types));

	for (int i = 0; i < evaluation->n_rules; i++) {
		const ObservRuleProgress *progress = &evaluation->progress[i];
		Datum values[lengthof(write_types)];
		bool nulls[lengthof(write_types)] = {false};

		if (!progress->write)
			continue;
		values[0] = Int64GetDatum(evaluation->rules[i].rule_id);
		values[1] = Int32GetDatum(progress->version);
		put_time(&values[2], &nulls[2], evaluation->rules[i].interval_us > 0 ? progress->last : DT_NOBEGIN);
		values[3] = Int32GetDatum(progress->errors);
		put_text(&values[4], &nulls[4], progress->last_error);
		put_text(&values[5], &nulls[5], progress->sqlstate);
		put_time(&values[6], &nulls[6], progress->error_since);
		put_time(&values[7], &nulls[7], progress->data_seen_at);
		values[8] = Int32GetDatum(progress->overflow);
		observ_row_batch_add(batch, values, nulls);
	}
	observ_row_batch_run(batch, &plan, SPI_OK_INSERT, write_sql);
	/* Of rules that are not enabled, or not there any more: one that is enabled again begins anew, and what it missed is not made up for. */
	if (evaluation->has_strangers)
		observ_spi_kept(&forget, SPI_OK_DELETE,
						"DELETE FROM observ_data.rule_state s WHERE NOT EXISTS (SELECT FROM "
						"observ.alert_rules r WHERE r.rule_id = s.rule_id AND r.enabled)",
						0, NULL, NULL, NULL);
}

static bool
rule_exists(int64 rule_id)
{
	static SPIPlanPtr plan = NULL;
	Datum value = Int64GetDatum(rule_id);

	return observ_spi_read(&plan, "SELECT 1 FROM observ.alert_rules WHERE rule_id = $1", 1, (Oid[]){INT8OID},
						   &value, NULL) > 0;
}

void
observ_close_orphans(ObservEvaluation *evaluation)
{
	int64 asked = 0;
	const char *reason = NULL;

	for (int i = 0; i < evaluation->store->n; i++) {
		ObservLiveAlert *alert = evaluation->store->all[i];

		if (alert->rule != NULL || (alert->state.status == ALERT_RESOLVED && !alert->state.flapping))
			continue;
		if (reason == NULL || asked != alert->rule_id) {
			asked = alert->rule_id;
			reason = rule_exists(asked) ? "rule_disabled" : "rule_deleted";
		}
		observ_close_alert(evaluation, alert, reason);
	}
}
