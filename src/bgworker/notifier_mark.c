/*
 * The mark of a running notifier, as jobs have theirs: what one of them crashes at must not bring the server down again and again without a pause.
 * What does not belong here: what is done about it (notifier.c).
 */
#include "postgres.h"

#include "bgworker/notifier_mark.h"

#include <limits.h>

#include "access/xact.h"
#include "bgworker/job_runs.h"
#include "ext/spi_util.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Not in the table of jobs: it has no period, and nobody calls it. */
static const ObservJob notifier_job = {.name = "send_notifications"};

static void
see_changes(void)
{
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
}

int
observ_notifier_mark(void)
{
	ObservIdentity saved = observ_as_owner_begin();
	ObservJobState state;

	observ_job_runs_read(&notifier_job, &state);
	if (state.running) {
		/* Never switched off: nobody would be told of anything. */
		observ_job_runs_crash(&notifier_job, INT_MAX, GetCurrentTimestamp());
		see_changes();
		observ_job_runs_read(&notifier_job, &state);
	}
	observ_job_runs_begin(&notifier_job);
	observ_as_owner_end(&saved);
	return state.consecutive_crashes;
}

void
observ_notifier_unmark(void)
{
	ObservIdentity saved = observ_as_owner_begin();

	observ_job_runs_success(&notifier_job, "ended in order", GetCurrentTimestamp());
	observ_as_owner_end(&saved);
}
