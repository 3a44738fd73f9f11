/*
 * The engine of rollups: rows come from the executor one by one, are found in a hash table by their key and added to the cells of the
 * bucket that the key is at. What does not belong here: what a row means (rollup_sources.c), where buckets go.
 *
 * Rows may come in any order of keys, as a scan of the table has them; of one key they should come in the order of time, as they do in a
 * table that is appended to. Where they don't, the bucket is handed over as disordered: adding floating-point numbers in another order
 * would give another sum.
 */
#include "postgres.h"

#include "ext/rollup_roller.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

typedef struct Entry {
	const ObservRollupKey *key; /* that of the bucket */
	ObservBucket *bucket;
	uint32 hash;
	char status;
} Entry;

static uint32
key_hash(const ObservRollupKey *key)
{
	uint32 hash = hash_combine(hash_bytes((const unsigned char *) key->vps, key->vps_len),
							   hash_bytes((const unsigned char *) key->app, key->app_len));

	if (key->url_len > 0)
		hash = hash_combine(hash, hash_bytes((const unsigned char *) key->url, key->url_len));
	return hash_combine(hash, murmurhash32((uint32) key->set_no));
}

/* clang-format off */
#define SH_PREFIX keytable
#define SH_ELEMENT_TYPE Entry
#define SH_KEY_TYPE const ObservRollupKey *
#define SH_KEY key
#define SH_HASH_KEY(tb, k) key_hash(k)
#define SH_EQUAL(tb, a, b) (observ_rollup_key_compare(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"
/* clang-format on */

struct ObservRoller {
	DestReceiver receiver; /* first: the executor knows only this */
	const ObservRollupSource *source;
	ObservTier tier; /* of the rows that are being fed */
	int64 step;
	ObservBucketDone done;
	void *arg;
	MemoryContext context;
	keytable_hash *keys;
	int64 nonfinite;
};

/* Which metrics of a set are counters, as a mask. */
static uint64
counters_of(const ObservRollupKey *key)
{
	static SPIPlanPtr plan = NULL;
	static const char sql[] = "SELECT slot FROM observ.metric_series "
							  "WHERE vps_name = $1 AND app_name = $2 AND set_no = $3 AND kind = 'counter'";
	Oid types[] = {TEXTOID, TEXTOID, INT4OID};
	Datum values[3];
	uint64 counters = 0, n;

	SPI_connect();
	values[0] = PointerGetDatum(cstring_to_text_with_len(key->vps, key->vps_len));
	values[1] = PointerGetDatum(cstring_to_text_with_len(key->app, key->app_len));
	values[2] = Int32GetDatum(key->set_no);
	n = observ_spi_read(&plan, sql, lengthof(types), types, values, NULL);
	for (uint64 i = 0; i < n; i++) {
		bool isnull;
		int slot = DatumGetInt16(observ_spi_value(i, 1, &isnull));

		if (slot >= 1 && slot <= ROLLUP_MAX_CELLS)
			counters |= UINT64CONST(1) << (slot - 1);
	}
	SPI_finish();
	return counters;
}

static ObservBucket *
new_bucket(ObservRoller *roller, const ObservRollupKey *key)
{
	MemoryContext caller = MemoryContextSwitchTo(roller->context);
	ObservBucket *bucket =
		palloc(offsetof(ObservBucket, row.cells) + sizeof(struct cell) * roller->source->cells);

	bucket->key = observ_rollup_key_copy(key);
	bucket->active = false;
	bucket->capacity = roller->source->cells;
	bucket->kinds_known = !roller->source->has_kinds;
	bucket->counters = 0;
	MemoryContextSwitchTo(caller);
	return bucket;
}

static ObservBucket *
bucket_of(ObservRoller *roller, const ObservRollupKey *key)
{
	Entry *entry = keytable_lookup(roller->keys, key);
	ObservBucket *bucket;
	bool found;

	if (entry != NULL)
		return entry->bucket;
	/* The key of an entry must outlive the row, so the bucket comes first. */
	bucket = new_bucket(roller, key);
	entry = keytable_insert(roller->keys, &bucket->key, &found);
	entry->bucket = bucket;
	return bucket;
}

static void
hand_over(ObservRoller *roller, ObservBucket *bucket)
{
	roller->nonfinite += bucket->disordered ? 0 : bucket->row.nonfinite;
	bucket->active = false;
	roller->done(roller->arg, bucket);
}

static void
open_bucket(ObservRoller *roller, ObservBucket *bucket, TimestampTz start)
{
	bucket->start = start;
	bucket->latest = DT_NOBEGIN;
	bucket->active = true;
	bucket->disordered = false;
	/* A set has as many cells as its longest row, other sources have them all. */
	cell_row_clear(&bucket->row, roller->source->cells);
	if (roller->source->has_kinds)
		bucket->row.n = 0;
}

