/*
 * Alert rules over log entries: how many there are in a window, per VPS and application. All rules are counted in one pass over the entries.
 * What does not belong here: matchers (log_rule.c, log_pattern.c).
 *
 * What many entries have in common is decided once: level, logger and source per value, VPS and application per pair of them. What is left per entry
 * is to look the verdicts up, and the message where a rule asks for it and nothing else has refused. Rules that want errors only have an index
 * that leads to them; the others see every entry of their windows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "ext/label_matchers.h"
#include "ext/log_rule.h"
#include "ext/recent_rows.h"
#include "ext/rule_fleet.h"
#include "ext/rule_series.h"
#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* An instance, or what is one for some rules: a VPS and application, or a VPS as a whole. */
typedef struct Owner {
	ObservVpsKey key;    /* the names end with a null byte */
	struct Owner *whole; /* the VPS; NULL: it is that */
	signed char *takes;  /* per rule: whether it is about that; -1: not known yet */
	int64 *counts;       /* per rule */
	TimestampTz *newest; /* per rule; where there is a count */
	int told;            /* number of the rule, from 1, that was told of it */
} Owner;

/* What rules think of a value of level, logger or source. */
typedef struct Verdict {
	struct slice value; /* the key */
	bool *accepted;     /* per rule */
	uint32 hash;
	char status;
} Verdict;

#define SH_PREFIX            verdicts
#define SH_ELEMENT_TYPE      Verdict
#define SH_KEY_TYPE          struct slice
#define SH_KEY               value
#define SH_HASH_KEY(tb, key) hash_bytes((const unsigned char *) (key).p, (int) ((key).end - (key).p))
#define SH_EQUAL(tb, a, b)   (slice_compare(a, b) == 0)
#define SH_SCOPE             static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Pass {
	ObservEvaluation *evaluation;
	MemoryContext context;
	MemoryContext entry; /* reset for every entry */
	ObservLogRule *rules;
	int n;
	int *some; /* numbers of the rules that the entries at hand are read for */
	int n_some;
	bool messages; /* one of these looks at messages */
	verdicts_hash *verdicts[LOG_MESSAGE];
	HTAB *owners, *whole; /* of Owner */
	ObservFleet *fleet;   /* NULL: not asked for yet */
} Pass;

/* A log entry. */
typedef struct Entry {
	TimestampTz at;
	Datum vps_name, app_name;
	Datum fields[LOG_FIELDS];
	bool nulls[LOG_FIELDS];
} Entry;

static const char urgent_sql[] =
	"SELECT \"timestamp\", vps_name, app_name, level, logger, source, message FROM observ.log_entries "
	"WHERE \"timestamp\" > $1 AND \"timestamp\" <= $2 AND upper(level) = ANY (" OBSERV_URGENT_LEVELS ")";

/* ---- owners */

static Owner *
new_owner(Pass *pass, HTAB *table, const ObservVpsKey *key)
{
	bool found;
	Owner *owner = hash_search(table, key, HASH_ENTER, &found);

	if (found)
		return owner;
	owner->key.vps = MemoryContextStrdup(pass->context, pnstrdup(key->vps, key->vps_len));
	owner->key.app = MemoryContextStrdup(pass->context, pnstrdup(key->app, key->app_len));
	owner->whole = NULL;
	owner->takes = MemoryContextAlloc(pass->context, pass->n);
	memset(owner->takes, -1, pass->n);
	owner->counts = MemoryContextAllocZero(pass->context, sizeof(int64) * pass->n);
	owner->newest = MemoryContextAllocZero(pass->context, sizeof(TimestampTz) * pass->n);
	owner->told = 0;
	return owner;
}

static Owner *
owner_of(Pass *pass, const ObservVpsKey *key)
{
	ObservVpsKey vps = {key->vps, "", key->vps_len, 0};
	Owner *owner = hash_search(pass->owners, key, HASH_FIND, NULL);

	if (owner != NULL)
		return owner;
	owner = new_owner(pass, pass->owners, key);
	owner->whole = new_owner(pass, pass->whole, &vps);
	return owner;
}

