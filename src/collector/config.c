/* config.c: Keys of the monitoring section: one descriptor list and one handler per mapping. See config.h for what belongs here. */
#include "collector/config.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collector/yaml_tree.h"
#include "core/slice.h"

#define SECTION             "monitoring"
#define DEFAULT_INTERVAL_S  60
#define MIN_INTERVAL_S      10
#define MAX_INTERVAL_S      86400
#define DEFAULT_TIMEOUT_S   5
#define MAX_TIMEOUT_S       300
#define MAX_URL_BYTES       2048
#define MAX_SUGGEST_CHANGES 3

struct reading {
	const char *path;
	const char *app_name;
	struct strbuf *errors;
	int error_count;
};

/* "FILE:LINE: WHERE.KEY: what". */
static void
complain(struct reading *r, int line, const char *where, const char *key, const char *what)
{
	strbuf_printf(r->errors, "%s:%d: %s%s%s: %s\n", r->path, line, where, key ? "." : "", key ? key : "",
				  what);
	r->error_count++;
}

static bool
is_null(const struct yaml_item *item)
{
	return item->kind == YAML_TEXT && item->plain &&
		   (item->text[0] == '\0' || strcmp(item->text, "~") == 0 || strcasecmp(item->text, "null") == 0);
}

static bool
as_bool(const struct yaml_item *item, bool *out)
{
	static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};

	if (item->kind == YAML_TEXT && item->plain)
		for (int i = 0; i < 3; i++)
			for (int value = 0; value < 2; value++)
				if (strcasecmp(item->text, words[i][value]) == 0) {
					*out = value;
					return true;
				}
	return false;
}

static bool
as_integer(const struct yaml_item *item, long *out)
{
	char *end;

	if (item->kind != YAML_TEXT || !item->plain || item->text[0] == '\0' ||
		isspace((unsigned char) item->text[0]))
		return false;
	*out = strtol(item->text, &end, 10);
	return *end == '\0';
}

/* A string: quoted, or plain and nothing else (not a number, not a boolean). */
static bool
as_string(const struct yaml_item *item)
{
	bool b;
	long n;

	return item->kind == YAML_TEXT && !as_bool(item, &b) && !as_integer(item, &n) && !is_null(item);
}

static void
read_bool(struct reading *r, const struct yaml_item *item, const char *where, bool *out)
{
	if (!as_bool(item, out))
		complain(r, item->line, where, item->key, "must be true or false");
}

static void
read_seconds(struct reading *r, const struct yaml_item *item, const char *where, int min, int max, int *out)
{
	char what[160];
	long n;

	if (!as_integer(item, &n)) {
		complain(r, item->line, where, item->key,
				 "must be a whole number of seconds, without quotes or unit");
		return;
	}
	if (n < min || n > max) {
		snprintf(what, sizeof what, "must be between %d and %d seconds, not %ld", min, max, n);
		complain(r, item->line, where, item->key, what);
		return;
	}
	*out = (int) n;
}

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Levenshtein distance; words longer than 63 bytes are taken as far away. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[64], la = strlen(a), lb = strlen(b);

	if (la >= 64 || lb >= 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}

static void
unknown_key(struct reading *r, const struct yaml_item *item, const char *where, const char *const *known)
{
	const char *nearest = NULL;
	size_t best = MAX_SUGGEST_CHANGES + 1;
	char key[64], what[256];

	for (; *known; known++) {
		size_t d = distance(item->key, *known);
		if (d < best) {
			best = d;
			nearest = *known;
		}
	}
	slice_printable(slice_of(item->key), key, sizeof key);
	snprintf(what, sizeof what, nearest ? "unknown key; did you mean \"%s\"?" : "unknown key", nearest);
	complain(r, item->key_line, where, key, what);
}

/* Walks the pairs of a mapping; `handle` gets the index of each known key once. */
static void
read_map(struct reading *r, const struct yaml_item *map, const char *where, const char *const *known,
		 void (*handle)(struct reading *r, int key, const struct yaml_item *item, const char *where,
						void *into),
		 void *into)
{
	const struct yaml_item *seen[8] = {NULL};

	for (const struct yaml_item *item = map->first; item; item = item->next) {
		int key = 0;
		while (known[key] && strcmp(known[key], item->key) != 0)
			key++;
		if (!known[key]) {
			unknown_key(r, item, where, known);
			continue;
		}
		if (seen[key]) {
			char what[64];
			snprintf(what, sizeof what, "given twice (first on line %d)", seen[key]->key_line);
			complain(r, item->key_line, where, item->key, what);
			continue;
		}
		seen[key] = item;
		if (!is_null(item))
			handle(r, key, item, where, into);
	}
}

