/* What the notifier has under way: deliveries on the wire, and results that are to be recorded. */
#ifndef OBSERV_BGWORKER_NOTIFIER_FLIGHT_H
#define OBSERV_BGWORKER_NOTIFIER_FLIGHT_H

#include "bgworker/job_run.h"
#include "bgworker/worker.h"
#include "ext/delivery.h"

typedef struct ObservFlight ObservFlight;

/* In the current memory context; one per process, without a connection yet. */
extern ObservFlight *observ_flight_open(void);

/* Ends what is under way, without results. */
extern void observ_flight_close(ObservFlight *flight);

/* The descriptor to wait for, -1 before the first delivery; what to do when it can be read. */
extern int observ_flight_fd(const ObservFlight *flight);
extern void observ_flight_run(ObservFlight *flight);

/* Whether libcurl can be used; if not, that is said once. Before the first start. */
extern bool observ_flight_ready(ObservFlight *flight);

/* Begins the deliveries of a claim, which was made in that memory context, and takes it over. */
extern void observ_flight_start(ObservFlight *flight, MemoryContext context, List *deliveries);

/* How many may be under way: observ.max_deliveries, or what the limit of open files allows, two for each (a mail, a look-up of a name). */
extern int observ_flight_most(const ObservFlight *flight);

/* Deliveries under way, and with those that are to be recorded. */
extern int observ_flight_under_way(const ObservFlight *flight);
extern int observ_flight_size(const ObservFlight *flight);

/* When results are to be recorded (observ_monotonic_ms()): OBSERV_NEVER when there are none. */
extern int64 observ_flight_record_at(const ObservFlight *flight);

/* Whether results wait that could not be recorded: nothing may be claimed before they are. */
extern bool observ_flight_is_stuck(const ObservFlight *flight);

/*
 * Records what is there, in transactions of its own. *gate tells what was found. What could not be recorded stays, is logged once per kind and
 * tried again with growing pauses; a result that keeps others from being recorded loses its texts.
 */
extern void observ_flight_record(ObservFlight *flight, ObservGateResult *gate);

#endif
