/* config_reader.c: Types of values, walking over keys, errors. See config_reader.h for what belongs here. */
#include "collector/config_reader.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collector/config.h"
#include "core/nearest.h"
#include "core/slice.h"

#define MAX_KEYS            32
#define MAX_SUGGEST_CHANGES 3
#define MAX_TEXT_BYTES      4096

void
config_complain(struct config_reading *r, int line, const char *where, const char *key, const char *what)
{
	strbuf_printf(r->errors, "%s:%d: %s%s%s: %s\n", r->path, line, where, key ? "." : "", key ? key : "",
				  what);
	r->error_count++;
}

bool
config_is_null(const struct yaml_item *item)
{
	return item->kind == YAML_TEXT && item->plain &&
		   (item->text[0] == '\0' || strcmp(item->text, "~") == 0 || strcasecmp(item->text, "null") == 0);
}

static bool
is_bool(const struct yaml_item *item, bool *out)
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

bool
config_is_integer(const struct yaml_item *item, long *out)
{
	char *end;

	if (item->kind != YAML_TEXT || !item->plain || item->text[0] == '\0' ||
		isspace((unsigned char) item->text[0]))
		return false;
	*out = strtol(item->text, &end, 10);
	return *end == '\0';
}

bool
config_is_string(const struct yaml_item *item)
{
	bool b;
	long n;

	return item->kind == YAML_TEXT && !is_bool(item, &b) && !config_is_integer(item, &n) &&
		   !config_is_null(item);
}

const struct yaml_item *
config_find(const struct yaml_item *map, const char *key)
{
	for (const struct yaml_item *item = map->first; item; item = item->next)
		if (strcmp(item->key, key) == 0 && !config_is_null(item))
			return item;
	return NULL;
}

int
config_count(const struct yaml_item *list)
{
	int n = 0;

	for (const struct yaml_item *item = list->first; item; item = item->next)
		n++;
	return n;
}

/* --- strings */

/* Appends the value of the variable whose name begins at `name`; returns where the text goes on, NULL after an error. */
static const char *
expand_variable(struct config_reading *r, const struct yaml_item *item, const char *where, const char *name,
				struct strbuf *out)
{
	const char *end = strchr(name, '}');
	char variable[128], shown[128], what[200];

	if (!end || !slice_copy((struct slice){name, end}, variable, sizeof variable) || !*variable) {
		config_complain(r, item->line, where, item->key, "${ without the name of a variable and }");
		return NULL;
	}
	const char *value = getenv(variable);
	if (value)
		strbuf_puts(out, value);
	else {
		slice_printable(slice_of(variable), shown, sizeof shown);
		snprintf(what, sizeof what, "environment variable %s is not set", shown);
		config_complain(r, item->line, where, item->key, what);
	}
	return end + 1;
}

char *
config_expand(struct config_reading *r, const struct yaml_item *item, const char *where, unsigned flags)
{
	struct strbuf out = STRBUF_INIT;
	int errors = r->error_count;

	for (const char *s = item->text; s && *s;)
		if ((flags & TEXT_EXPAND_APP) && r->app_name && strncmp(s, "{app}", 5) == 0) {
			strbuf_puts(&out, r->app_name);
			s += 5;
		} else if ((flags & TEXT_EXPAND_ENV) && s[0] == '$' && s[1] == '{')
			s = expand_variable(r, item, where, s + 2, &out);
		else
			strbuf_putc(&out, *s++);
	if (!out.data)
		strbuf_add(&out, "", 0);
	if (out.failed)
		config_complain(r, item->line, where, item->key, "out of memory");
	else if ((flags & TEXT_ONE_LINE) && !slice_is_printable(slice_of(out.data)))
		config_complain(r, item->line, where, item->key, "must not hold control characters");
	else if ((flags & TEXT_ABSOLUTE) && out.data[0] != '/')
		config_complain(r, item->line, where, item->key, "must be an absolute path, beginning with /");
	if (r->error_count == errors)
		return out.data;
	strbuf_free(&out);
	return NULL;
}

static void
complain_about_words(struct config_reading *r, const struct yaml_item *item, const char *where,
					 const char *const *words)
{
	struct strbuf what = STRBUF_INIT;

	strbuf_puts(&what, "must be one of ");
	for (int i = 0; words[i]; i++)
		strbuf_printf(&what, "%s%s", i > 0 ? ", " : "", words[i]);
	config_complain(r, item->line, where, item->key, what.data ? what.data : "out of memory");
	strbuf_free(&what);
}