static bool
rule_takes(Pass *pass, Owner *owner, int number)
{
	const ObservRule *rule = pass->rules[number].rule;

	if (owner->takes[number] < 0)
		owner->takes[number] = observ_rule_takes_owner(rule, owner->key.vps, owner->key.app) &&
							   observ_rule_selects(pass->evaluation, rule, owner->key.vps, owner->key.app);
	return owner->takes[number];
}

/* ---- counting */

static const bool *
verdict_of(Pass *pass, enum log_field field, const Entry *entry)
{
	struct slice value =
		entry->nulls[field] ? slice_of("") : observ_text_slice(DatumGetTextPP(entry->fields[field]));
	bool found;
	Verdict *verdict = verdicts_lookup(pass->verdicts[field], value);
	char *kept;

	if (verdict != NULL)
		return verdict->accepted;
	kept = MemoryContextAlloc(pass->context, value.end - value.p + 1);
	memcpy(kept, value.p, value.end - value.p);
	value = (struct slice){kept, kept + (value.end - value.p)};
	verdict = verdicts_insert(pass->verdicts[field], value, &found);
	verdict->accepted = MemoryContextAlloc(pass->context, sizeof(bool) * pass->n);
	for (int i = 0; i < pass->n; i++) {
		ObservLogValue log_value = {.bytes = value};

		verdict->accepted[i] = observ_log_rule_accepts(pass->evaluation, &pass->rules[i], field, &log_value);
	}
	return verdict->accepted;
}

static void
count_entry(Pass *pass, const Entry *entry)
{
	ObservVpsKey key = observ_vps_key(entry->vps_name, entry->app_name);
	const bool *level = verdict_of(pass, LOG_LEVEL, entry);
	const bool *logger = verdict_of(pass, LOG_LOGGER, entry);
	const bool *source = verdict_of(pass, LOG_SOURCE, entry);
	Owner *owner = NULL;
	ObservLogValue message = {0};

	for (int i = 0; i < pass->n_some; i++) {
		int number = pass->some[i];
		ObservLogRule *rule = &pass->rules[number];
		Owner *counted;

		if (!level[number] || !logger[number] || !source[number] || entry->at <= rule->start ||
			entry->at > rule->time || rule->failed)
			continue;
		if (owner == NULL)
			owner = owner_of(pass, &key);
		if (!rule_takes(pass, owner, number))
			continue;
		if (rule->has_message) {
			if (message.bytes.p == NULL)
				message.bytes = observ_text_slice(DatumGetTextPP(entry->fields[LOG_MESSAGE]));
			if (!observ_log_rule_accepts(pass->evaluation, rule, LOG_MESSAGE, &message))
				continue;
		}
		counted = rule->rule->per_app ? owner : owner->whole;
		counted->newest[number] =
			counted->counts[number]++ == 0 ? entry->at : Max(counted->newest[number], entry->at);
	}
}

/* ---- reading */

/* The rules that want urgent levels only, or the others; and the times of their entries. False: there are none. */
static bool
choose_rules(Pass *pass, bool urgent, TimestampTz *after, TimestampTz *until)
{
	*after = DT_NOEND;
	*until = DT_NOBEGIN;
	pass->n_some = 0;
	pass->messages = false;
	for (int i = 0; i < pass->n; i++) {
		const ObservLogRule *rule = &pass->rules[i];

		if (rule->urgent != urgent || rule->failed)
			continue;
		pass->some[pass->n_some++] = i;
		pass->messages |= rule->has_message;
		*after = Min(*after, rule->start);
		*until = Max(*until, rule->time);
	}
	return pass->n_some > 0;
}