/* Replaces each ${NAME} by the variable's value, as it is. */
static void
expand_environment(struct reading *r, const struct yaml_item *item, const char *where, struct strbuf *out)
{
	const char *s = item->text;

	while (*s) {
		if (s[0] != '$' || s[1] != '{') {
			strbuf_putc(out, *s++);
			continue;
		}
		const char *name = s + 2, *end = strchr(name, '}');
		char variable[128], what[200];
		if (!end || !slice_copy((struct slice){name, end}, variable, sizeof variable) || !*variable) {
			complain(r, item->line, where, item->key, "${ without the name of a variable and }");
			return;
		}
		const char *value = getenv(variable);
		if (!value) {
			char shown[128];
			slice_printable(slice_of(variable), shown, sizeof shown);
			snprintf(what, sizeof what, "environment variable %s is not set", shown);
			complain(r, item->line, where, item->key, what);
		} else
			strbuf_puts(out, value);
		s = end + 1;
	}
}

/* libpq quotes what it stumbled over, and that may be the password: only the words before the first quote are shown. */
static void
complain_about_url(struct reading *r, const struct yaml_item *item, const char *where, const char *libpq_says)
{
	char what[300];
	int words = libpq_says ? (int) strcspn(libpq_says, "\"\n:") : 0;

	snprintf(
		what, sizeof what,
		"is no PostgreSQL connection string%s%.*s%s; expected postgresql://user:password@host:port/database, "
		"special characters in the password percent-encoded",
		words ? " (" : "", words, words ? libpq_says : "", words ? ")" : "");
	complain(r, item->line, where, item->key, what);
}

static bool
ports_are_valid(const char *ports)
{
	struct slice rest = slice_of(ports);

	while (rest.p < rest.end) {
		const char *comma = memchr(rest.p, ',', (size_t) (rest.end - rest.p));
		struct slice one = {rest.p, comma ? comma : rest.end};
		int64_t port;
		if (one.p < one.end && (!slice_to_i64(one, &port) || port < 1 || port > 65535))
			return false;
		rest.p = comma ? comma + 1 : rest.end;
	}
	return true;
}

static void
read_postgres_url(struct reading *r, const struct yaml_item *item, const char *where, struct config *out)
{
	struct strbuf url = STRBUF_INIT;
	int errors = r->error_count;
	char *message = NULL;

	if (!as_string(item)) {
		complain(r, item->line, where, item->key, "must be a string");
		return;
	}
	expand_environment(r, item, where, &url);
	if (r->error_count == errors) {
		PQconninfoOption *options = url.data ? PQconninfoParse(url.data, &message) : NULL;
		if (!options)
			complain_about_url(r, item, where, message);
		for (PQconninfoOption *o = options; o && o->keyword; o++)
			if (strcmp(o->keyword, "port") == 0 && o->val && !ports_are_valid(o->val))
				complain(r, item->line, where, item->key, "the port must be a number between 1 and 65535");
		PQconninfoFree(options);
		PQfreemem(message);
	}
	out->postgres_url = url.data;
}

/* http or https, a host, a port that is one, nothing that a header could be smuggled in with. */
static bool
is_http_url(const char *url)
{
	char authority[MAX_URL_BYTES + 1];
	size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
	size_t len = strcspn(url + scheme, "/?#");
	int64_t port = 1;

	if (!scheme || strlen(url) > MAX_URL_BYTES || !slice_is_printable(slice_of(url)) || strchr(url, ' '))
		return false;
	snprintf(authority, sizeof authority, "%.*s", (int) len, url + scheme);
	char *at = strrchr(authority, '@');
	char *host = at ? at + 1 : authority;
	char *after = host[0] == '[' ? strchr(host, ']') : host;
	char *colon = after ? strchr(after, ':') : NULL;
	if (!after || host == colon || !host[0])
		return false;
	return !colon || !colon[1] || (slice_to_i64(slice_of(colon + 1), &port) && port >= 1 && port <= 65535);
}

enum check_key { CHECK_KEY_URL, CHECK_KEY_INTERVAL, CHECK_KEY_TIMEOUT };
static const char *const check_keys[] = {"url", "interval", "timeout", NULL};

static void
read_check_key(struct reading *r, int key, const struct yaml_item *item, const char *where, void *into)
{
	struct health_check *check = into;

	switch ((enum check_key) key) {
	case CHECK_KEY_URL:
		if (item->kind != YAML_TEXT || !is_http_url(item->text))
			complain(r, item->line, where, item->key, "must be an http:// or https:// address with a host");
		check->url = item->kind == YAML_TEXT ? strdup(item->text) : NULL;
		break;
	case CHECK_KEY_INTERVAL:
		read_seconds(r, item, where, 1, MAX_INTERVAL_S, &check->interval_s);
		break;
	case CHECK_KEY_TIMEOUT:
		read_seconds(r, item, where, 1, MAX_TIMEOUT_S, &check->timeout_s);
		break;
	}
}

static int
count_items(const struct yaml_item *list)
{
	int n = 0;

	for (const struct yaml_item *item = list->first; item; item = item->next)
		n++;
	return n;
}

