/*
 * Keeping memory from one evaluation to the next.
 * What does not belong here: filling it (window_store.c, window_history.c).
 */
#include "postgres.h"

#include "ext/window_keep.h"

#include "ext/gucs.h"
#include "ext/processes.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* All there is. */
#define MAX_KEPT 8
static ObservKept *all[MAX_KEPT];
static int n_all = 0;

bool
observ_is_kept(void)
{
	return !IsolationUsesXactSnapshot() &&
		   (observ_evaluation_cache == OBSERV_CACHE_ON ||
			(observ_evaluation_cache == OBSERV_CACHE_AUTO && MyBackendType == B_BG_WORKER &&
			 MyBgworkerEntry != NULL && strcmp(MyBgworkerEntry->bgw_type, OBSERV_SCHEDULER) == 0));
}

static void
throw_away(ObservKept *kept)
{
	if (kept->context != NULL)
		MemoryContextDelete(kept->context);
	*kept = (ObservKept){0};
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	for (int i = 0; i < n_all; i++) {
		ObservKept *kept = all[i];

		switch (event) {
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* Rows of the transaction itself may be in it. */
			if (kept->subxact != InvalidSubTransactionId)
				throw_away(kept);
			break;
		case XACT_EVENT_COMMIT:
			if (!observ_is_kept())
				throw_away(kept);
			kept->subxact = InvalidSubTransactionId;
			break;
		default:
			break;
		}
	}
}

/* A subtransaction that began after it was filled last has put nothing into it. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	for (int i = 0; i < n_all && event == SUBXACT_EVENT_ABORT_SUB; i++)
		if (id <= all[i]->subxact)
			throw_away(all[i]);
}

static void
register_kept(ObservKept *kept)
{
	if (n_all == 0) {
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
	}
	for (int i = 0; i < n_all; i++)
		if (all[i] == kept)
			return;
	if (n_all == MAX_KEPT)
		elog(ERROR, "too much is kept");
	all[n_all++] = kept;
}

static ObservSight
current_sight(void)
{
	Snapshot snapshot = GetActiveSnapshot();

	return (ObservSight){snapshot->xmin, snapshot->xmax, snapshot->xcnt, snapshot->curcid, MyProc->lxid};
}

void
observ_keep(ObservKept *kept, const char *what)
{
	register_kept(kept);
	throw_away(kept);
	kept->context = AllocSetContextCreate(TopMemoryContext, "observ samples", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSetIdentifier(kept->context, what);
	/* Until it is whole it belongs to this subtransaction, whose abort throws it away. */
	observ_kept_updated(kept);
}

void
observ_kept_updated(ObservKept *kept)
{
	kept->sight = current_sight();
	kept->subxact = GetCurrentSubTransactionId();
}

bool
observ_kept_is_current(const ObservKept *kept)
{
	ObservSight now = current_sight();

	return kept->context != NULL && kept->sight.xmin == now.xmin && kept->sight.xmax == now.xmax &&
		   kept->sight.xcnt == now.xcnt && kept->sight.curcid == now.curcid && kept->sight.lxid == now.lxid;
}

Size
observ_kept_memory(void)
{
	Size bytes = 0;

	for (int i = 0; i < n_all; i++)
		if (all[i]->context != NULL)
			bytes += MemoryContextMemAllocated(all[i]->context, true);
	return bytes;
}