/* The item as a string of the key; NULL when it is none (said). */
static char *
read_text(struct config_reading *r, const struct yaml_item *item, const char *where,
		  const struct config_key *key)
{
	const char *why = NULL;

	if (!config_is_string(item) || item->text[0] == '\0' || strlen(item->text) > MAX_TEXT_BYTES) {
		config_complain(r, item->line, where, item->key,
						"must be a string that is not empty (numbers in quotes), of at most 4096 bytes");
		return NULL;
	}
	char *text = config_expand(r, item, where, key->flags);
	if (text && key->words) {
		int i = 0;
		while (key->words[i] && strcmp(key->words[i], text) != 0)
			i++;
		if (!key->words[i]) {
			complain_about_words(r, item, where, key->words);
			free(text);
			return NULL;
		}
	}
	if (text && key->refuse && (why = key->refuse(text)) != NULL) {
		config_complain(r, item->line, where, item->key, why);
		free(text);
		return NULL;
	}
	return text;
}

static void
string_default(const struct config_key *key, void *at)
{
	*(char **) at = key->text ? strdup(key->text) : NULL;
}

static void
string_read(struct config_reading *r, const struct yaml_item *item, const char *where,
			const struct config_key *key, void *at)
{
	char **field = at;
	char *text = read_text(r, item, where, key);

	if (text) {
		free(*field);
		*field = text;
	}
}

static void
string_release(const struct config_key *key, void *at)
{
	free(*(char **) at);
}

const struct config_type config_string = {string_default, string_read, string_release};

static void
text_list_read(struct config_reading *r, const struct yaml_item *list, const char *where,
			   const struct config_key *key, void *at)
{
	struct text_list *out = at;
	char name[160];
	int index = 0;

	if (list->kind != YAML_LIST) {
		config_complain(r, list->line, where, list->key, "must be a list of strings");
		return;
	}
	out->item = calloc((size_t) config_count(list) + 1, sizeof *out->item);
	if (!out->item)
		config_complain(r, list->line, where, list->key, "out of memory");
	for (const struct yaml_item *item = list->first; out->item && item; item = item->next) {
		snprintf(name, sizeof name, "%s.%s[%d]", where, list->key, index++);
		char *text = read_text(r, item, name, key);
		if (text)
			out->item[out->count++] = text;
	}
}

static void
text_list_release(const struct config_key *key, void *at)
{
	struct text_list *list = at;

	for (int i = 0; i < list->count; i++)
		free(list->item[i]);
	free(list->item);
}

const struct config_type config_text_list = {NULL, text_list_read, text_list_release};

/* --- numbers and booleans */

static void
bool_default(const struct config_key *key, void *at)
{
	*(bool *) at = key->number != 0;
}

static void
bool_read(struct config_reading *r, const struct yaml_item *item, const char *where,
		  const struct config_key *key, void *at)
{
	if (!is_bool(item, at))
		config_complain(r, item->line, where, item->key, "must be true or false");
}

const struct config_type config_bool = {bool_default, bool_read, NULL};

static void
integer_default(const struct config_key *key, void *at)
{
	*(int *) at = (int) key->number;
}

static void
integer_read(struct config_reading *r, const struct yaml_item *item, const char *where,
			 const struct config_key *key, void *at)
{
	char what[160];
	const char *of = key->unit ? " of " : "", *blank = key->unit ? " " : "",
			   *unit = key->unit ? key->unit : "";
	long n;

	if (!config_is_integer(item, &n))
		snprintf(what, sizeof what, "must be a whole number%s%s, without quotes or unit", of, unit);
	else if (n < key->min || n > key->max)
		snprintf(what, sizeof what, "must be between %ld and %ld%s%s, not %ld", key->min, key->max, blank,
				 unit, n);
	else {
		*(int *) at = (int) n;
		return;
	}
	config_complain(r, item->line, where, item->key, what);
}

const struct config_type config_integer = {integer_default, integer_read, NULL};

/* --- structs */

