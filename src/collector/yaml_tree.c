/* yaml_tree.c: libyaml's events into a small tree. See yaml_tree.h for what belongs here. */
#include "collector/yaml_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define MAX_FILE_BYTES (1024 * 1024)
#define MAX_DEPTH      32
#define MAX_ITEMS      5000

struct loader {
	const char *path;
	yaml_parser_t parser;
	struct strbuf *errors;
	int items;
	bool stop; /* nothing more can be read */
};

static void
complain(struct loader *l, size_t line, const char *what)
{
	strbuf_printf(l->errors, "%s:%zu: %s\n", l->path, line, what);
}

static void
give_up(struct loader *l, size_t line, const char *what)
{
	if (!l->stop)
		complain(l, line, what);
	l->stop = true;
}

/* The next event; false (and said) when there is none. The caller deletes it. */
static bool
next_event(struct loader *l, yaml_event_t *event)
{
	if (l->stop)
		return false;
	if (yaml_parser_parse(&l->parser, event))
		return true;
	size_t line =
		(l->parser.problem_mark.line ? l->parser.problem_mark.line : l->parser.context_mark.line) + 1;
	char what[256];
	snprintf(what, sizeof what, "not valid YAML: %s%s%s",
			 l->parser.problem ? l->parser.problem : "out of memory", l->parser.context ? " " : "",
			 l->parser.context ? l->parser.context : "");
	give_up(l, line, what);
	return false;
}

static int
event_line(const yaml_event_t *event)
{
	return (int) event->start_mark.line + 1;
}

static bool
opens(const yaml_event_t *event)
{
	return event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
}

static bool
closes(const yaml_event_t *event)
{
	return event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT;
}

/* Passes over the node that `event` begins. Consumes `event`. */
static void
skip_node(struct loader *l, yaml_event_t *event)
{
	int depth = opens(event) ? 1 : 0;

	while (depth > 0) {
		yaml_event_delete(event);
		if (!next_event(l, event))
			return;
		depth += opens(event) ? 1 : closes(event) ? -1 : 0;
		if (depth > MAX_DEPTH) {
			give_up(l, (size_t) event_line(event), "nested too deeply");
			break;
		}
	}
	yaml_event_delete(event);
}

static struct yaml_item *load_node(struct loader *l, yaml_event_t *event, int depth);

static struct yaml_item *
new_item(struct loader *l, enum yaml_kind kind, int line)
{
	struct yaml_item *item = l->items++ < MAX_ITEMS ? calloc(1, sizeof *item) : NULL;

	if (!item) {
		give_up(l, (size_t) line, "too many entries");
		return NULL;
	}
	item->kind = kind;
	item->line = line;
	return item;
}

static struct yaml_item *
load_text(struct loader *l, yaml_event_t *event)
{
	struct yaml_item *item = new_item(l, YAML_TEXT, event_line(event));

	if (item) {
		size_t len = event->data.scalar.length;
		item->plain =
			event->data.scalar.plain_implicit && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		if (memchr(event->data.scalar.value, '\0', len))
			complain(l, (size_t) item->line, "a zero byte inside a value");
		item->text = strndup((const char *) event->data.scalar.value, len);
		if (!item->text)
			give_up(l, (size_t) item->line, "out of memory");
	}
	yaml_event_delete(event);
	return item;
}

/* The key of the next pair of a mapping: NULL at the end, or when what follows can't be a key (then said and skipped). */
static bool
load_key(struct loader *l, yaml_event_t *event, char **key, int *line)
{
	*key = NULL;
	*line = event_line(event);
	if (event->type == YAML_SCALAR_EVENT)
		*key = strndup((const char *) event->data.scalar.value, event->data.scalar.length);
	else
		complain(l, (size_t) *line, "a key must be a plain word");
	skip_node(l, event);
	return !l->stop;
}

static void
load_children(struct loader *l, struct yaml_item *parent, int depth)
{
	struct yaml_item **tail = &parent->first;
	yaml_event_t event;

	while (next_event(l, &event)) {
		char *key = NULL;
		int key_line = 0;
		if (closes(&event)) {
			yaml_event_delete(&event);
			return;
		}
		if (parent->kind == YAML_MAP) {
			if (!load_key(l, &event, &key, &key_line) || !next_event(l, &event)) {
				free(key);
				return;
			}
			if (!key) {
				skip_node(l, &event);
				continue;
			}
		}
		struct yaml_item *child = load_node(l, &event, depth + 1);
		if (!child) {
			free(key);
			continue;
		}
		child->key = key;
		child->key_line = key_line;
		*tail = child;
		tail = &child->next;
	}
}

