/* config.c: The keys of the section monitoring (those of a health check are in config_checks.c). See config.h for what belongs here. */
#include "collector/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/config_checks.h"
#include "collector/config_reader.h"
#include "collector/config_values.h"

#define SECTION   "monitoring"
#define TEXT_FILE (TEXT_EXPAND_APP | TEXT_ONE_LINE | TEXT_ABSOLUTE)

/* --- log_files */

static void
start_at_read(struct config_reading *r, const struct yaml_item *item, const char *where,
			  const struct config_key *key, void *at)
{
	bool beginning = item->kind == YAML_TEXT && strcmp(item->text, "beginning") == 0;

	if (!beginning && (item->kind != YAML_TEXT || strcmp(item->text, "end") != 0))
		config_complain(r, item->line, where, item->key, "must be end or beginning");
	*(bool *) at = beginning;
}

static const struct config_type start_at = {NULL, start_at_read, NULL};

static const struct config_key log_keys[] = {
	{"path", &config_string, offsetof(struct log_source, pattern), .flags = TEXT_FILE},
	{"start_at", &start_at, offsetof(struct log_source, from_beginning)},
	{"timezone", &config_string, offsetof(struct log_source, timezone), .refuse = config_refuse_timezone},
	{"level", &config_string, offsetof(struct log_source, level), .text = "info",
	 .refuse = config_refuse_level},
	{NULL},
};

static const struct config_items log_items = {
	.keys = log_keys,
	.size = sizeof(struct log_source),
	.count_offset = offsetof(struct config, log_count) - offsetof(struct config, logs),
	.list_must = "must be a list of file names",
	.item_must = "must be a string (the name of a file, may be a pattern) or a mapping with a path",
};

/* --- scrape */

static const char *const layers[] = {"application", "business", "system", NULL};

static const struct config_key scrape_keys[] = {
	{"url", &config_string, offsetof(struct scrape_target, url), .refuse = config_refuse_http_url,
	 .flags = TEXT_EXPAND_APP | TEXT_EXPAND_ENV},
	{"job", &config_string, offsetof(struct scrape_target, job), .flags = TEXT_EXPAND_APP | TEXT_ONE_LINE},
	{"layer", &config_string, offsetof(struct scrape_target, layer), .text = "application", .words = layers},
	{"interval", &config_integer, offsetof(struct scrape_target, interval_s), 1, 86400, "seconds"},
	{"timeout", &config_integer, offsetof(struct scrape_target, timeout_s), 1, 60, "seconds", 2},
	{"max_series", &config_integer, offsetof(struct scrape_target, max_series), 1, 100000, .number = 2000},
	{"allow", &config_text_list, offsetof(struct scrape_target, allow), .refuse = config_refuse_metric_name},
	{"deny", &config_text_list, offsetof(struct scrape_target, deny), .refuse = config_refuse_metric_name},
	{NULL},
};

static void
finish_scrape(struct config_reading *r, const struct yaml_item *item, const char *where, void *element)
{
	struct scrape_target *target = element;
	struct authority authority;
	char port[16] = "";

	if (target->job || !config_authority(strstr(target->url, "://") + 3, &authority))
		return;
	if (authority.port)
		snprintf(port, sizeof port, ":%d", authority.port);
	if (asprintf(&target->job, "%s%s", authority.host, port) < 0)
		target->job = NULL;
}

static const struct config_items scrape_items = {
	.keys = scrape_keys,
	.size = sizeof(struct scrape_target),
	.count_offset = offsetof(struct config, scrape_count) - offsetof(struct config, scrapes),
	.list_must = "must be a list of addresses",
	.item_must = "must be a string (an http:// address) or a mapping with a url",
	.finish = finish_scrape,
};

/* --- the section */

static const struct config_key statsd_keys[] = {
	{"socket", &config_string, offsetof(struct config, statsd_socket), .flags = TEXT_FILE,
	 .refuse = config_refuse_socket},
	{"max_series", &config_integer, offsetof(struct config, statsd_max_series), 1, 100000, .number = 2000},
	{NULL},
};

