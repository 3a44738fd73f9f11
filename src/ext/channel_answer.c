/*
 * What answers of HTTP mean where a kind has no opinion of its own (alerting.md 2.8). What does not belong here: one service's answers.
 */
#include "postgres.h"

#include "core/retry_after.h"
#include "ext/channel_kind.h"

/* Statuses below 500 that may be better the next time: timeout, too early, too many requests. */
static bool
is_passing(int status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void
classify_status(const ChannelAnswer *answer, ChannelVerdict *verdict)
{
	if (answer->status >= 200 && answer->status < 300) {
		verdict->outcome = CHANNEL_SENT;
		return;
	}
	verdict->outcome = CHANNEL_DEAD;
	if (answer->status >= 300 && answer->status < 400) {
		verdict->error = psprintf("the receiver answered %d: redirects are not followed", answer->status);
		return;
	}
	verdict->error = psprintf("the receiver answered %d", answer->status);
	if (!is_passing(answer->status))
		return;
	verdict->outcome = CHANNEL_RETRY;
	verdict->retry_after_ms = retry_after_ms(answer->retry_after, answer->date_s);
}

void
observ_classify_http(const ChannelAnswer *answer, ChannelVerdict *verdict)
{
	*verdict = (ChannelVerdict){.retry_after_ms = -1};
	/* Who has begun to answer has read the request, whatever came of the rest of the answer. */
	if (answer->status != 0) {
		classify_status(answer, verdict);
		return;
	}
	verdict->outcome = answer->outcome == TRANSFER_REFUSED ? CHANNEL_DEAD : CHANNEL_RETRY;
	verdict->error = answer->error != NULL ? answer->error : "no answer";
}