static void
take_urgent(void *arg, uint64 row)
{
	Pass *pass = arg;
	bool isnull;
	Entry entry = {.at = DatumGetTimestampTz(observ_spi_value(row, 1, &isnull)),
				   .vps_name = observ_spi_value(row, 2, &isnull),
				   .app_name = observ_spi_value(row, 3, &isnull)};

	MemoryContext caller = MemoryContextSwitchTo(pass->entry);

	for (int field = 0; field < LOG_FIELDS; field++)
		entry.fields[field] = observ_spi_value(row, 4 + field, &entry.nulls[field]);
	count_entry(pass, &entry);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(pass->entry);
}

static void
take_recent(ObservRecent *recent, TupleTableSlot *slot, TimestampTz timestamp)
{
	Entry entry = {.at = timestamp,
				   .vps_name = slot->tts_values[recent->vps - 1],
				   .app_name = slot->tts_values[recent->app - 1]};

	for (int field = 0; field < recent->n; field++) {
		entry.fields[field] = slot->tts_values[recent->columns[field] - 1];
		entry.nulls[field] = slot->tts_isnull[recent->columns[field] - 1];
	}
	count_entry(recent->arg, &entry);
}

static void
count_entries(Pass *pass)
{
	TimestampTz after, until;

	if (choose_rules(pass, true, &after, &until)) {
		Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
		Datum values[] = {TimestampTzGetDatum(after), TimestampTzGetDatum(until)};
		int nest_level = observ_few_rows_begin();

		observ_spi_each(urgent_sql, lengthof(types), types, values, NULL, take_urgent, pass);
		observ_few_rows_end(nest_level);
	}
	if (choose_rules(pass, false, &after, &until)) {
		ObservRecent recent = {.table = "log_entries",
							   .after = after,
							   .until = until,
							   .received = DT_NOBEGIN,
							   .names = observ_log_fields,
							   .n = pass->messages ? LOG_FIELDS : LOG_MESSAGE,
							   .take = take_recent,
							   .arg = pass};

		observ_recent_rows(&recent);
	}
}

/* ---- telling */

typedef struct Telling {
	Pass *pass;
	int number;
	enum alert_signal zero; /* what no entries mean */
} Telling;

static double
value_of(const ObservLogRule *rule, int64 count)
{
	if (strcmp(rule->rule->metric_name, "log_rate") == 0)
		return (double) count * USECS_PER_SEC / (double) rule->rule->window_us;
	return (double) count;
}

static enum alert_signal
signal_of(const ObservLogRule *rule, int64 count)
{
	return rule_signal(rule->rule->op, rule->rule->threshold, rule->rule->has_clear,
					   rule->rule->clear_threshold, value_of(rule, count));
}

static void
load_fleet(Pass *pass)
{
	if (pass->fleet == NULL)
		pass->fleet = observ_load_fleet();
}

/* Rows of the machine came from that VPS and come no more: what it logs may be on its way. */
static bool
fell_silent(Pass *pass, const char *vps_name)
{
	load_fleet(pass);
	return observ_fleet_fell_silent(pass->fleet, pass->evaluation, vps_name);
}

static void
tell_counted(const Telling *telling, Owner *owner)
{
	Pass *pass = telling->pass;
	ObservLogRule *rule = &pass->rules[telling->number];
	int64 count = owner->counts[telling->number];
	bool for_sure = rule->rule->op == RULE_GT || rule->rule->op == RULE_GTE;
	enum alert_signal signal;
	ObservInstance instance = {.vps_name = owner->key.vps,
							   .app_name = rule->rule->per_app ? owner->key.app : NULL};

	if (count == 0)
		return;
	owner->told = telling->number + 1;
	rule->rule->observed++;
	signal = signal_of(rule, count);
	if (!observ_worth_telling(rule->rule, signal))
		return;
	/* Entries that are still to come can make it more, not less. */
	if (!(signal == SIGNAL_BREACH && for_sure) && fell_silent(pass, owner->key.vps))
		signal = SIGNAL_SILENT;
	observ_tell(pass->evaluation, rule->rule, &instance, signal,
				signal == SIGNAL_SILENT ? get_float8_nan() : value_of(rule, count),
				owner->newest[telling->number]);
}

