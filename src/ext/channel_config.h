/*
 * What a channel is configured with: observ.notification_channels.config, read by the fields of its kind, references to secrets followed.
 * What does not belong here: what kinds there are (channel_kind.h), how secrets are kept (secrets.h).
 */
#ifndef OBSERV_EXT_CHANNEL_CONFIG_H
#define OBSERV_EXT_CHANNEL_CONFIG_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

enum ChannelFieldType {
	FIELD_TEXT, /* one line */
	FIELD_INTEGER,
	FIELD_BOOLEAN,
	FIELD_URL,  /* http:// or https:// */
	FIELD_LIST, /* array of texts, or one text with commas */
	FIELD_MAP,  /* object of texts: headers */
	FIELD_CHOICE
};

typedef struct ChannelField {
	const char *name;
	enum ChannelFieldType type;
	bool required;
	bool secret;          /* its text, or each text in it, is kept as a secret: config holds secret:NAME */
	const char *fallback; /* as text; NULL: none */
	const char *choices;  /* FIELD_CHOICE: "starttls, tls, none" */
	int64 min, max;       /* FIELD_INTEGER */
	const char *help;     /* for people: a phrase */
} ChannelField;

typedef struct ChannelConfig ChannelConfig;
struct ChannelKind;

/* Fields that every kind has: timeout (s, 10), proxy, ca_file, tls_verify, allow_link_local, url of their own where kinds say so. */
extern const ChannelField observ_common_fields[];

/*
 * Reads and checks a configuration. Raises 0A000 unless the database is UTF8; 22023 (with DETAIL and HINT: the field, the nearest name, what there is) for unknown fields, missing
 * ones, wrong types, values out of range. follow: secrets are read, 42704 when one is not there, 58000 or XX001 when it can't be decrypted;
 * without it they stay "secret:NAME". In the current memory context.
 */
extern ChannelConfig *observ_channel_config(const struct ChannelKind *kind, Jsonb *config, bool follow);

/* Values by name of the field; the field must exist. NULL or NIL: not given, no default. */
extern const char *observ_config_text(const ChannelConfig *config, const char *field);
extern int64 observ_config_integer(const ChannelConfig *config, const char *field);
extern bool observ_config_given(const ChannelConfig *config,
								const char *field); /* in config, not by default */
extern bool observ_config_boolean(const ChannelConfig *config, const char *field);
extern List *observ_config_list(const ChannelConfig *config, const char *field); /* of char * */
extern List *observ_config_map(const ChannelConfig *config,
							   const char *field); /* of char *: name, value, name, value … */

/* The text with every secret of the configuration replaced by ***, also where it is percent-encoded, JSON or base64; palloc'd. Before it is cut. For errors, excerpts, logs. */
extern char *observ_redact(const ChannelConfig *config, const char *text);

#endif
