/* Channels from JSON. What does not belong here: what they may be (channel_config.h). */
#ifndef OBSERV_EXT_CHANNEL_CREATE_H
#define OBSERV_EXT_CHANNEL_CREATE_H

#include "utils/jsonb.h"

/*
 * Makes a channel out of {"name": …, "kind": …, its other columns, and fields of the kind beside them or in "config"}, or gives one that has no kind
 * its kind. replace: changes one that there is; its fields that are not said stay, those that are null go. Returns its name. Raises 42710 when there is one, 22023 for what can't be. Needs SPI_connect(); runs as
 * the current role.
 */
extern char *observ_put_channel(Jsonb *channel, bool replace);

#endif
