/*
 * config_values.h: values of the configuration that have rules of their own.
 *
 * Belongs here: addresses, connection strings, headers, status codes, time zones, patterns.
 * Does not belong here: which key has which (config.c, config_checks.c), general types (config_reader.h).
 */
#ifndef OBSERV_COLLECTOR_CONFIG_VALUES_H
#define OBSERV_COLLECTOR_CONFIG_VALUES_H

#include "collector/config_reader.h"

extern const struct config_type
	config_connection;                          /* char *, {NAME}s expanded: a PostgreSQL connection string */
extern const struct config_type config_headers; /* struct text_list of "Name: value" */
extern const struct config_type config_statuses;  /* health_check.expected and .expected_count */
extern const struct config_type config_ip_family; /* int: 0, 4, 6 */

/* What stands between a scheme and the path of an address. */
struct authority {
	char host[256]; /* IPv6 in brackets */
	int port;       /* 0: none */
	const char *rest;
};

/* Takes the authority (maybe with USER:PASSWORD@) off what follows "scheme://"; false when it is not in order. */
bool config_authority(const char *text, struct authority *out);

/* Whether libpq takes it, with ports that are ports; else `what` says why not, without any of its secrets. */
bool config_connection_is_valid(const char *text, char *what, size_t size);

/* Each for config_key.refuse: NULL, or why the string is refused. */
const char *config_refuse_http_url(const char *text);
const char *config_refuse_regex(const char *text);
const char *config_refuse_json_path(const char *text);
const char *config_refuse_timezone(const char *text);
const char *config_refuse_level(const char *text);
const char *config_refuse_socket(const char *text);
const char *config_refuse_metric_name(const char *text);

#endif
