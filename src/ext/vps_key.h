/* Hash tables keyed by (vps_name, app_name) without copying the names. */
#ifndef OBSERV_EXT_VPS_KEY_H
#define OBSERV_EXT_VPS_KEY_H

#include "utils/hsearch.h"

/* Points into memory that must outlive the table. Must be the first field of an entry. */
typedef struct ObservVpsKey {
	const char *vps;
	const char *app;
	int vps_len;
	int app_len;
} ObservVpsKey;

/* Key from two text datums, which it points into; app may be 0 for a key of the VPS alone. */
extern ObservVpsKey observ_vps_key(Datum vps, Datum app);

/* An empty table in the current memory context. */
extern HTAB *observ_vps_table_create(const char *name, Size entry_size, long expected);

#endif
