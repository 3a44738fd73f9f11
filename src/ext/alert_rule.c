/*
 * Alert rules as evaluation works with them. What does not belong here: reading their columns (rule_row.c), refusing them (rule_check.c).
 */
#include "postgres.h"

#include "ext/alert_rule.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "ext/rule_row.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

static const char all_sql[] = "SELECT * FROM observ.alert_rules WHERE enabled ORDER BY rule_id";
static const char one_sql[] = "SELECT * FROM observ.alert_rules WHERE rule_id = $1";

typedef struct Reading {
	const ObservRuleRow *row;
	ObservRule *rule;
} Reading;

static void
read_row(void *arg)
{
	Reading *reading = arg;

	observ_read_rule(reading->row, reading->rule);
}

/* A rule that somebody broke without asking the trigger keeps its name and number, and says what is wrong. */
static void
read_or_note(const ObservRuleRow *row, ObservRule *rule)
{
	Reading reading = {row, rule};
	ErrorData *error = observ_in_subtransaction(read_row, &reading);

	if (error == NULL)
		return;
	memset(rule, 0, sizeof(ObservRule));
	rule->rule_id = row->nulls[RULE_COL_RULE_ID] ? 0 : DatumGetInt64(row->values[RULE_COL_RULE_ID]);
	rule->version = row->nulls[RULE_COL_VERSION] ? 0 : DatumGetInt32(row->values[RULE_COL_VERSION]);
	rule->name = row->nulls[RULE_COL_NAME] ? "" : observ_rule_text(row, RULE_COL_NAME);
	rule->error = error->message;
	rule->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
}

ObservRule *
observ_load_rules(int64 only, int *n)
{
	static SPIPlanPtr all_plan = NULL, one_plan = NULL;
	Datum values[] = {Int64GetDatum(only)};
	AttrNumber numbers[RULE_COLUMNS];
	SPITupleTable *rows;
	ObservRule *rules;

	if (only == 0)
		*n = (int) observ_spi_read(&all_plan, all_sql, 0, NULL, NULL, NULL);
	else
		*n = (int) observ_spi_read(&one_plan, one_sql, 1, (Oid[]){INT8OID}, values, NULL);
	rows = SPI_tuptable;
	rules = palloc0(sizeof(ObservRule) * Max(*n, 1));
	observ_rule_columns(rows->tupdesc, numbers);
	for (int i = 0; i < *n; i++) {
		ObservRuleRow row;

		observ_rule_row(rows->vals[i], rows->tupdesc, numbers, &row);
		read_or_note(&row, &rules[i]);
		rules[i].index = i;
	}
	SPI_freetuptable(rows);
	return rules;
}

ObservRule *
observ_rule_of_row(HeapTupleHeader header)
{
	ObservRule *rule = palloc0(sizeof(ObservRule));
	TupleDesc desc =
		lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	AttrNumber numbers[RULE_COLUMNS];
	ObservRuleRow row;

	ItemPointerSetInvalid(&tuple.t_self);
	observ_rule_columns(desc, numbers);
	observ_rule_row(&tuple, desc, numbers, &row);
	observ_check_rule(&row, NULL);
	observ_read_rule(&row, rule);
	ReleaseTupleDesc(desc);
	return rule;
}
