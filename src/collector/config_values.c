/* config_values.c: One reader or one check per kind of value. See config_values.h for what belongs here. */
#include "collector/config_values.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "collector/config.h"
#include "core/json_path.h"
#include "core/log_level.h"
#include "core/slice.h"

#define MAX_REGEX_BYTES   1000
#define MAX_REGEX_REPEATS 1000
#define MAX_URL_BYTES     2048
#define ZONES             "/usr/share/zoneinfo/"

/* --- addresses */

bool
config_authority(const char *text, struct authority *out)
{
	size_t len = strcspn(text, "/?#");
	const char *end = text + len, *at = memrchr(text, '@', len);
	const char *host = at ? at + 1 : text;
	const char *after = host < end && *host == '[' ? memchr(host, ']', (size_t) (end - host)) : host;
	const char *colon = after ? memchr(after, ':', (size_t) (end - after)) : NULL;
	int64_t port = 0;

	if (!after || !slice_copy((struct slice){host, colon ? colon : end}, out->host, sizeof out->host) ||
		!out->host[0] || (*host == '[' && (colon ? colon : end) != after + 1))
		return false;
	if (colon && colon + 1 < end &&
		(!slice_to_i64((struct slice){colon + 1, end}, &port) || port < 1 || port > 65535))
		return false;
	out->port = (int) port;
	out->rest = end;
	return true;
}

/* http or https, a host, a port that is one, nothing that a header could be smuggled in with. */
const char *
config_refuse_http_url(const char *text)
{
	size_t scheme = strncasecmp(text, "http://", 7) == 0 ? 7 : strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
	struct authority authority;

	if (!scheme || strlen(text) > MAX_URL_BYTES || !slice_is_printable(slice_of(text)) || strchr(text, ' ') ||
		!config_authority(text + scheme, &authority))
		return "must be an http:// or https:// address with a host";
	/* libcurl takes the first for the end of the password, others the last. */
	const char *at = strchr(text, '@');
	if (at && memchr(at + 1, '@', (size_t) (authority.rest - at > 0 ? authority.rest - at - 1 : 0)))
		return "has an @ in its user or password, which is written %40";
	return NULL;
}

/* --- connection strings */

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

bool
config_connection_is_valid(const char *text, char *what, size_t size)
{
	char *says = NULL;
	PQconninfoOption *options = PQconninfoParse(text, &says);
	bool valid = options != NULL;

	if (!valid) {
		/* libpq quotes what it stumbled over, and that may be the password: only the words before the first quote are shown. */
		int words = says ? (int) strcspn(says, "\"\n:") : 0;
		snprintf(what, size,
				 "is no PostgreSQL connection string%s%.*s%s; expected "
				 "postgresql://user:password@host:port/database, "
				 "special characters in the password percent-encoded",
				 words ? " (" : "", words, words ? says : "", words ? ")" : "");
	}
	for (PQconninfoOption *o = options; o && o->keyword; o++)
		if (strcmp(o->keyword, "port") == 0 && o->val && !ports_are_valid(o->val)) {
			snprintf(what, size, "the port must be a number between 1 and 65535");
			valid = false;
		}
	PQconninfoFree(options);
	PQfreemem(says);
	return valid;
}

static void
connection_read(struct config_reading *r, const struct yaml_item *item, const char *where,
				const struct config_key *key, void *at)
{
	char what[300];

	if (!config_is_string(item)) {
		config_complain(r, item->line, where, item->key, "must be a string");
		return;
	}
	char *url = config_expand(r, item, where, TEXT_EXPAND_ENV);
	if (url && (!url[0] || !config_connection_is_valid(url, what, sizeof what))) {
		config_complain(r, item->line, where, item->key,
						url[0] ? what : "is no PostgreSQL connection string: it is empty");
		free(url);
		url = NULL;
	}
	*(char **) at = url;
}

static void
pointer_release(const struct config_key *key, void *at)
{
	free(*(void **) at);
}

const struct config_type config_connection = {NULL, connection_read, pointer_release};

/* --- headers */

/* A name as RFC 9110 has it (a token). */
static bool
is_header_name(struct slice s)
{
	for (const char *c = s.p; c < s.end; c++)
		if (!isalnum((unsigned char) *c) && !strchr("!#$%&'*+-.^_`|~", *c))
			return false;
	return s.p < s.end;
}

/* "Name: value" of a pair of a mapping or of one string. */
static void
read_header(struct config_reading *r, const struct yaml_item *item, const char *where, struct text_list *out)
{
	struct strbuf line = STRBUF_INIT;
	char *value = item->kind == YAML_TEXT ? config_expand(r, item, where, TEXT_EXPAND_ENV) : NULL;

	if (value) {
		if (item->key)
			strbuf_printf(&line, "%s: ", item->key);
		strbuf_puts(&line, value);
	}
	const char *colon = line.data ? strchr(line.data, ':') : NULL;
	if (item->kind != YAML_TEXT)
		config_complain(r, item->line, where, item->key, "must be a string");
	else if (value && (!colon || !is_header_name((struct slice){line.data, colon}) ||
					   colon[1 + strspn(colon + 1, " ")] == '\0' || !slice_is_printable(slice_of(line.data))))
		config_complain(r, item->line, where, item->key,
						"must be the name of a header, a colon and a value without control characters");
	else if (value) {
		out->item[out->count++] = line.data;
		line = (struct strbuf) STRBUF_INIT;
	}
	strbuf_free(&line);
	free(value);
}