static const struct config_key collect_keys[] = {
	{"containers", &config_bool, offsetof(struct config, containers), .number = true},
	{"disks", &config_bool, offsetof(struct config, disks), .number = true},
	{"interfaces", &config_bool, offsetof(struct config, interfaces), .number = true},
	{"units", &config_bool, offsetof(struct config, units), .number = true},
	{"peers", &config_bool, offsetof(struct config, peers), .number = true},
	{NULL},
};

/* Names and globs of systemd's units. */
static const char *
refuse_unit_pattern(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@*?[]!");

	return text[len] == '\0' && text[0] != '-' && len <= 255 ? NULL
															 : "must be the name of a unit, or a pattern";
}

static const struct config_key keys[] = {
	{"enabled", &config_bool, offsetof(struct config, enabled)},
	{"postgres_url", &config_connection, offsetof(struct config, postgres_url)},
	{"collection_interval", &config_integer, offsetof(struct config, interval_s), 10, 86400, "seconds", 60},
	{"adaptive", &config_bool, offsetof(struct config, adaptive)},
	{"health_checks", &config_items, offsetof(struct config, checks), .items = &config_checks},
	{"log_files", &config_items, offsetof(struct config, logs), .items = &log_items},
	{"log_max_line_bytes", &config_integer, offsetof(struct config, max_line_bytes), 1024, 1048576, "bytes",
	 65536},
	{"log_deleted_max_mb", &config_integer, offsetof(struct config, pinned_max_mb), 0, 1048576, "MiB", 256},
	{"scrape", &config_items, offsetof(struct config, scrapes), .items = &scrape_items},
	{"statsd", &config_map, .keys = statsd_keys},
	{"spool_max_mb", &config_integer, offsetof(struct config, spool_max_mb), 1, 4096, "MiB", 64},
	{"collect", &config_map, .keys = collect_keys},
	{"units", &config_text_list, offsetof(struct config, unit_patterns), .refuse = refuse_unit_pattern},
	{NULL},
};

/* What follows from several keys. The section was read without an error. */
static void
finish(struct config_reading *r, const struct yaml_item *section, struct config *c)
{
	const struct yaml_item *statsd = config_find(section, "statsd");
	const struct yaml_item *checks = config_find(section, "health_checks");
	char name[64];
	int i = 0;

	for (int j = 0; j < c->scrape_count; j++)
		if (c->scrapes[j].interval_s == 0)
			c->scrapes[j].interval_s = c->interval_s;
	if (statsd && !c->statsd_socket)
		config_complain(r, statsd->key_line, SECTION ".statsd", "socket", "is required");
	for (const struct yaml_item *item = checks ? checks->first : NULL; item; item = item->next, i++) {
		struct health_check *check = &c->checks[i];
		if (check->interval_s == 0)
			check->interval_s = c->interval_s;
		for (int j = 0; j < i; j++)
			if (check->name && c->checks[j].name && strcmp(check->name, c->checks[j].name) == 0) {
				snprintf(name, sizeof name, SECTION ".health_checks[%d]", i);
				config_complain(r, item->line, name, "name",
								"another check goes by it already: what is found would be mixed up");
				break;
			}
	}
}

bool
config_load(const char *path, const char *app_name, struct config *out, struct strbuf *errors)
{
	struct config_reading r = {path, app_name, errors, 0};
	size_t before = errors->len;
	struct yaml_item *section = yaml_tree_load(path, SECTION, errors);
	bool readable = errors->len == before;

	*out = (struct config){0};
	config_set_defaults(keys, out);
	if (section && section->kind == YAML_MAP) {
		config_read_map(&r, section, SECTION, keys, out);
		if (readable && !config_find(section, "postgres_url"))
			config_complain(&r, section->key_line, SECTION, "postgres_url", "is required");
		if (readable && r.error_count == 0)
			finish(&r, section, out);
	} else if (section && !config_is_null(section))
		config_complain(&r, section->line, SECTION, NULL, "must be a mapping (name: value)");
	else if (readable)
		config_complain(&r, section ? section->key_line : 1, SECTION, NULL,
						"this section is missing or empty");
	yaml_tree_free(section);
	return errors->len == before && !errors->failed;
}

void
config_free(struct config *c)
{
	config_release(keys, c);
	*c = (struct config){0};
}
