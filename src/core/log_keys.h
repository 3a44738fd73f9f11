/*
 * log_keys.h: the keys of JSON log lines that mean something to us.
 *
 * Belongs here: their names. Does not belong here: what they mean in which logger's lines (log_map.c).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_LOG_KEYS_H
#define OBSERV_CORE_LOG_KEYS_H

#include "core/slice.h"

/*
 * Of each role in the order in which they are tried; so the lowest one that a line has is the one to take. Times, levels, messages and
 * loggers fit into one word of bits.
 */
enum log_key {
	KEY_NONE,
	/* time */
	KEY_AT_TIMESTAMP,
	KEY_TIMESTAMP,
	KEY_TIME,
	KEY_TS,
	KEY_AT_T,
	KEY_DATETIME,
	KEY_ASCTIME,
	KEY_DATE,
	KEY_TIMESTAMP_UPPER, /* Timestamp */
	KEY_INSTANT,
	KEY_TIME_MILLIS,
	KEY_EVENT_TIME,
	KEY_T,
	KEY_REALTIME_TIMESTAMP,
	KEY_CREATED,
	/* level */
	KEY_LEVEL,
	KEY_SEVERITY,
	KEY_LOG_LEVEL, /* log.level, flat or nested */
	KEY_AT_L,
	KEY_LEVELNAME,
	KEY_LEVEL_NAME,
	KEY_LVL,
	KEY_LEVEL_UPPER, /* Level */
	KEY_LOGLEVEL,
	KEY_DOTNET_LEVEL, /* LogLevel */
	KEY_PRIORITY,
	KEY_PRIORITY_UPPER, /* PRIORITY */
	KEY_STATUS,
	KEY_ERROR_SEVERITY,
	KEY_S,
	KEY_AT_LEVEL,
	KEY_LEVELNO,
	KEY_LEVEL_VALUE,
	/* message */
	KEY_MESSAGE,
	KEY_MSG,
	KEY_EVENT,
	KEY_AT_M,
	KEY_AT_MT,
	KEY_SHORT_MESSAGE,
	KEY_MESSAGE_UPPER, /* MESSAGE */
	KEY_LOG,
	KEY_TEXT,
	KEY_RENDERED_MESSAGE,
	KEY_FIELDS_MESSAGE, /* fields.message, flat or nested */
	KEY_AT_MESSAGE,
	KEY_DOTNET_MESSAGE, /* Message */
	KEY_MESSAGE_TEMPLATE,
	/* logger */
	KEY_LOGGER,
	KEY_LOGGER_NAME,
	KEY_LOGGERNAME,
	KEY_LOG_LOGGER, /* log.logger, flat or nested */
	KEY_CATEGORY,
	KEY_SOURCE_CONTEXT, /* Properties.SourceContext, or SourceContext */
	KEY_NAME,
	KEY_CHANNEL,
	KEY_TARGET,
	KEY_AT_MODULE,
	KEY_C,
	KEY_SYSLOG_IDENTIFIER,
	KEY_SYSTEMD_UNIT,
	KEY_ROLES_END,
	/* what tells loggers apart, and what holds the others */
	KEY_V = KEY_ROLES_END,
	KEY_PID,
	KEY_HOSTNAME,
	KEY_HOST,
	KEY_VERSION,
	KEY_ECS_VERSION,
	KEY_CONTEXT,
	KEY_STREAM,
	KEY_FIELDS,
	KEY_PROPERTIES,
	KEY_ID,
	KEY_THREAD,
	KEY_OBSERV,
	KEY_OBSERV_SPARE,         /* _observ */
	KEY_CONTEXT_OBSERV,       /* context.observ */
	KEY_CONTEXT_OBSERV_SPARE, /* context._observ */
	KEY_EPOCH_SECOND,         /* instant.epochSecond */
	KEY_NANO_OF_SECOND,       /* instant.nanoOfSecond */
	KEY_DATE_OF_T,            /* t.$date */
	LOG_KEYS
};

_Static_assert(KEY_ROLES_END <= 64, "keys of roles are bits of one word");
_Static_assert(LOG_KEYS <= 128, "keys are bits of two words");

/* Which key that is, inside an object that is the value of `parent` (KEY_NONE: on top). */
enum log_key log_key_find(enum log_key parent, struct slice name);

#endif