static void
headers_read(struct config_reading *r, const struct yaml_item *list, const char *where,
			 const struct config_key *key, void *at)
{
	struct text_list *out = at;
	char name[160];
	int index = 0;

	if (list->kind == YAML_TEXT) {
		config_complain(r, list->line, where, list->key,
						"must be a mapping (name: value) or a list of \"Name: value\"");
		return;
	}
	out->item = calloc((size_t) config_count(list) + 1, sizeof *out->item);
	if (!out->item)
		config_complain(r, list->line, where, list->key, "out of memory");
	for (const struct yaml_item *item = list->first; out->item && item; item = item->next) {
		if (list->kind == YAML_LIST)
			snprintf(name, sizeof name, "%s.%s[%d]", where, list->key, index++);
		else
			snprintf(name, sizeof name, "%s.%s", where, list->key);
		read_header(r, item, name, out);
	}
}

static void
headers_release(const struct config_key *key, void *at)
{
	config_text_list.release(key, at);
}

const struct config_type config_headers = {NULL, headers_read, headers_release};

/* --- status codes */

static struct health_check *
check_of(void *expected)
{
	return (struct health_check *) ((char *) expected - offsetof(struct health_check, expected));
}

static void
statuses_default(const struct config_key *key, void *at)
{
	struct health_check *check = check_of(at);

	check->expected = malloc(sizeof *check->expected);
	check->expected_count = check->expected != NULL;
	if (check->expected)
		*check->expected = (struct status_range){200, 399};
}

/* "200" or "200-399". */
static bool
read_status(const struct yaml_item *item, struct status_range *out)
{
	struct slice s = slice_of(item->kind == YAML_TEXT ? item->text : "");
	const char *dash = memchr(s.p, '-', (size_t) (s.end - s.p));
	int64_t first, last;

	if (!slice_to_i64((struct slice){s.p, dash ? dash : s.end}, &first) ||
		!slice_to_i64(dash ? (struct slice){dash + 1, s.end} : s, &last) || first < 100 || last > 599 ||
		first > last)
		return false;
	*out = (struct status_range){(int) first, (int) last};
	return true;
}

static void
statuses_read(struct config_reading *r, const struct yaml_item *item, const char *where,
			  const struct config_key *key, void *at)
{
	struct health_check *check = check_of(at);
	bool is_list = item->kind == YAML_LIST;
	struct status_range *ranges = calloc(is_list ? (size_t) config_count(item) + 1 : 1, sizeof *ranges);
	int count = 0;

	for (const struct yaml_item *one = is_list ? item->first : item; ranges && one;
		 one = is_list ? one->next : NULL)
		if (!read_status(one, &ranges[count++])) {
			count = 0;
			break;
		}
	if (count == 0) {
		config_complain(r, item->line, where, item->key,
						"must be a status from 100 to 599, a range such as 200-299, or a list of them");
		free(ranges);
		return;
	}
	free(check->expected);
	check->expected = ranges;
	check->expected_count = count;
}

const struct config_type config_statuses = {statuses_default, statuses_read, pointer_release};

static void
ip_family_read(struct config_reading *r, const struct yaml_item *item, const char *where,
			   const struct config_key *key, void *at)
{
	long n = 0;

	if (config_is_integer(item, &n) ? n != 4 && n != 6
									: item->kind != YAML_TEXT || strcmp(item->text, "any") != 0)
		config_complain(r, item->line, where, item->key, "must be 4, 6 or any");
	else
		*(int *) at = (int) n;
}

const struct config_type config_ip_family = {NULL, ip_family_read, NULL};

/* --- checks of strings */

/* POSIX extended, of a size that can't eat the agent's memory: what {n} multiply to is bounded. */
const char *
config_refuse_regex(const char *text)
{
	double repeats = 1;
	regex_t regex;

	for (const char *brace = text; (brace = strchr(brace, '{')) != NULL; brace++) {
		const char *last = brace + strcspn(brace, "},");
		double n = strtod(*last == ',' && isdigit((unsigned char) last[1]) ? last + 1 : brace + 1, NULL);
		repeats *= n > 1 ? n : 1;
	}
	if (strlen(text) > MAX_REGEX_BYTES || repeats > MAX_REGEX_REPEATS)
		return "is too large a regular expression: 1000 bytes, and 1000 repeats as all {n} multiply to";
	if (regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) != 0)
		return "is no POSIX extended regular expression";
	regfree(&regex);
	return NULL;
}

const char *
config_refuse_json_path(const char *text)
{
	struct json_path condition;

	return json_path_parse(text, &condition);
}

/* "+02:00" */
static bool
is_offset(const char *s)
{
	return (s[0] == '+' || s[0] == '-') && strlen(s) == 6 && isdigit((unsigned char) s[1]) &&
		   isdigit((unsigned char) s[2]) && s[3] == ':' && s[4] >= '0' && s[4] <= '5' &&
		   isdigit((unsigned char) s[5]);
}

const char *
config_refuse_timezone(const char *text)
{
	char path[300];
	bool plain =
		text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/")] == 0;

	snprintf(path, sizeof path, ZONES "%.200s", text);
	if (is_offset(text) || strcmp(text, "UTC") == 0 ||
		(plain && text[0] != '/' && strlen(text) <= 200 && access(path, R_OK) == 0))
		return NULL;
	return "must be UTC, an offset such as +02:00, or a name that this machine has in " ZONES;
}

const char *
config_refuse_level(const char *text)
{
	if (log_level_rank(slice_of(text)) < 0)
		return "must be a level: trace, debug, info, notice, warning, error, critical, alert, emergency";
	return NULL;
}

const char *
config_refuse_socket(const char *text)
{
	if (strlen(text) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
		return "must be at most 107 bytes: the name of a unix socket can't be longer";
	return NULL;
}

/* A name of the exposition format, maybe with * at its end. */
const char *
config_refuse_metric_name(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:.");

	if (text[len] == '*')
		len++;
	if (text[len] != '\0')
		return "must be the name of a metric; only its last character may be *";
	return NULL;
}
