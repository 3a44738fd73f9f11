/*
 * One wait for latch, postmaster and the descriptor of libcurl, which is an epoll: readable when anything of the network, or a deadline there,
 * wants attention. What does not belong here: what is done then.
 */
#include "postgres.h"

#include "bgworker/notifier_wait.h"

#include <limits.h>

#include "ext/compat.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* Kept from wait to wait: making one costs more than the wait. */
static WaitEventSet *
event_set(int fd)
{
	static WaitEventSet *set = NULL;

	if (set != NULL)
		return set;
	set = CreateWaitEventSet(TopMemoryContext, 3);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, fd, NULL, NULL);
	return set;
}

bool
observ_notifier_wait(int64 deadline, int fd)
{
	WaitEvent events[3];
	bool woken = false;
	int64 timeout;
	int n;

	if (fd < 0)
		return observ_worker_wait(deadline);
	timeout = Min(Max(deadline - observ_monotonic_ms(), 0), INT_MAX);
	n = WaitEventSetWait(event_set(fd), deadline == OBSERV_NEVER ? -1L : (long) timeout, events,
						 lengthof(events), PG_WAIT_EXTENSION);
	for (int i = 0; i < n; i++)
		woken |= (events[i].events & WL_LATCH_SET) != 0;
	if (woken)
		ResetLatch(MyLatch);
	observ_worker_interrupts();
	return woken;
}
