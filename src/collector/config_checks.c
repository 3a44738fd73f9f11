/* config_checks.c: Keys of a health check, and what its target says about them. See config_checks.h for what belongs here. */
#include "collector/config_checks.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collector/config.h"
#include "collector/config_values.h"
#include "core/slice.h"

#define HTTP_ONLY    (1u << CHECK_HTTP)
#define POSTGRES     (1u << CHECK_POSTGRES)
#define NETWORK_ONLY (HTTP_ONLY | POSTGRES | 1u << CHECK_TCP | 1u << CHECK_REDIS)

static const char *
refuse_tcp(const char *text)
{
	struct authority a;

	if (!config_authority(text + strlen("tcp://"), &a) || a.port == 0 || *a.rest != '\0' || strchr(text, '@'))
		return "must be tcp://HOST:PORT";
	return NULL;
}

static const char *
refuse_postgres(const char *text)
{
	char what[300];

	if (!config_connection_is_valid(text, what, sizeof what))
		return "is no PostgreSQL connection string; expected postgresql://user:password@host:port/database";
	return NULL;
}

static const char *
refuse_redis(const char *text)
{
	static const char must[] =
		"must be redis://[:PASSWORD@]HOST[:PORT][/DATABASE] or redis:///PATH/OF/SOCKET";
	struct authority a;
	const char *address = text + strlen("redis://");

	if (address[0] == '/')
		return address[1] == '\0' ? must : NULL;
	if (!config_authority(address, &a) || (a.rest[0] != '\0' && a.rest[0] != '/'))
		return must;
	/* A database may be named, as others want it; PING needs none. */
	return a.rest[0] && a.rest[1 + strspn(a.rest + 1, "0123456789")] ? must : NULL;
}

