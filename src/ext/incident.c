/* Incidents at services that keep them. See incident.h. */
#include "postgres.h"

#include "ext/incident.h"

#include "ext/chat_text.h"

enum IncidentAction
observ_incident_action(const Message *message)
{
	if (!message->firing)
		return INCIDENT_CLOSE;
	if (strcmp(message->reason, notify_reason_names[NOTIFY_ACKNOWLEDGED]) != 0)
		return INCIDENT_OPEN;
	for (int i = 0; i < message->n_alerts; i++)
		if (message->alerts[i].firing && message->alerts[i].acked_by == NULL)
			return INCIDENT_OPEN;
	return INCIDENT_ACKNOWLEDGE;
}

const char *
observ_incident_acked_by(const Message *message)
{
	for (int i = 0; i < message->n_alerts; i++)
		if (message->alerts[i].acked_by != NULL)
			return message->alerts[i].acked_by;
	return NULL;
}

char *
observ_incident_summary(const Message *message, int max)
{
	const char *title = observ_chat_title(message);
	const MessageAlert *alert = message->alerts;

	if (message->n_alerts == 1 && message->left_out == 0 && alert->summary != NULL &&
		!observ_text_is_blank(alert->summary))
		title = psprintf("%s: %s", title, alert->summary);
	return observ_fit_units(title, max, true, NULL);
}

const char *
observ_incident_source(const Message *message)
{
	if (message->n_alerts > 0 && !observ_text_is_blank(message->alerts[0].instance))
		return message->alerts[0].instance;
	return "observ";
}

void
observ_incident_classify(const IncidentAnswers *where, const ChannelConfig *config,
						 const ChannelAnswer *answer, ChannelVerdict *verdict)
{
	const char *error;

	observ_classify_http(answer, verdict);
	if (verdict->outcome == CHANNEL_SENT)
		verdict->receipt = observ_answer_text(answer, where->receipt);
	if (answer->status == 429 && verdict->retry_after_ms < 0)
		verdict->retry_after_ms = where->busy_wait_ms;
	if (answer->status >= 400 && (error = observ_answer_text(answer, where->error)) != NULL)
		observ_verdict(verdict, verdict->outcome, "%s", error);
}
