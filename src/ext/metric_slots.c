/*
 * Arrays of values by slot, and merging two rows of one scrape: whatever comes first stays, so that a scrape that is sent again, in whole or in
 * parts, leaves the same row. What does not belong here: which series a slot belongs to.
 */
#include "postgres.h"

#include "ext/metric_slots.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "port/pg_bitutils.h"

OBSERV_SQL_FUNCTION(observ_adds_samples);
OBSERV_SQL_FUNCTION(observ_merge_samples);

/* A statement runs to its end in one process, so one counter per process will do. */
static int64 duplicates;

void
observ_merge_begin(void)
{
	duplicates = 0;
}

int64
observ_merge_duplicates(void)
{
	return duplicates;
}

void
observ_slots_read(ArrayType *array, ObservSlots *slots)
{
	int n = Min(ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)), OBSERV_SLOTS);
	const bits8 *known = ARR_NULLBITMAP(array);
	/* ARR_DATA_PTR(), without its mixed signs. */
	const char *next = (const char *) array + (ARR_HASNULL(array) ? (size_t) array->dataoffset
																  : ARR_OVERHEAD_NONULLS(ARR_NDIM(array)));

	if (ARR_ELEMTYPE(array) != FLOAT8OID)
		elog(ERROR, "values of a scrape must be float8[]");
	slots->known = 0;
	for (int i = 0; i < n; i++) {
		if (known != NULL && (known[i / 8] & (1 << (i % 8))) == 0)
			continue;
		memcpy(&slots->values[i], next, sizeof(double));
		next += sizeof(double);
		slots->known |= UINT64CONST(1) << i;
	}
}

ArrayType *
observ_slots_array(const ObservSlots *slots)
{
	int n = slots->known == 0 ? 0 : pg_leftmost_one_pos64(slots->known) + 1;
	int lower = 1;
	Datum values[OBSERV_SLOTS];
	bool nulls[OBSERV_SLOTS];

	for (int i = 0; i < n; i++) {
		nulls[i] = (slots->known & (UINT64CONST(1) << i)) == 0;
		values[i] = nulls[i] ? (Datum) 0 : Float8GetDatum(slots->values[i]);
	}
	return construct_md_array(values, nulls, 1, &n, &lower, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
							  TYPALIGN_DOUBLE);
}

/* observ_data._adds_samples(kept, added): whether the second array has a sample in a slot where the first has none. */
Datum
observ_adds_samples(PG_FUNCTION_ARGS)
{
	ObservSlots kept, added;

	observ_slots_read(PG_GETARG_ARRAYTYPE_P(0), &kept);
	observ_slots_read(PG_GETARG_ARRAYTYPE_P(1), &added);
	duplicates += pg_popcount64(added.known & kept.known);
	PG_RETURN_BOOL((added.known & ~kept.known) != 0);
}

/* observ_data._merge_samples(kept, added): the first array, with what the second has in slots where the first has nothing. */
Datum
observ_merge_samples(PG_FUNCTION_ARGS)
{
	ObservSlots kept, added;

	observ_slots_read(PG_GETARG_ARRAYTYPE_P(0), &kept);
	observ_slots_read(PG_GETARG_ARRAYTYPE_P(1), &added);
	for (int i = 0; i < OBSERV_SLOTS; i++)
		if ((added.known & ~kept.known) & (UINT64CONST(1) << i))
			kept.values[i] = added.values[i];
	kept.known |= added.known;
	PG_RETURN_ARRAYTYPE_P(observ_slots_array(&kept));
}
