/* What a partition of observ.log_entries looks like: its columns and indexes, remembered for the session. */
#ifndef OBSERV_EXT_LOG_SHAPE_H
#define OBSERV_EXT_LOG_SHAPE_H

#include "access/attnum.h"
#include "utils/relcache.h"

/* Columns of one partition, by number; partitions may have theirs in another order than the table. */
typedef struct ObservLogColumns {
	AttrNumber id, timestamp, vps_name, app_name, level, message, context, logger, source, received_at;
} ObservLogColumns;

typedef struct ObservLogShape {
	Oid partition; /* the key */
	bool known;
	ObservLogColumns columns;
	Oid by_time;    /* btree (timestamp, id …); InvalidOid, as below: there is none that is valid */
	Oid by_vps;     /* btree (vps_name, timestamp …) */
	Oid by_words;   /* GIN of observ_data._log_vector() */
	Oid by_arrival; /* BRIN (received_at …) */
} ObservLogShape;

/*
 * Shape of a partition that is open and locked. Points into a table that the next call may change. Raises 42703 or 42804 when a column is
 * missing or of another type.
 */
extern const ObservLogShape *observ_log_shape(Relation rel);

#endif
