/*
 * observ.search_logs(): the newest entries that match, page by page. What does not belong here: what matches (log_filter.c), how a partition
 * is read (log_leaf.c).
 *
 * Partitions are read from the newest to the oldest until there are enough entries; nothing is planned. In each there are two ways:
 * to walk back in time and compare entry by entry, which is the best for common words, and to look the words up in the GIN index, which
 * is the best for rare ones. Which is it? The walk begins, counts how many entries match, and goes on only as long as that promises to
 * be cheaper than the lookup would be. After a lookup it is known how many entries the words have: few are visited, many are met again by a walk
 * that needs to read only those.
 *
 * Runs with the rights of the library, not of the caller: a row-level policy would forbid the index (@@ is not leakproof). Who may see logs
 * is decided by the privilege to execute the function.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "ext/compat.h"
#include "ext/log_leaf.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_search_logs);

/* Costs in microseconds, measured with messages of 100 bytes: only their ratios matter. */
#define WALK_COST   1.2  /* step, read, compare */
#define STEP_COST   0.12 /* step, and find the entry among those looked up */
#define VISIT_COST  0.8  /* read and compare an entry that was looked up */
#define DECODE_COST 0.04 /* an entry of a posting tree */
#define LOOKUP_COST 15.0
/* Entries of a walk between two thoughts. */
#define THINK_EVERY 32
/* What has been learnt in newer partitions counts as much as so many entries. */
#define MEMORY_MAX 1000.0
/* Entries of a VPS in a partition, before one has been seen. */
#define VPS_ROWS_GUESS 1000.0

#define RESULT_COLUMNS 10
#define CURSOR_LENGTH  33

/* One entry found. */
typedef struct Found {
	ObservLogKey key;
	HeapTuple tuple;
} Found;

typedef struct Search {
	ObservLogFilter filter;
	size_t wanted; /* entries that are still missing */
	/* of the partition that is being read: */
	Found *found; /* the best, and maybe others; palloc'd in `context` */
	size_t n_found, max_found;
	MemoryContext context;
	/* learnt so far: */
	double looked, matched;
	double vps_rows;
	ReturnSetInfo *result;
} Search;

/* --- the best entries of a partition ---------------------------------------------------------------------------------- */

static int
compare_found(const void *a, const void *b)
{
	return observ_log_key_compare(&((const Found *) a)->key, &((const Found *) b)->key);
}

static void
forget_found(Search *search)
{
	MemoryContextReset(search->context);
	search->found = NULL;
	search->n_found = search->max_found = 0;
}

static void
keep_best(Search *search)
{
	qsort(search->found, search->n_found, sizeof(Found), compare_found);
	while (search->n_found > search->wanted)
		heap_freetuple(search->found[--search->n_found].tuple);
}