static ObservRollupKey
key_of_row(const ObservRoller *roller, const TupleTableSlot *slot)
{
	text *vps = DatumGetTextPP(slot->tts_values[OBSERV_READ_VPS]);
	text *app = DatumGetTextPP(slot->tts_values[OBSERV_READ_APP]);
	ObservRollupKey key = {.vps = VARDATA_ANY(vps),
						   .vps_len = VARSIZE_ANY_EXHDR(vps),
						   .app = VARDATA_ANY(app),
						   .app_len = VARSIZE_ANY_EXHDR(app),
						   .url = ""};

	if (TupleDescAttr(slot->tts_tupleDescriptor, OBSERV_READ_KEY)->atttypid == INT4OID)
		key.set_no = DatumGetInt32(slot->tts_values[OBSERV_READ_KEY]);
	else {
		text *url = DatumGetTextPP(slot->tts_values[OBSERV_READ_KEY]);

		key.url = VARDATA_ANY(url);
		key.url_len = VARSIZE_ANY_EXHDR(url);
	}
	return key;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	ObservRoller *roller = (ObservRoller *) self;
	ObservRollupKey key;
	ObservBucket *bucket;
	TimestampTz timestamp, start;

	slot_getallattrs(slot);
	key = key_of_row(roller, slot);
	timestamp = DatumGetTimestampTz(slot->tts_values[OBSERV_READ_TIME]);
	start = observ_floor_time(timestamp, roller->step);
	bucket = bucket_of(roller, &key);
	if (bucket->active && start < bucket->start) {
		/* Back to a bucket that was handed over, or one that was passed by: to be read again on its own. */
		ObservBucket passed = {.key = bucket->key, .start = start, .disordered = true};

		roller->done(roller->arg, &passed);
		return true;
	}
	if (bucket->active && start > bucket->start)
		hand_over(roller, bucket);
	if (!bucket->active)
		open_bucket(roller, bucket, start);
	/* Rolled-up cells know themselves. */
	if (!bucket->kinds_known && roller->tier == OBSERV_TIER_RAW) {
		bucket->counters = counters_of(&key);
		bucket->kinds_known = true;
	}
	if (timestamp <= bucket->latest)
		bucket->disordered = true;
	bucket->latest = timestamp;
	if (!bucket->disordered)
		roller->source->add[roller->tier](bucket, slot);
	return true;
}

static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_rows(DestReceiver *self)
{
}

ObservRoller *
observ_roller(const ObservRollupSource *source, int64 step, ObservBucketDone done, void *arg)
{
	ObservRoller *roller = palloc0(sizeof(ObservRoller));

	roller->receiver = (DestReceiver){.receiveSlot = receive_row,
									  .rStartup = start_rows,
									  .rShutdown = end_rows,
									  .rDestroy = end_rows,
									  /* Anything but "to nowhere", for which SPI does not count rows. */
									  .mydest = DestTuplestore};
	roller->source = source;
	roller->step = step;
	roller->done = done;
	roller->arg = arg;
	roller->context = AllocSetContextCreate(CurrentMemoryContext, "observ rollup", ALLOCSET_DEFAULT_SIZES);
	roller->keys = keytable_create(roller->context, 64, NULL);
	return roller;
}

uint64
observ_roller_feed(ObservRoller *roller, ObservTier tier, SPIPlanPtr plan, int nargs, const Oid *types,
				   const Datum *values, bool read_only)
{
	ParamListInfo params = makeParamList(nargs);
	SPIExecuteOptions options = {.params = params, .read_only = read_only, .dest = &roller->receiver};
	int rc;

	roller->tier = tier;
	for (int i = 0; i < nargs; i++)
		params->params[i] =
			(ParamExternData){.value = values[i], .pflags = PARAM_FLAG_CONST, .ptype = types[i]};
	rc = SPI_execute_plan_extended(plan, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read rows to roll up: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

static int
compare_entries(const void *a, const void *b)
{
	const ObservBucket *left = *(ObservBucket *const *) a;
	const ObservBucket *right = *(ObservBucket *const *) b;

	return observ_rollup_key_compare(&left->key, &right->key);
}

void
observ_roller_finish(ObservRoller *roller)
{
	MemoryContext caller = MemoryContextSwitchTo(roller->context);
	ObservBucket **open = palloc(sizeof(ObservBucket *) * Max(roller->keys->members, 1));
	keytable_iterator iterator;
	Entry *entry;
	size_t n = 0;

	keytable_start_iterate(roller->keys, &iterator);
	while ((entry = keytable_iterate(roller->keys, &iterator)) != NULL)
		if (entry->bucket->active)
			open[n++] = entry->bucket;
	MemoryContextSwitchTo(caller);
	qsort(open, n, sizeof(ObservBucket *), compare_entries);
	for (size_t i = 0; i < n; i++)
		hand_over(roller, open[i]);
	MemoryContextReset(roller->context);
	roller->keys = keytable_create(roller->context, 64, NULL);
}

int64
observ_roller_nonfinite(const ObservRoller *roller)
{
	return roller->nonfinite;
}
