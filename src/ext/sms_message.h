/*
 * A notification as a text message. What does not belong here: who sends it (channel_twilio.c, channel_appwrite.c), what characters cost
 * (core/sms_text.h).
 */
#ifndef OBSERV_EXT_SMS_MESSAGE_H
#define OBSERV_EXT_SMS_MESSAGE_H

#include "ext/message.h"

#define SMS_SEGMENTS_MAX 10 /* what Twilio takes: 1,600 characters */

/* Title and alerts, as much as fits into that many segments, with a count of the alerts that are left out; in plain characters. */
extern char *observ_sms_message(const Message *message, int segments);

#endif
