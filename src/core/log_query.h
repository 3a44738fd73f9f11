/*
 * log_query.h: the language of observ.search_logs(): from text to a tree, and whether a message matches it.
 *
 * Belongs here: syntax, limits, matching words and phrases. Does not belong here: context values (the caller compares them), indexes.
 * NEUTRAL, pure. docs/logs.md describes the language to users.
 *
 *   word  a.dotted/path  "a phrase"  word*  key=value  key="two words"  key=val*  key=*  -not  OR  ( )
 *
 * Terms side by side must all match; OR binds weaker. A term that holds several words (a.b/c) is a phrase: its words must follow each other,
 * whatever separates them. What can't be read as syntax is read as text, so pasted log lines do no harm.
 */
#ifndef OBSERV_CORE_LOG_QUERY_H
#define OBSERV_CORE_LOG_QUERY_H

#include "core/log_tokens.h"

#define LOG_QUERY_MAX_BYTES  8192
#define LOG_QUERY_MAX_WORDS  256
#define LOG_QUERY_MAX_NODES  512
#define LOG_QUERY_MAX_DEPTH  32
#define LOG_PHRASE_MAX_WORDS 64

enum log_node_kind { QUERY_AND, QUERY_OR, QUERY_NOT, QUERY_PHRASE, QUERY_FIELD };

struct log_node {
	enum log_node_kind kind;
	int left;  /* AND, OR, NOT: index of a node. PHRASE: its first word. FIELD: index of the field */
	int right; /* AND, OR: index of a node. PHRASE: how many words */
};

struct log_query_word {
	struct slice text; /* lower case, at most LOG_WORD_MAX bytes */
	bool prefix;       /* matches every word that begins so */
};

/* key=value, as it is to be compared with the context. */
struct log_query_field {
	struct slice key;   /* segments separated by dots */
	struct slice value; /* exact, in the writer's case */
	bool prefix;        /* any value that begins so; with an empty value: any at all */
};

struct log_query {
	int root; /* index of a node, -1: everything matches */
	int n_nodes, n_words, n_fields;
	struct log_node nodes[LOG_QUERY_MAX_NODES];
	struct log_query_word words[LOG_QUERY_MAX_WORDS];
	struct log_query_field fields[LOG_QUERY_MAX_WORDS];
	bool first_byte[256]; /* some word begins with it */
	size_t used;
	char text[2 * LOG_QUERY_MAX_BYTES]; /* what the slices above point into */
};

enum log_query_result {
	QUERY_OK,
	QUERY_TOO_LONG,        /* more than LOG_QUERY_MAX_BYTES */
	QUERY_TOO_MANY_TERMS,  /* more words or nodes than fit */
	QUERY_PHRASE_TOO_LONG, /* more than LOG_PHRASE_MAX_WORDS */
	QUERY_NO_WORDS         /* there is text, but nothing in it that could be searched for */
};

/* Reads `text`. Blank text is a query that everything matches. `query` must not be moved afterwards. */
enum log_query_result log_query_parse(struct slice text, struct log_query *query);

/* Whether the context has a value that matches field `number`. */
typedef bool (*log_field_match)(void *arg, int number);

/* Whether a message matches; looks at the first LOG_TEXT_MAX bytes of it. */
bool log_query_match(const struct log_query *query, struct slice message, log_field_match field, void *arg);

#endif