/* The node that `event` begins. Consumes `event`. NULL when it was refused, which has then been said. */
static struct yaml_item *
load_node(struct loader *l, yaml_event_t *event, int depth)
{
	int line = event_line(event);

	if (event->type == YAML_SCALAR_EVENT)
		return load_text(l, event);
	if (!opens(event) || depth > MAX_DEPTH) {
		complain(l, (size_t) line,
				 opens(event) ? "nested too deeply" : "aliases (*name) are not supported here");
		skip_node(l, event);
		return NULL;
	}
	struct yaml_item *item =
		new_item(l, event->type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST, line);
	yaml_event_delete(event);
	if (item)
		load_children(l, item, depth);
	return item;
}

/* The top-level mapping: keeps the section, passes over the others. */
static struct yaml_item *
load_top(struct loader *l, const char *section)
{
	struct yaml_item *found = NULL;
	yaml_event_t event;

	while (next_event(l, &event)) {
		char *key;
		int line;
		if (closes(&event)) {
			yaml_event_delete(&event);
			break;
		}
		bool wanted = event.type == YAML_SCALAR_EVENT && event.data.scalar.length == strlen(section) &&
					  memcmp(event.data.scalar.value, section, strlen(section)) == 0;
		line = event_line(&event);
		skip_node(l, &event); /* the key: in the application's sections it may be anything */
		if (!next_event(l, &event))
			break;
		if (!wanted) {
			skip_node(l, &event);
			continue;
		}
		if (found) {
			char what[128];
			snprintf(what, sizeof what, "%s: given twice (first on line %d)", section, found->key_line);
			complain(l, (size_t) line, what);
			skip_node(l, &event);
			continue;
		}
		found = load_node(l, &event, 1);
		if (found) {
			key = strdup(section);
			found->key = key;
			found->key_line = line;
		}
	}
	return found;
}

static struct yaml_item *
load_document(struct loader *l, const char *section)
{
	struct yaml_item *found = NULL;
	yaml_event_t event;
	int documents = 0;

	while (next_event(l, &event)) {
		yaml_event_type_t type = event.type;
		size_t line = (size_t) event_line(&event);
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			give_up(l, line, "more than one YAML document in this file");
		if (type == YAML_MAPPING_START_EVENT) {
			yaml_event_delete(&event);
			found = load_top(l, section);
			continue;
		}
		if (type == YAML_SEQUENCE_START_EVENT ||
			(type == YAML_SCALAR_EVENT && event.data.scalar.length > 0)) {
			complain(l, line, "the top level must be a mapping (name: value)");
			skip_node(l, &event);
			continue;
		}
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			break;
	}
	return found;
}

static char *
read_file(const char *path, size_t *len, struct strbuf *errors)
{
	struct stat st;
	char *text = NULL;
	ssize_t got = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		strbuf_printf(errors, "%s: cannot be read: %s\n", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		strbuf_printf(errors, "%s: is not a regular file\n", path);
	else if (st.st_size > MAX_FILE_BYTES)
		strbuf_printf(errors, "%s: is larger than 1 MiB\n", path);
	else if ((text = malloc((size_t) st.st_size + 1)) == NULL ||
			 (got = read(fd, text, (size_t) st.st_size)) < 0)
		strbuf_printf(errors, "%s: cannot be read: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (got < 0) {
		free(text);
		return NULL;
	}
	*len = (size_t) got;
	return text;
}

struct yaml_item *
yaml_tree_load(const char *path, const char *section, struct strbuf *errors)
{
	struct loader l = {.path = path, .errors = errors};
	struct yaml_item *found;
	size_t len;
	char *text = read_file(path, &len, errors);

	if (!text)
		return NULL;
	if (!yaml_parser_initialize(&l.parser)) {
		strbuf_printf(errors, "%s: out of memory\n", path);
		free(text);
		return NULL;
	}
	yaml_parser_set_input_string(&l.parser, (const unsigned char *) text, len);
	found = load_document(&l, section);
	yaml_parser_delete(&l.parser);
	free(text);
	return found;
}

void
yaml_tree_free(struct yaml_item *item)
{
	while (item) {
		struct yaml_item *next = item->next;
		yaml_tree_free(item->first);
		free(item->text);
		free(item->key);
		free(item);
		item = next;
	}
}
