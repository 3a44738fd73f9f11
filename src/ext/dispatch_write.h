/* What a dispatch writes about groups, collected and written set by set. What does not belong here: what it is (dispatch_decide.c). */
#ifndef OBSERV_EXT_DISPATCH_WRITE_H
#define OBSERV_EXT_DISPATCH_WRITE_H

#include "ext/dispatch.h"
#include "ext/partitions.h"
#include "ext/row_batch.h"

typedef struct DispatchWrites {
	ObservRowBatch *notes, *listed, *decisions; /* the outbox, the alerts in it, why */
	ObservRowBatch *channels, *told;            /* what channels know */
	ObservRowBatch *members, *closed; /* alerts whose suppression changed; that are over for everybody */
	ObservRowBatch *groups, *empty;   /* groups that go on, that are over */
	TimestampTz earliest;             /* of the decisions that go on */
	ObservRange partition;            /* takes the latest decision */
} DispatchWrites;

/* A notification. Its alerts are added by observ_write_listed() with its number. */
typedef struct DispatchNote {
	const DispatchGroup *group;
	const DispatchChannel *channel;
	enum notify_reason reason;
	int severity; /* the highest */
	const char *title;
	int firing, resolved;
} DispatchNote;

typedef struct DispatchDecision {
	const char *decision, *reason;
	int note; /* number of the notification; 0: none */
	int firing, resolved;
	const char *suppressed; /* JSON; NULL: nothing is */
} DispatchDecision;

extern void observ_writes_begin(DispatchWrites *writes);

/* Each adds a row. The first returns its number, from 1. */
extern int observ_write_note(DispatchWrites *writes, const DispatchNote *note);
extern void observ_write_listed(DispatchWrites *writes, int note, int position, int64 alert_id,
								enum mark mark, int since_seq);
extern void observ_write_told(DispatchWrites *writes, const DispatchGroup *group,
							  const DispatchChannel *channel, int64 alert_id, const DispatchTold *told,
							  const char *reason);
extern void observ_write_channel(DispatchWrites *writes, const DispatchGroup *group,
								 const DispatchChannel *channel);
/* since: timestamp of the row of the same decision that goes on; DT_NOBEGIN: a new one. */
extern void observ_write_decision(DispatchWrites *writes, const DispatchGroup *group, const char *channel,
								  const DispatchDecision *decision, TimestampTz since);
extern void observ_write_member(DispatchWrites *writes, const DispatchGroup *group, int64 alert_id,
								const char *suppressed);
extern void observ_write_closed(DispatchWrites *writes, const DispatchGroup *group, int64 alert_id);
/* open: some of its alerts stay. */
extern void observ_write_group(DispatchWrites *writes, const DispatchGroup *group, bool open);

/* Writes it all; returns the number of notifications. Needs SPI_connect(). */
extern int observ_writes_finish(DispatchWrites *writes);

#endif
