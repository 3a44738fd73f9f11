/*
 * One attempt to deliver: a request on the wire, and what came of it. Nothing here touches the database, so that it runs outside of transactions.
 * What does not belong here: which notification, when, how often (outbox.h); libcurl (common/curl_multi.h).
 */
#ifndef OBSERV_EXT_DELIVERY_H
#define OBSERV_EXT_DELIVERY_H

#include "ext/outbox.h"

typedef struct DeliveryRun DeliveryRun;

/* It is over; `result` and its texts live in the delivery's context, which may be deleted here, as others may be started. The run is gone. Must not raise. */
typedef void (*DeliveryDone)(void *arg, Delivery *delivery, DeliveryResult *result);

/*
 * Renders and begins. Follow-ups (CHANNEL_AGAIN) are sent by itself. Never raises: what can't be rendered or begun is a result, too, told before
 * this returns; NULL is returned then. Whoever calls it must ignore SIGPIPE, as backends do.
 */
extern DeliveryRun *observ_delivery_start(struct transfers *transfers, Delivery *delivery, DeliveryDone done,
										  void *arg);

/* Ends it without a call. */
extern void observ_delivery_cancel(DeliveryRun *run);

#endif