static void
items_read(struct config_reading *r, const struct yaml_item *list, const char *where,
		   const struct config_key *key, void *at)
{
	const struct config_items *items = key->items;
	int *count = (int *) ((char *) at + items->count_offset);
	char *array, name[160];

	if (list->kind != YAML_LIST) {
		config_complain(r, list->line, where, list->key, items->list_must);
		return;
	}
	array = calloc((size_t) config_count(list) + 1, items->size);
	*(char **) at = array;
	if (!array) {
		config_complain(r, list->line, where, list->key, "out of memory");
		return;
	}
	for (const struct yaml_item *item = list->first; item; item = item->next) {
		void *element = array + (size_t) *count * items->size;
		int errors = r->error_count;
		snprintf(name, sizeof name, "%s.%s[%d]", where, key->name, *count);
		++*count;
		config_set_defaults(items->keys, element);
		if (item->kind == YAML_MAP)
			config_read_map(r, item, name, items->keys, element);
		else if (!items->map_only && config_is_string(item) && item->text[0])
			items->keys[0].type->read(r, item, name, &items->keys[0],
									  (char *) element + items->keys[0].offset);
		else
			config_complain(r, item->line, name, NULL, items->item_must);
		if (r->error_count == errors && item->kind == YAML_MAP && !config_find(item, items->keys[0].name))
			config_complain(r, item->line, name, items->keys[0].name, "is required");
		if (r->error_count == errors && items->finish)
			items->finish(r, item, name, element);
	}
}

static void
items_release(const struct config_key *key, void *at)
{
	char *array = *(char **) at;
	int count = *(int *) ((char *) at + key->items->count_offset);

	for (int i = 0; i < count; i++)
		config_release(key->items->keys, array + (size_t) i * key->items->size);
	free(array);
}

const struct config_type config_items = {NULL, items_read, items_release};

/* A mapping inside: the keys are those of the struct around it. */
static void
map_default(const struct config_key *key, void *at)
{
	config_set_defaults(key->keys, at);
}

static void
map_read(struct config_reading *r, const struct yaml_item *map, const char *where,
		 const struct config_key *key, void *at)
{
	char name[160];

	if (map->kind != YAML_MAP) {
		config_complain(r, map->line, where, map->key, "must be a mapping (name: value)");
		return;
	}
	snprintf(name, sizeof name, "%s.%s", where, key->name);
	config_read_map(r, map, name, key->keys, at);
}

static void
map_release(const struct config_key *key, void *at)
{
	config_release(key->keys, at);
}

const struct config_type config_map = {map_default, map_read, map_release};

/* --- keys */

static void
unknown_key(struct config_reading *r, const struct yaml_item *item, const char *where,
			const struct config_key *known)
{
	struct nearest nearest;
	char key[64], what[256];

	nearest_begin(&nearest, item->key, MAX_SUGGEST_CHANGES);
	for (; known->name; known++)
		nearest_consider(&nearest, known->name);
	slice_printable(slice_of(item->key), key, sizeof key);
	snprintf(what, sizeof what, nearest.name ? "unknown key; did you mean \"%s\"?" : "unknown key",
			 nearest.name);
	config_complain(r, item->key_line, where, key, what);
}

void
config_read_map(struct config_reading *r, const struct yaml_item *map, const char *where,
				const struct config_key *keys, void *base)
{
	const struct yaml_item *seen[MAX_KEYS] = {NULL};

	for (const struct yaml_item *item = map->first; item; item = item->next) {
		int k = 0;
		while (keys[k].name && strcmp(keys[k].name, item->key) != 0)
			k++;
		if (!keys[k].name) {
			unknown_key(r, item, where, keys);
			continue;
		}
		if (seen[k]) {
			char what[64];
			snprintf(what, sizeof what, "given twice (first on line %d)", seen[k]->key_line);
			config_complain(r, item->key_line, where, item->key, what);
			continue;
		}
		seen[k] = item;
		if (!config_is_null(item))
			keys[k].type->read(r, item, where, &keys[k], (char *) base + keys[k].offset);
	}
}

void
config_set_defaults(const struct config_key *keys, void *base)
{
	for (; keys->name; keys++)
		if (keys->type->set_default)
			keys->type->set_default(keys, (char *) base + keys->offset);
}

void
config_release(const struct config_key *keys, void *base)
{
	for (; keys->name; keys++)
		if (keys->type->release)
			keys->type->release(keys, (char *) base + keys->offset);
}
