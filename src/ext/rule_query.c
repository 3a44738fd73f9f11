/*
 * Rules that are SQL: each query is run as the owner of its rule, read-only, for a limited time, and can hurt nothing but itself.
 * What does not belong here: refusing queries when they are written (rule_check.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/hash.h"
#include "ext/alert_text.h"
#include "ext/evaluation_parts.h"
#include "ext/gucs.h"
#include "ext/rule_source.h"
#include "ext/rule_check.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define FETCH_ROWS 1000
/* Rows that are read, in alerts that a rule may have: most rows are not alerts. */
#define ROWS_PER_ALERT 10

typedef struct RuleQuery {
	ObservEvaluation *evaluation;
	ObservRule *rule;
	MemoryContext context;
	HTAB *seen; /* hashes of instances */
	int64 rows;
} RuleQuery;

static volatile sig_atomic_t timed_out = false;

static void
rule_timeout(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static TimeoutId
timeout_id(void)
{
	static TimeoutId id = MAX_TIMEOUTS;

	if (id == MAX_TIMEOUTS)
		id = RegisterTimeout(USER_TIMEOUT, rule_timeout);
	return id;
}

static void
refuse_labels(Jsonb *labels, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem),
					errdetail("labels: %s", JsonbToCString(NULL, &labels->root, VARSIZE(labels)))));
}

/* Labels are strings; null is none. They are in every row about the alert, so they are short, as those of series are. */
static void
check_labels(Jsonb *labels)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	int64 bytes = 0;

	if (!JB_ROOT_IS_OBJECT(labels))
		refuse_labels(labels, "labels of a query must be an object");
	if (JB_ROOT_COUNT(labels) > SERIES_LABELS_MAX)
		refuse_labels(labels, "a query gives too many labels");
	it = JsonbIteratorInit(&labels->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_VALUE && v.type != jbvString && v.type != jbvNull)
			refuse_labels(labels, "labels of a query must be strings");
		if ((token == WJB_KEY || token == WJB_VALUE) && v.type == jbvString)
			bytes += v.val.string.len;
	}
	if (bytes > SERIES_LABEL_BYTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("a query gives labels that are too long"),
				 errdetail("Together they have " INT64_FORMAT " bytes; %d is the most.", bytes,
						   SERIES_LABEL_BYTES_MAX)));
}

static enum alert_signal
signal_of(bool breach_is_null, bool breach)
{
	if (breach_is_null)
		return SIGNAL_MISSING;
	return breach ? SIGNAL_BREACH : SIGNAL_CLEAR;
}

static void
take_row(RuleQuery *query, HeapTuple tuple, TupleDesc desc)
{
	bool isnull, value_is_null, breach_is_null, found;
	Datum labels = SPI_getbinval(tuple, desc, 1, &isnull);
	Datum value = SPI_getbinval(tuple, desc, 2, &value_is_null);
	Datum breach = SPI_getbinval(tuple, desc, 3, &breach_is_null);
	ObservInstance instance = {0};
	Jsonb *given = isnull ? NULL : DatumGetJsonbP(labels);

	if (given != NULL) {
		check_labels(given);
		(void) observ_instance_of(given, &instance);
	}
	instance.hash = observ_instance_hash(&instance);
	if (!observ_rule_selects(query->evaluation, query->rule, instance.vps_name, instance.app_name))
		return;
	(void) hash_search(query->seen, &instance.hash, HASH_ENTER, &found);
	if (found)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
						errmsg("the query gives several rows with the same labels"),
						errdetail("labels: %s",
								  given ? JsonbToCString(NULL, &given->root, VARSIZE(given)) : "null")));
	query->rule->observed++;
	observ_tell(query->evaluation, query->rule, &instance,
				signal_of(breach_is_null, !breach_is_null && DatumGetBool(breach)),
				value_is_null ? get_float8_nan() : DatumGetFloat8(value),
				observ_rule_time(query->evaluation->at, query->rule));
}

/* Reads rows until there are too many: those alerts that were not told of then stay as they are. */
static void
read_rows(RuleQuery *query, Portal portal)
{
	int64 most = (int64) observ_max_alerts_per_rule * ROWS_PER_ALERT;

	for (;;) {
		SPITupleTable
			*rows; /* telling of a new alert looks for the episode before it, which is a query, too */
		MemoryContext before;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		rows = SPI_tuptable;
		if (rows->numvals == 0)
			break;
		before = MemoryContextSwitchTo(query->context);
		for (uint64 i = 0; i < rows->numvals && query->rows < most; i++, query->rows++)
			take_row(query, rows->vals[i], rows->tupdesc);
		MemoryContextSwitchTo(before);
		SPI_freetuptable(rows);
		if (query->rows >= most) {
			query->evaluation->progress[query->rule->index].truncated = true;
			break;
		}
	}
	SPI_cursor_close(portal);
}