/* An instance without entries. */
static void
tell_zero(const Telling *telling, const ObservInstance *instance)
{
	Pass *pass = telling->pass;
	ObservRule *rule = pass->rules[telling->number].rule;

	if (fell_silent(pass, instance->vps_name))
		observ_tell(pass->evaluation, rule, instance, SIGNAL_SILENT, get_float8_nan(), DT_NOBEGIN);
	else
		observ_tell(pass->evaluation, rule, instance, telling->zero, 0, DT_NOBEGIN);
}

static void
tell_untold(void *arg, const ObservInstance *instance)
{
	if (instance->vps_name != NULL)
		tell_zero(arg, instance);
}

/* When no entries are a breach, all that could have some are looked at. */
static void
tell_fleet(const Telling *telling)
{
	Pass *pass = telling->pass;
	ObservRule *rule = pass->rules[telling->number].rule;
	HASH_SEQ_STATUS seq;
	ObservFleetMember *member;

	load_fleet(pass);
	hash_seq_init(&seq, rule->per_app ? pass->fleet->members : pass->fleet->vps);
	while ((member = hash_seq_search(&seq)) != NULL) {
		Owner *owner =
			rule->per_app ? owner_of(pass, &member->key) : new_owner(pass, pass->whole, &member->key);
		ObservInstance instance = {.vps_name = owner->key.vps,
								   .app_name = rule->per_app ? owner->key.app : NULL};

		if (owner->told == telling->number + 1 || !rule_takes(pass, owner, telling->number))
			continue;
		rule->observed++;
		tell_zero(telling, &instance);
	}
}

static void
tell_rule(Pass *pass, int number)
{
	ObservLogRule *rule = &pass->rules[number];
	Telling telling = {pass, number, signal_of(rule, 0)};
	HASH_SEQ_STATUS seq;
	Owner *owner;

	hash_seq_init(&seq, rule->rule->per_app ? pass->owners : pass->whole);
	while ((owner = hash_seq_search(&seq)) != NULL)
		tell_counted(&telling, owner);
	/* That there is nothing is a result as well. */
	rule->rule->observed = Max(rule->rule->observed, 1);
	if (telling.zero != SIGNAL_BREACH && rule->rule->active == 0)
		return;
	if (telling.zero == SIGNAL_BREACH)
		tell_fleet(&telling);
	observ_each_untold(pass->evaluation, rule->rule, tell_untold, &telling);
}

/* ---- the source */

static void
begin(Pass *pass, ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	*pass = (Pass){.evaluation = evaluation, .context = CurrentMemoryContext, .n = n};
	pass->entry = AllocSetContextCreate(pass->context, "observ log entry of rules", ALLOCSET_DEFAULT_SIZES);
	pass->rules = palloc(sizeof(ObservLogRule) * n);
	pass->some = palloc(sizeof(int) * n);
	for (int i = 0; i < n; i++)
		pass->rules[i] = observ_log_rule(evaluation, rules[i]);
	for (int field = 0; field < LOG_MESSAGE; field++)
		pass->verdicts[field] = verdicts_create(pass->context, 64, NULL);
	pass->owners = observ_vps_table_create("observ owners of log entries", sizeof(Owner), 256);
	pass->whole = observ_vps_table_create("observ VPSs of log entries", sizeof(Owner), 256);
}

void
observ_evaluate_log_entries(ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "observ rules over log entries", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	Pass pass;

	SPI_connect();
	caller = MemoryContextSwitchTo(context);
	begin(&pass, evaluation, rules, n);
	count_entries(&pass);
	for (int i = 0; i < n; i++)
		if (!pass.rules[i].failed)
			tell_rule(&pass, i);
	MemoryContextSwitchTo(caller);
	SPI_finish();
	MemoryContextDelete(context);
}
