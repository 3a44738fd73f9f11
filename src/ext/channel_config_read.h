/* What the files that read and rewrite configurations of channels share; for whoever only uses one: channel_config.h. */
#ifndef OBSERV_EXT_CHANNEL_CONFIG_READ_H
#define OBSERV_EXT_CHANNEL_CONFIG_READ_H

#include "ext/channel_config.h"

/* As people read it: "text", "URL". */
extern const char *observ_field_type_name(enum ChannelFieldType type);

/* A field of the kind, else a common one. NULL: there is none of that name. */
extern const ChannelField *observ_channel_field(const struct ChannelKind *kind, const char *name);

/* Whether nobody must see that value: the field holds secrets, or it is an address with a password. */
extern bool observ_text_is_secret(const ChannelField *field, const char *text);

/* NAME of "secret:NAME"; NULL: it is no reference. */
extern const char *observ_secret_reference(const char *text);

/* Texts of the configuration that nobody must see, of char *. */
extern List *observ_config_secrets(const ChannelConfig *config);

#endif