static const char *
refuse_unit(const char *text)
{
	const char *unit = text + strlen("unit:");
	size_t len = strspn(unit, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@");

	if (unit[len] != '\0' || !strchr(unit, '.') || unit[0] == '-' || len > 255)
		return "must be unit:NAME.service (or another type of unit)";
	return NULL;
}

static const struct target {
	const char *scheme;
	enum check_kind kind;
	const char *(*refuse)(const char *text);
} targets[] = {
	{"http://", CHECK_HTTP, config_refuse_http_url},
	{"https://", CHECK_HTTP, config_refuse_http_url},
	{"tcp://", CHECK_TCP, refuse_tcp},
	{"postgres://", CHECK_POSTGRES, refuse_postgres},
	{"postgresql://", CHECK_POSTGRES, refuse_postgres},
	{"redis://", CHECK_REDIS, refuse_redis},
	{"unit:", CHECK_UNIT, refuse_unit},
};

static const struct target *
find_target(const char *url)
{
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		if (strncasecmp(url, targets[i].scheme, strlen(targets[i].scheme)) == 0)
			return &targets[i];
	return NULL;
}

static const char *
refuse_target(const char *text)
{
	const struct target *target = find_target(text);

	if (!target || !slice_is_printable(slice_of(text)))
		return "must be an http://, https://, tcp://, postgresql:// or redis:// address with a host, or "
			   "unit:NAME";
	return target->refuse(text);
}

static const char *
refuse_name(const char *text)
{
	return strlen(text) <= 500 ? NULL : "must be at most 500 bytes";
}

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", NULL};

static const struct config_key check_keys[] = {
	{"url", &config_string, offsetof(struct health_check, url), .refuse = refuse_target,
	 .flags = TEXT_EXPAND_APP | TEXT_EXPAND_ENV},
	{"name", &config_string, offsetof(struct health_check, name), .refuse = refuse_name,
	 .flags = TEXT_EXPAND_APP | TEXT_ONE_LINE},
	{"interval", &config_integer, offsetof(struct health_check, interval_s), 1, 86400, "seconds"},
	{"timeout", &config_integer, offsetof(struct health_check, timeout_s), 1, 300, "seconds", 5},
	{"method", &config_string, offsetof(struct health_check, method), .text = "GET", .words = methods,
	 .only = HTTP_ONLY},
	{"headers", &config_headers, offsetof(struct health_check, headers), .only = HTTP_ONLY},
	{"body", &config_string, offsetof(struct health_check, body), .flags = TEXT_EXPAND_ENV,
	 .only = HTTP_ONLY},
	{"expected_status", &config_statuses, offsetof(struct health_check, expected), .only = HTTP_ONLY},
	{"body_contains", &config_string, offsetof(struct health_check, body_contains), .only = HTTP_ONLY},
	{"body_not_contains", &config_string, offsetof(struct health_check, body_not_contains),
	 .only = HTTP_ONLY},
	{"body_regex", &config_string, offsetof(struct health_check, body_regex), .only = HTTP_ONLY,
	 .refuse = config_refuse_regex},
	{"json_path", &config_string, offsetof(struct health_check, json_path), .only = HTTP_ONLY,
	 .refuse = config_refuse_json_path},
	{"max_latency_ms", &config_integer, offsetof(struct health_check, max_latency_ms), 1, 300000,
	 "milliseconds"},
	{"follow_redirects", &config_bool, offsetof(struct health_check, follow_redirects), .number = true,
	 .only = HTTP_ONLY},
	{"verify_tls", &config_bool, offsetof(struct health_check, verify_tls), .number = true,
	 .only = HTTP_ONLY},
	{"ip_family", &config_ip_family, offsetof(struct health_check, ip_family), .only = NETWORK_ONLY},
	{"max_lag", &config_integer, offsetof(struct health_check, max_lag_s), 1, 86400, "seconds",
	 .only = POSTGRES},
	{"failure_threshold", &config_integer, offsetof(struct health_check, failure_threshold), 1, 100,
	 .number = 3},
	/* Recovery is to be seen within a minute. */
	{"cooldown", &config_integer, offsetof(struct health_check, cooldown_s), 1, 60, "seconds", 30},
	{NULL},
};

/* postgresql://user@host:port/database, whatever else the string says. */
static char *
postgres_name(const char *url)
{
	struct strbuf name = STRBUF_INIT;
	const char *user = NULL, *host = NULL, *port = NULL, *database = NULL;
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	const struct {
		const char *keyword, **value;
	} wanted[] = {{"user", &user}, {"host", &host}, {"port", &port}, {"dbname", &database}};

	for (PQconninfoOption *o = options; o && o->keyword; o++)
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
			if (strcmp(o->keyword, wanted[i].keyword) == 0)
				*wanted[i].value = o->val;
	strbuf_printf(&name, "postgresql://%s%s%s%s%s/%s", user ? user : "", user ? "@" : "", host ? host : "",
				  port ? ":" : "", port ? port : "", database ? database : "");
	PQconninfoFree(options);
	return name.data;
}

/* The address as the file has it (variables are secrets until somebody says otherwise), without a password before the @. */
static char *
address_name(struct config_reading *r, const struct yaml_item *url, const char *where)
{
	char *name = config_expand(r, url, where, TEXT_EXPAND_APP);
	char *authority = name ? strstr(name, "://") : NULL;

	if (!authority)
		return name;
	authority += 3;
	char *at = memrchr(authority, '@', strcspn(authority, "/?#"));
	char *colon = at ? memchr(authority, ':', (size_t) (at - authority)) : NULL;
	if (colon == authority)
		memmove(authority, at + 1, strlen(at + 1) + 1);
	else if (colon)
		memmove(colon, at, strlen(at) + 1);
	return name;
}

static void
finish_check(struct config_reading *r, const struct yaml_item *map, const char *where, void *element)
{
	struct health_check *check = element;

	check->kind = find_target(check->url)->kind;
	for (const struct yaml_item *item = map->first; item; item = item->next)
		for (const struct config_key *key = check_keys; key->name; key++)
			if (strcmp(key->name, item->key) == 0 && key->only && !(key->only & 1u << check->kind))
				config_complain(r, item->key_line, where, item->key,
								"has no meaning for a target of this kind");
	if (!check->name)
		check->name = check->kind == CHECK_POSTGRES ? postgres_name(check->url)
													: address_name(r, config_find(map, "url"), where);
}

const struct config_items config_checks = {
	.keys = check_keys,
	.size = sizeof(struct health_check),
	.count_offset = offsetof(struct config, check_count) - offsetof(struct config, checks),
	.map_only = true,
	.list_must = "must be a list of checks, each with a url",
	.item_must = "must be a mapping with a url",
	.finish = finish_check,
};