static void
read_checks(struct reading *r, const struct yaml_item *list, const char *where, struct config *out)
{
	if (list->kind != YAML_LIST) {
		complain(r, list->line, where, list->key, "must be a list of checks, each with a url");
		return;
	}
	out->checks = calloc((size_t) count_items(list) + 1, sizeof *out->checks);
	if (!out->checks) {
		complain(r, list->line, where, list->key, "out of memory");
		return;
	}
	for (const struct yaml_item *item = list->first; item; item = item->next) {
		struct health_check *check = &out->checks[out->check_count];
		char name[64];
		snprintf(name, sizeof name, "%s.health_checks[%d]", where, out->check_count);
		out->check_count++;
		if (item->kind != YAML_MAP) {
			complain(r, item->line, name, NULL, "must be a mapping with a url");
			continue;
		}
		int errors = r->error_count;
		check->timeout_s = DEFAULT_TIMEOUT_S;
		read_map(r, item, name, check_keys, read_check_key, check);
		if (!check->url && r->error_count == errors)
			complain(r, item->line, name, "url", "is required");
	}
}

static char *
expand_app(const char *text, const char *app)
{
	struct strbuf out = STRBUF_INIT;

	while (*text)
		if (app && strncmp(text, "{app}", 5) == 0) {
			strbuf_puts(&out, app);
			text += 5;
		} else
			strbuf_putc(&out, *text++);
	return out.data;
}

static void
read_log_files(struct reading *r, const struct yaml_item *list, const char *where, struct config *out)
{
	if (list->kind != YAML_LIST) {
		complain(r, list->line, where, list->key, "must be a list of file names");
		return;
	}
	out->logs = calloc((size_t) count_items(list) + 1, sizeof *out->logs);
	if (!out->logs) {
		complain(r, list->line, where, list->key, "out of memory");
		return;
	}
	int index = 0;
	for (const struct yaml_item *item = list->first; item; item = item->next, index++) {
		char name[64];
		snprintf(name, sizeof name, "%s.log_files[%d]", where, index);
		if (!as_string(item) || !item->text[0])
			complain(r, item->line, name, NULL, "must be a string: the name of a file");
		else
			out->logs[out->log_count++].pattern = expand_app(item->text, r->app_name);
	}
}

enum key { KEY_ENABLED, KEY_POSTGRES_URL, KEY_INTERVAL, KEY_HEALTH_CHECKS, KEY_LOG_FILES };
static const char *const keys[] = {"enabled",       "postgres_url", "collection_interval",
								   "health_checks", "log_files",    NULL};

static void
read_key(struct reading *r, int key, const struct yaml_item *item, const char *where, void *into)
{
	struct config *out = into;

	switch ((enum key) key) {
	case KEY_ENABLED:
		read_bool(r, item, where, &out->enabled);
		break;
	case KEY_POSTGRES_URL:
		read_postgres_url(r, item, where, out);
		break;
	case KEY_INTERVAL:
		read_seconds(r, item, where, MIN_INTERVAL_S, MAX_INTERVAL_S, &out->interval_s);
		break;
	case KEY_HEALTH_CHECKS:
		read_checks(r, item, where, out);
		break;
	case KEY_LOG_FILES:
		read_log_files(r, item, where, out);
		break;
	}
}

static bool
has_key(const struct yaml_item *map, const char *key)
{
	for (const struct yaml_item *item = map->first; item; item = item->next)
		if (strcmp(item->key, key) == 0 && !is_null(item))
			return true;
	return false;
}

bool
config_load(const char *path, const char *app_name, struct config *out, struct strbuf *errors)
{
	struct reading r = {path, app_name, errors, 0};
	size_t before = errors->len;
	struct yaml_item *section = yaml_tree_load(path, SECTION, errors);

	bool readable = errors->len == before;

	*out = (struct config){.interval_s = DEFAULT_INTERVAL_S};
	if (section && section->kind == YAML_MAP) {
		read_map(&r, section, SECTION, keys, read_key, out);
		if (readable && !has_key(section, keys[KEY_POSTGRES_URL]))
			complain(&r, section->key_line, SECTION, keys[KEY_POSTGRES_URL], "is required");
	} else if (section && !is_null(section))
		complain(&r, section->line, SECTION, NULL, "must be a mapping (name: value)");
	else if (readable)
		complain(&r, section ? section->key_line : 1, SECTION, NULL, "this section is missing or empty");
	for (int i = 0; i < out->check_count; i++)
		if (out->checks[i].interval_s == 0)
			out->checks[i].interval_s = out->interval_s;
	yaml_tree_free(section);
	return errors->len == before && !errors->failed;
}

void
config_free(struct config *c)
{
	for (int i = 0; i < c->check_count; i++)
		free(c->checks[i].url);
	for (int i = 0; i < c->log_count; i++)
		free(c->logs[i].pattern);
	free(c->checks);
	free(c->logs);
	free(c->postgres_url);
	*c = (struct config){0};
}
