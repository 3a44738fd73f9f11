/*
 * One dispatch: from states of alerts to notifications. What is shared by its parts: routing (dispatch_route.c), clocks of escalations
 * (dispatch_escalate.c), the timers and what is read
 * (dispatch_flush.c), what each channel is told (dispatch_decide.c), what is written (dispatch_write.c).
 * What does not belong here: the tree of routes (routes.h), suppression (suppression.h), the decision (core/notify_decision.h).
 */
#ifndef OBSERV_EXT_DISPATCH_H
#define OBSERV_EXT_DISPATCH_H

#include "core/notify_decision.h"
#include "ext/escalations.h"
#include "ext/live_alert.h"
#include "ext/routes.h"
#include "ext/suppression.h"
#include "lib/stringinfo.h"

/* A row of observ.notification_channels, or what holds of a channel that has none. */
typedef struct DispatchSettings {
	const char *name;
	bool enabled, send_resolved, resolved_during_silence;
} DispatchSettings;

/* Channels that a rule names, instead of the route's. */
typedef struct DispatchRule {
	int64 rule_id;
	ObservNames channels;
} DispatchRule;

typedef struct Dispatch {
	TimestampTz at;
	TimestampTz before; /* of the dispatch before, not later than at; DT_NOBEGIN: there was none */
	ObservRoutes *routes;
	ObservEscalations *escalations;
	List *released; /* keys of groups of escalations that are flushed at once */
	int64 routed;
	int flushed, notifications;

	/* Read by observ_read_circumstances(). */
	ObservSuppressions *suppressions;
	int n_settings, n_rules;
	DispatchSettings *settings; /* by name */
	DispatchRule *rules;        /* by rule_id */
	const char **interval;      /* per route: why its time intervals keep everybody from being told; NULL */
} Dispatch;

/* What a channel knows of an alert. */
typedef struct DispatchTold {
	enum told_state state;
	bool flapping, acknowledged; /* it was told that it is */
	bool changed;                /* by this flush */
	int since_seq; /* number of the notification that first said that it fires; 0: it was not told, or long ago */
} DispatchTold;

/* An alert of a group. */
typedef struct DispatchMember {
	int64 alert_id;
	const ObservAlert *alert; /* NULL: somebody deleted its row */
	bool due;                 /* in a group of an escalation: its time has come */
	bool departed;            /* it goes elsewhere since routes or labels changed */
	bool flapping;            /* its changes are not told */
	bool firing;              /* it is trouble: fires, recovers or flaps */
	ObservSuppression suppression;
	const char *
		suppressed; /* why trouble with it is not told, as in observ.notification_decisions.suppressed; NULL: it is */
	const char *was_suppressed;  /* the same at the flush before; NULL */
	const ObservNames *channels; /* who is to be told of it */
} DispatchMember;

/* A channel that is to be told of alerts of a group, or that was. */
typedef struct DispatchChannel {
	const DispatchSettings *settings;
	bool known; /* it has a row in observ_data.group_channels */
	int seq, incident, repeats;
	TimestampTz sent_at;    /* DT_NOBEGIN: never */
	int64 decision;         /* hash of the latest one */
	TimestampTz decided_at; /* timestamp of its row; DT_NOBEGIN: none that goes on */
	DispatchTold *told;     /* as many as the group has members */
	const char *reason;     /* why it is told something at this flush; NULL: it is not */
} DispatchChannel;

/* A group that is flushed. */
typedef struct DispatchGroup {
	const char *key;
	const ObservRoute *route;           /* NULL: it is gone */
	bool escalated;                     /* the group of a step of an escalation */
	const ObservEscalation *escalation; /* which; NULL: it is gone, or disabled */
	Jsonb *labels;
	TimestampTz at;   /* logical time of the flush */
	TimestampTz next; /* of the one after it */
	int n_members, n_channels;
	DispatchMember *members; /* by alert_id */
	DispatchChannel *channels;
} DispatchGroup;

/* dispatch_route.c: takes alerts that changed, or all that fire, to their groups. Needs SPI_connect(). */
extern void observ_route_alerts(Dispatch *dispatch, bool all);

/* dispatch_route.c: the labels that a route groups an alert with these labels by; their bytes go to `pairs`, which is then the key of the group. */
extern Jsonb *observ_group_labels(const ObservRoute *route, Jsonb *labels, StringInfo pairs);

/* dispatch_escalate.c: lets clocks of escalations run, finds the steps that are due. Needs SPI_connect(). */
extern void observ_escalate(Dispatch *dispatch);

/* dispatch_flush.c: what holds for all groups; does nothing when that is read already. Needs SPI_connect(). */
extern void observ_read_circumstances(Dispatch *dispatch);

/* dispatch_flush.c: whether people have something to worry about: it fires, recovers or flaps. */
extern bool observ_is_trouble(TimestampTz at, const ObservAlert *alert);

/* dispatch_flush.c: flushes the groups whose time has come. Needs SPI_connect(). */
extern void observ_flush_groups(Dispatch *dispatch);

/* dispatch_decide.c: what every channel of a group is told, what is to be remembered: all goes to `writes`. */
struct DispatchWrites;
extern void observ_decide_group(Dispatch *dispatch, DispatchGroup *group, struct DispatchWrites *writes);

#endif
