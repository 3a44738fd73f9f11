/*
 * Work in a subtransaction whose error is returned, not thrown. What does not belong here: what the work is, who is told of the error.
 */
#include "postgres.h"

#include "ext/subtransaction.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

static ErrorData *
run(void (*work)(void *), void *arg, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	/* Thrown again outside the subtransaction: whoever aborts the transaction must not find one open in it. */
	if (error != NULL &&
		(error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN))
		ReThrowError(error);
	return error;
}

ErrorData *
observ_in_subtransaction(void (*work)(void *), void *arg)
{
	return run(work, arg, true);
}

ErrorData *
observ_in_undone_subtransaction(void (*work)(void *), void *arg)
{
	return run(work, arg, false);
}
