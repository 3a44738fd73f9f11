/*
 * config_reader.h: how a mapping of YAML becomes a struct, by a table of descriptors.
 *
 * Belongs here: types of values, tables of keys, how errors are said.
 * Does not belong here: the keys there are (config.c), values with rules of their own (config_values.h).
 */
#ifndef OBSERV_COLLECTOR_CONFIG_READER_H
#define OBSERV_COLLECTOR_CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "collector/yaml_tree.h"
#include "common/strbuf.h"

struct config_reading {
	const char *path;
	const char *app_name; /* NULL: {app} stays */
	struct strbuf *errors;
	int error_count;
};

struct config_key;

/* A type of values. `at` is the field of the struct; a function may be NULL where there is nothing to do. */
struct config_type {
	void (*set_default)(const struct config_key *key, void *at);
	/* Says what is wrong with the value, or stores it. `where` is the name of the mapping that the value is in. */
	void (*read)(struct config_reading *r, const struct yaml_item *item, const char *where,
				 const struct config_key *key, void *at);
	void (*release)(const struct config_key *key, void *at);
};

/* What a string is checked for and what is replaced in it. */
enum config_text {
	TEXT_EXPAND_APP = 1, /* {app} */
	TEXT_EXPAND_ENV = 2, /* ${NAME} */
	TEXT_ONE_LINE = 4,   /* no control characters */
	TEXT_ABSOLUTE = 8    /* begins with a slash */
};

struct config_items;

struct config_key {
	const char *name;
	const struct config_type *type;
	size_t offset;
	/* Those that the type looks at. */
	long min, max;
	const char *unit; /* of an integer, as in "a whole number of seconds"; NULL: none */
	long number;      /* default of an integer or boolean */
	const char *text; /* default of a string; NULL: none */
	unsigned flags;   /* enum config_text */
	/* A string must be one of these; ends with NULL. */
	const char *const *words;
	/* Says why a string is none of those that the key takes; NULL: it is fine. */
	const char *(*refuse)(const char *text);
	const struct config_items *items; /* of a list of structs */
	const struct config_key
		*keys;     /* of a mapping that is part of the struct: offsets are those of the same struct */
	unsigned only; /* for an owner with several kinds: bits of the kinds that have this key; 0: all */
};

/* A list whose items are structs. */
struct config_items {
	const struct config_key *keys; /* the first is the one that an item which is a string stands for */
	size_t size;
	size_t count_offset; /* of an int in the struct that holds the list, counted from the list's own field */
	bool map_only;       /* an item can't be a string */
	const char *list_must, *item_must;
	/* Looks at an item as a whole, after its keys were read without an error. */
	void (*finish)(struct config_reading *r, const struct yaml_item *item, const char *where, void *element);
};

extern const struct config_type config_bool;      /* bool */
extern const struct config_type config_integer;   /* int */
extern const struct config_type config_string;    /* char * */
extern const struct config_type config_text_list; /* struct text_list, items are checked like strings */
extern const struct config_type config_items;     /* pointer to an array, see struct config_items */
extern const struct config_type config_map;

/* "FILE:LINE: WHERE.KEY: what"; `key` NULL: "FILE:LINE: WHERE: what". */
void config_complain(struct config_reading *r, int line, const char *where, const char *key,
					 const char *what);

/* A key without value. */
bool config_is_null(const struct yaml_item *item);
bool config_is_integer(const struct yaml_item *item, long *out);
/* Quoted, or plain and nothing else (not a number, not a boolean). */
bool config_is_string(const struct yaml_item *item);
/* The item of a mapping; NULL when there is none or it has no value. */
const struct yaml_item *config_find(const struct yaml_item *map, const char *key);
int config_count(const struct yaml_item *list);

/* The string as it is to be used (malloc'd), flags applied; NULL when something is wrong with it (said). */
char *config_expand(struct config_reading *r, const struct yaml_item *item, const char *where,
					unsigned flags);

/* Tables end with a key without name. */
void config_set_defaults(const struct config_key *keys, void *base);
void config_read_map(struct config_reading *r, const struct yaml_item *map, const char *where,
					 const struct config_key *keys, void *base);
void config_release(const struct config_key *keys, void *base);

#endif