/* Takes the entry in leaf->slot. Up to twice as many as wanted are kept, then the worse half goes. */
static bool
take(ObservLogLeaf *leaf, void *arg)
{
	Search *search = arg;
	MemoryContext old = MemoryContextSwitchTo(search->context);

	if (search->n_found >= search->wanted * 2 && search->n_found >= THINK_EVERY)
		keep_best(search);
	if (search->n_found == search->max_found) {
		search->max_found = Max(search->max_found * 2, 128);
		search->found = search->found == NULL
							? palloc(search->max_found * sizeof(Found))
							: repalloc_huge(search->found, search->max_found * sizeof(Found));
	}
	search->found[search->n_found].key = leaf->key;
	search->found[search->n_found++].tuple = ExecCopySlotHeapTuple(leaf->slot);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * In a walk entries come in the order of time: those taken before the one just read are newer, or of the same time. So once there are
 * enough, and it is older than the last of them, no better one follows.
 */
static bool
walked_enough(const Search *search, const ObservLogLeaf *leaf)
{
	return search->n_found >= search->wanted &&
		   leaf->key.timestamp < search->found[search->wanted - 1].key.timestamp;
}

/* --- ways through a partition --------------------------------------------------------------------------------------- */

static double
share(const Search *search)
{
	return (search->matched + 0.5) / (search->looked + 1);
}

static void
learn(Search *search, double looked, double matched)
{
	search->looked += looked;
	search->matched += matched;
	if (search->looked > MEMORY_MAX) {
		search->matched *= MEMORY_MAX / search->looked;
		search->looked = MEMORY_MAX;
	}
}

/* Whether going on with a walk, after `walked` entries of this partition, promises to be cheaper than a lookup. */
static bool
walk_is_cheaper(const Search *search, const ObservLogLeaf *leaf, double rows, double walked)
{
	double missing = (double) search->wanted - (double) search->n_found;
	double matching = share(search) * rows;
	double to_walk =
		Min(missing / share(search), Max((leaf->walks_vps ? search->vps_rows : rows) - walked, 1));
	double lookup = LOOKUP_COST + matching * DECODE_COST;

	return to_walk * WALK_COST <=
		   lookup + Min(matching * VISIT_COST, missing / share(search) * STEP_COST + missing * VISIT_COST);
}

/* Compares entry by entry; false when it gave up because a lookup promises to be cheaper. */
static bool
walk(Search *search, ObservLogLeaf *leaf)
{
	double rows = observ_log_leaf_rows(leaf), walked = 0, taken = 0, learnt = 0;

	for (;; walked++) {
		if (leaf->words_index != NULL && (int64) walked % THINK_EVERY == 0) {
			learn(search, walked - learnt, taken);
			learnt = walked;
			taken = 0;
			if (!walk_is_cheaper(search, leaf, rows, walked))
				return false;
		}
		if (!observ_log_leaf_step(leaf)) {
			search->vps_rows = walked;
			return true;
		}
		if (observ_log_leaf_fetch(leaf)) {
			taken++;
			take(leaf, search);
			if (!leaf->walks_vps && search->n_found == search->wanted)
				return true;
		}
		if (walked_enough(search, leaf))
			return true;
	}
}

/* Goes on with the walk, but reads only what was looked up; false when it took more steps than promised. */
static bool
walk_looked_up(Search *search, ObservLogLeaf *leaf, const ObservLogTids *tids)
{
	double steps = tids->n * VISIT_COST / STEP_COST;

	while (steps-- > 0) {
		if (!observ_log_leaf_step(leaf))
			return true;
		if (!observ_log_tids_contain(tids, &leaf->walk->xs_heaptid))
			continue;
		if (observ_log_leaf_fetch(leaf))
			take(leaf, search);
		if (walked_enough(search, leaf))
			return true;
	}
	return false;
}

static void
read_leaf(Search *search, ObservLogLeaf *leaf)
{
	double rows = observ_log_leaf_rows(leaf), missing;
	ObservLogTids tids;

	if (leaf->walk_index != NULL && walk(search, leaf))
		return;
	if (leaf->words_index == NULL) {
		observ_log_leaf_visit(leaf, NULL, take, search);
		return;
	}
	observ_log_leaf_lookup(leaf, &tids);
	learn(search, rows, Min(tids.n, rows));
	if (tids.n == 0)
		return;
	missing = (double) search->wanted - (double) search->n_found;
	if (leaf->walk_index != NULL &&
		missing * rows / tids.n * STEP_COST + missing * VISIT_COST < tids.n * VISIT_COST &&
		walk_looked_up(search, leaf, &tids))
		return;
	forget_found(search);
	observ_log_leaf_visit(leaf, &tids, take, search);
}

/* --- results -------------------------------------------------------------------------------------------------------- */

static text *
cursor_of(const ObservLogKey *key)
{
	char cursor[CURSOR_LENGTH + 1];

	snprintf(cursor, sizeof(cursor), "%016" INT64_MODIFIER "x-%016" INT64_MODIFIER "x",
			 (uint64) key->timestamp, (uint64) key->id);
	return cstring_to_text(cursor);
}

static bool
read_hex(const char *digits, int64 *value)
{
	uint64 n = 0;

	for (int i = 0; i < 16; i++) {
		const char *digit = memchr("0123456789abcdef", digits[i], 16);

		if (digit == NULL)
			return false;
		n = n << 4 | (uint64) (digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
	}
	*value = (int64) n;
	return true;
}

static ObservLogKey
read_cursor(text *value)
{
	ObservLogKey key;
	const char *cursor = text_to_cstring(value);

	if (strlen(cursor) != CURSOR_LENGTH || cursor[16] != '-' || !read_hex(cursor, &key.timestamp) ||
		!read_hex(cursor + 17, &key.id) || !IS_VALID_TIMESTAMP(key.timestamp))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid cursor of a log search: \"%s\"", cursor),
				 errhint("Pass as \"after\" the column \"cursor\" of the last row of the page before.")));
	return key;
}

