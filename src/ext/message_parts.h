/* What the files of message.c share. */
#ifndef OBSERV_EXT_MESSAGE_PARTS_H
#define OBSERV_EXT_MESSAGE_PARTS_H

#include "ext/message.h"

/*
 * message_refresh.c: brings the alerts of a message, and its counts, up to date (see observ_message()). Returns whether counts are not those of the
 * outbox any more. Needs SPI_connect().
 */
extern bool observ_refresh_message(const MessageSource *source, Message *message);

/* message_labels.c: route and group as Alertmanager writes them: {}/{team="x"}:{alertname="A"}. Needs SPI_connect(). */
extern const char *observ_am_group_key(const char *route, Jsonb *group_labels);

/* message_labels.c: labels or annotations that all alerts of the message have with the same value. */
extern Jsonb *observ_common_texts(const Message *message, bool annotations);

/* message_values.c: title and body by the templates of the channel. The title of a test says so. */
extern void observ_apply_templates(const MessageTemplates *templates, Message *message);

/*
 * message_labels.c: the pairs of an object of texts, in the order of the bytes of their names. An empty text is no label, but may be an annotation, which
 * the second one keeps.
 */
typedef struct MessagePair {
	const char *name, *value;
} MessagePair;
extern MessagePair *observ_sorted_pairs(Jsonb *object, int *n);
extern MessagePair *observ_sorted_texts(Jsonb *object, int *n);

#endif
