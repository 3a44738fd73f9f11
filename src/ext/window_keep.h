/*
 * Memory that outlives the transaction that filled it, for as long as what is in it can be known to be what a snapshot sees.
 * What does not belong here: what is in it.
 */
#ifndef OBSERV_EXT_WINDOW_KEEP_H
#define OBSERV_EXT_WINDOW_KEEP_H

#include "access/xact.h"
#include "storage/lock.h"
#include "utils/palloc.h"

/* What a snapshot sees, as far as two snapshots of one session can differ. */
typedef struct ObservSight {
	TransactionId xmin, xmax;
	uint32 xcnt;
	CommandId curcid;
	LocalTransactionId lxid;
} ObservSight;

typedef struct ObservKept {
	MemoryContext context;    /* NULL: nothing is there, whatever the owner remembers of it */
	ObservSight sight;        /* that it was filled with last */
	SubTransactionId subxact; /* that it was filled in last; 0: in an earlier transaction */
} ObservKept;

/* Whether memory is kept from one transaction to the next: observ.evaluation_cache, and not in REPEATABLE READ. */
extern bool observ_is_kept(void);

/*
 * Throws away what is there and begins anew, with what the active snapshot sees. *kept and what it is called must be static. From then on it is thrown away by itself: when
 * the transaction or a subtransaction aborts whose rows may be in it, and at commit unless observ_is_kept().
 */
extern void observ_keep(ObservKept *kept, const char *what);

/* It has been brought up to what the active snapshot sees. */
extern void observ_kept_updated(ObservKept *kept);

/* Whether it shows exactly what the active snapshot sees. */
extern bool observ_kept_is_current(const ObservKept *kept);

/* Bytes that all of it takes. */
extern Size observ_kept_memory(void);

#endif