/* Plans of a session, by rule. */
typedef struct KeptPlan {
	int64 rule_id;
	uint64 hash; /* of the query */
	SPIPlanPtr plan;
} KeptPlan;

/* Many more than there are rules with a query: rules come and go, and a session may last for years. */
#define PLANS_MAX 1000

static HTAB *plans = NULL;

static void
forget_plans(void)
{
	HASH_SEQ_STATUS seq;
	KeptPlan *kept;

	hash_seq_init(&seq, plans);
	while ((kept = hash_seq_search(&seq)) != NULL)
		if (kept->plan != NULL)
			SPI_freeplan(kept->plan);
	hash_destroy(plans);
	plans = NULL;
}

/* The plan of a rule's query, made once: planning costs more than most queries. PostgreSQL makes it anew when tables change. */
static SPIPlanPtr
plan_of(const ObservRule *rule)
{
	HASHCTL ctl = {.keysize = sizeof(int64), .entrysize = sizeof(KeptPlan)};
	uint64 hash = hash_string(HASH_SEED, rule->query);
	KeptPlan *kept;
	SPIPlanPtr plan;
	char *sql;
	bool found;

	if (plans != NULL && hash_get_num_entries(plans) >= PLANS_MAX)
		forget_plans();
	if (plans == NULL)
		plans = hash_create("observ plans of rules", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	kept = hash_search(plans, &rule->rule_id, HASH_FIND, NULL);
	if (kept != NULL && kept->hash == hash)
		return kept->plan;
	sql = psprintf("SELECT q.labels::pg_catalog.jsonb, q.value::pg_catalog.float8, q.breach::pg_catalog.bool "
				   "FROM (\n%s\n) AS q",
				   rule->query);
	plan = SPI_prepare(sql, 1, (Oid[]){TIMESTAMPTZOID});
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the query of a rule: %s", SPI_result_code_string(SPI_result));
	kept = hash_search(plans, &rule->rule_id, HASH_ENTER, &found);
	if (found)
		SPI_freeplan(kept->plan);
	kept->hash = hash;
	kept->plan = plan;
	return plan;
}

/* As the owner of the rule. What is changed here, settings included, the end of the subtransaction puts back. */
static void
run_as_owner(void *arg)
{
	RuleQuery *query = arg;
	const ObservRule *rule = query->rule;
	Oid user;
	int context;
	Datum at = TimestampTzGetDatum(observ_rule_time(query->evaluation->at, rule));

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(observ_query_role(get_role_oid(rule->owner, false)),
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	XactReadOnly = true;
	read_rows(query, SPI_cursor_open(NULL, plan_of(rule), &at, NULL, true));
	SetUserIdAndSecContext(user, context);
}

/* The rule's own timeout is an error of the rule, any other cancel ends the evaluation. */
static void
run_in_time(void *arg)
{
	TimeoutId id = timeout_id();

	timed_out = false;
	enable_timeout_after(id, observ_rule_statement_timeout);
	PG_TRY();
	{
		run_as_owner(arg);
		disable_timeout(id, false);
	}
	PG_CATCH();
	{
		disable_timeout(id, false);
		if (!timed_out || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("query of the rule took longer than observ.rule_statement_timeout (%d ms)",
							   observ_rule_statement_timeout)));
	}
	PG_END_TRY();
	/* It was done when the time was over. */
	if (timed_out)
		QueryCancelPending = false;
}

void
observ_evaluate_queries(ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	for (int i = 0; i < n; i++) {
		MemoryContext before;
		RuleQuery query = {evaluation, rules[i]};
		HASHCTL ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64)};
		ErrorData *error;

		CHECK_FOR_INTERRUPTS();
		query.context =
			AllocSetContextCreate(CurrentMemoryContext, "observ rule query", ALLOCSET_DEFAULT_SIZES);
		before = MemoryContextSwitchTo(query.context);
		ctl.hcxt = query.context;
		query.seen =
			hash_create("observ instances of a query", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		error = observ_in_undone_subtransaction(run_in_time, &query);
		if (error != NULL)
			observ_rule_failed(evaluation, rules[i], unpack_sql_state(error->sqlerrcode), error->message);
		MemoryContextSwitchTo(before);
		MemoryContextDelete(query.context);
	}
}
