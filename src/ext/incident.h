/*
 * What services that keep incidents (PagerDuty, Opsgenie) are told to do with theirs, whatever is in the message.
 * What does not belong here: the form that they want it in (channel_*.c).
 */
#ifndef OBSERV_EXT_INCIDENT_H
#define OBSERV_EXT_INCIDENT_H

#include "ext/channel_kind.h"

enum IncidentAction { INCIDENT_OPEN, INCIDENT_ACKNOWLEDGE, INCIDENT_CLOSE };

/*
 * Closed when nothing fires. Acknowledged when that is the news and somebody looks after all that fires: whoever acknowledges one of three alerts
 * must not keep the other two from being escalated. Else opened, which does nothing where it is open.
 */
extern enum IncidentAction observ_incident_action(const Message *message);

/* Who acknowledged it; NULL: nobody. */
extern const char *observ_incident_acked_by(const Message *message);

/* The title, and what the only alert says: one line of at most `max` code units of UTF-16, as these services count. */
extern char *observ_incident_summary(const Message *message, int max);

/* Where it is: the instance of the first alert, else the channel's own name for itself. */
extern const char *observ_incident_source(const Message *message);

/* Where in their answers these services say what they call a request, and what is wrong with it (core/json_path.h). */
typedef struct IncidentAnswers {
	const char *receipt, *error;
	int64 busy_wait_ms; /* how long to wait after 429, when they don't say */
} IncidentAnswers;

/* What an answer means: by its status, in the service's own words. */
extern void observ_incident_classify(const IncidentAnswers *where, const ChannelConfig *config,
									 const ChannelAnswer *answer, ChannelVerdict *verdict);

#endif