/* The partition may be dropped as soon as it is closed: nothing may be left in its TOAST table. */
static Datum
detached(Datum value, bool isnull, Form_pg_attribute column)
{
	if (isnull || column->attlen != -1 || !VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		return value;
	return PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(value)));
}

static void
emit(Search *search, ObservLogLeaf *leaf)
{
	const ObservLogColumns *c = &leaf->columns;
	AttrNumber columns[] = {c->id,      c->timestamp, c->vps_name, c->app_name, c->level,
							c->message, c->context,   c->logger,   c->source};
	TupleDesc desc = RelationGetDescr(leaf->rel);
	MemoryContext old = MemoryContextSwitchTo(search->context);

	keep_best(search);
	for (size_t i = 0; i < search->n_found; i++) {
		Datum values[RESULT_COLUMNS];
		bool nulls[RESULT_COLUMNS] = {false};

		for (size_t j = 0; j < lengthof(columns); j++) {
			values[j] = heap_getattr(search->found[i].tuple, columns[j], desc, &nulls[j]);
			values[j] = detached(values[j], nulls[j], TupleDescAttr(desc, columns[j] - 1));
		}
		values[RESULT_COLUMNS - 1] = PointerGetDatum(cursor_of(&search->found[i].key));
		tuplestore_putvalues(search->result->setResult, search->result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	search->wanted -= search->n_found;
	forget_found(search);
}

static void
run(Search *search)
{
	const ObservLogFilter *filter = &search->filter;
	int n;
	ObservPartition *partitions = observ_log_partitions(&n);

	while (n-- > 0 && search->wanted > 0) {
		ObservLogLeaf *leaf;

		CHECK_FOR_INTERRUPTS();
		if (partitions[n].range.from >= filter->to || partitions[n].range.from > filter->before.timestamp)
			continue;
		if (partitions[n].range.to <= filter->from)
			break;
		leaf = observ_log_leaf_open(partitions[n].relid, filter);
		if (leaf == NULL)
			continue;
		read_leaf(search, leaf);
		emit(search, leaf);
		observ_log_leaf_close(leaf);
	}
}

/*
 * observ.search_logs(query, vps, app, level, from, to, limit, after) → set of rows; see its COMMENT. Errors: 22023 for a query without words, a
 * cursor or a limit that can't be one, 54000 for a query that is too large.
 */
Datum
observ_search_logs(PG_FUNCTION_ARGS)
{
	Search search = {.wanted = SIZE_MAX / 4, .vps_rows = VPS_ROWS_GUESS};

	observ_require_versions();
	observ_log_filter_init(&search.filter, fcinfo);
	if (!PG_ARGISNULL(4))
		search.filter.from = PG_GETARG_TIMESTAMPTZ(4);
	if (!PG_ARGISNULL(5))
		search.filter.to = PG_GETARG_TIMESTAMPTZ(5);
	if (!PG_ARGISNULL(6)) {
		if (PG_GETARG_INT32(6) < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("limit of a log search must not be negative"),
							errdetail("Given: %d.", PG_GETARG_INT32(6))));
		search.wanted = (size_t) PG_GETARG_INT32(6);
	}
	if (!PG_ARGISNULL(7))
		search.filter.before = read_cursor(PG_GETARG_TEXT_PP(7));
	InitMaterializedSRF(fcinfo, 0);
	search.result = (ReturnSetInfo *) fcinfo->resultinfo;
	search.context = AllocSetContextCreate(CurrentMemoryContext, "observ log search", ALLOCSET_DEFAULT_SIZES);
	run(&search);
	return (Datum) 0;
}
