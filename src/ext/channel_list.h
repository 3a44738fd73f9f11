/* Lists of kinds and fields, for people. What does not belong here: the kinds (channel_kind.h). */
#ifndef OBSERV_EXT_CHANNEL_LIST_H
#define OBSERV_EXT_CHANNEL_LIST_H

/* "email, slack, webhook"; palloc'd. */
extern char *observ_kind_names(void);

/* The kind of that name. Raises 22023 with those that there are. */
extern const struct ChannelKind *observ_require_kind(const char *name, const char *channel);

#endif
