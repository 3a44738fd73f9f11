/*
 * yaml_tree.h: one section of a YAML file as a small tree with line numbers.
 *
 * Belongs here: libyaml, and limits on size, depth and number of nodes. Does not belong here: what a key means (config.c).
 * Sections that are not asked for are checked for syntax and otherwise passed over without being kept: they belong to
 * the application. Aliases are never expanded, so there is nothing to blow up.
 */
#ifndef OBSERV_COLLECTOR_YAML_TREE_H
#define OBSERV_COLLECTOR_YAML_TREE_H

#include <stdbool.h>

#include "common/strbuf.h"

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_item {
	enum yaml_kind kind;
	bool plain; /* text without quotes: may be a number, a boolean or null */
	int line;   /* from 1 */
	char *text; /* of YAML_TEXT */
	char *key;  /* of an item inside a YAML_MAP */
	int key_line;
	struct yaml_item *first; /* of YAML_LIST and YAML_MAP */
	struct yaml_item *next;
};

/*
 * Reads `path` and returns the value of the top-level key `section`; NULL when there is none. Everything that is wrong
 * is appended to `errors`, one line each ("FILE:LINE: what"); a file with errors may still yield a tree.
 */
struct yaml_item *yaml_tree_load(const char *path, const char *section, struct strbuf *errors);

void yaml_tree_free(struct yaml_item *item);

#endif
