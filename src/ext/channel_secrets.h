/*
 * The secrets that belong to a channel: taken out of what people write into observ.notification_channels.config, and kept as
 * "channel/<channel>/<field>" (in lists and objects "/<number or name>" more). What does not belong here: how secrets are kept (secrets.h).
 */
#ifndef OBSERV_EXT_CHANNEL_SECRETS_H
#define OBSERV_EXT_CHANNEL_SECRETS_H

#include "ext/channel_config.h"

/*
 * The configuration with references in place of texts that are secret; those are stored. References to secrets of the channel as it was called before
 * (old_name, or NULL) become its own. Checks it as observ_channel_config() does. Needs SPI_connect(), as the owner of the tables.
 */
extern Jsonb *observ_keep_secrets(const struct ChannelKind *kind, const char *channel, const char *old_name,
								  Jsonb *config);

/*
 * Forgets secrets of channels that no channel refers to any more: those that were its own, and those that it referred to (config: as it was). Needs SPI_connect(), as the owner of the tables.
 */
extern void observ_sweep_secrets(const char *channel, Jsonb *config);

/* Writes channels that refer to a secret anew, so that they count as changed. Needs SPI_connect(), as the owner of the tables. */
extern void observ_touch_channels(const char *secret);

#endif
