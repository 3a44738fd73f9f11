/*
 * Secrets of channels: rows of observ_data.secrets, AES-256-GCM, the key in a file of the data directory (docs/channels.md).
 * What does not belong here: which fields of a configuration are secret (channel_config.h).
 */
#ifndef OBSERV_EXT_SECRETS_H
#define OBSERV_EXT_SECRETS_H

/* How a configuration refers to one. */
#define OBSERV_SECRET_PREFIX "secret:"

/*
 * The text behind a name, palloc'd. Raises 42704 when there is none, 58000 when the key file is missing or of others, XX001 when it is not the key
 * that it was encrypted with, or somebody has changed the row. Needs SPI_connect(); runs as the owner of the tables.
 */
extern char *observ_read_secret(const char *name);

/* Encrypts and stores it, in place of one of that name. Makes the key file at the first use. */
extern void observ_store_secret(const char *name, const char *value);

/*
 * From here on the statement that is running is shown as "(not shown: it may hold a secret)", in pg_stat_activity and in the log when it fails. What
 * log_statement and log_min_duration_statement write is out of reach.
 */
extern void observ_hide_statement(void);

#endif
