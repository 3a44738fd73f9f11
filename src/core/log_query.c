/* log_query.c: reads queries by recursive descent, matches messages. See log_query.h for what belongs here. */
#include "core/log_query.h"

#include <string.h>

/* --- reading ---------------------------------------------------------------------------------------------------- */

struct parser {
	struct slice in;
	struct log_query *query;
	enum log_query_result result;
	int depth;
};

static int parse_or(struct parser *p);

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_word_byte(char c)
{
	return log_fold[(unsigned char) c] != 0;
}

static void
skip_spaces(struct parser *p)
{
	while (p->in.p < p->in.end && is_space(*p->in.p))
		p->in.p++;
}

static int
fail(struct parser *p, enum log_query_result result)
{
	if (p->result == QUERY_OK)
		p->result = result;
	return -1;
}

static int
add_node(struct parser *p, enum log_node_kind kind, int left, int right)
{
	struct log_query *q = p->query;

	if (q->n_nodes == LOG_QUERY_MAX_NODES)
		return fail(p, QUERY_TOO_MANY_TERMS);
	q->nodes[q->n_nodes] = (struct log_node){kind, left, right};
	return q->n_nodes++;
}

/* Joins two trees, either of which may be missing. */
static int
join(struct parser *p, enum log_node_kind kind, int left, int right)
{
	if (left < 0 || right < 0)
		return left < 0 ? right : left;
	return add_node(p, kind, left, right);
}

/* Copies bytes into the query; there is room, because no part of the input is copied more than twice. */
static struct slice
keep(struct log_query *q, struct slice s, bool fold, bool unescape)
{
	struct slice kept = {q->text + q->used, NULL};

	for (const char *c = s.p; c < s.end; c++) {
		if (unescape && *c == '\\' && c + 1 < s.end && (c[1] == '"' || c[1] == '\\'))
			c++;
		q->text[q->used++] = fold ? (char) log_fold[(unsigned char) *c] : *c;
	}
	kept.end = q->text + q->used;
	return kept;
}

/* The words of a term as a phrase node; -1 when it has none. */
static int
add_phrase(struct parser *p, struct slice text, bool prefix)
{
	struct log_query *q = p->query;
	int first = q->n_words;
	struct slice word;

	while (log_next_word(&text, &word)) {
		if (q->n_words == LOG_QUERY_MAX_WORDS)
			return fail(p, QUERY_TOO_MANY_TERMS);
		if (q->n_words - first == LOG_PHRASE_MAX_WORDS)
			return fail(p, QUERY_PHRASE_TOO_LONG);
		q->words[q->n_words].text = keep(q, word, true, false);
		q->words[q->n_words++].prefix = false;
	}
	if (q->n_words == first)
		return -1;
	q->words[q->n_words - 1].prefix = prefix;
	return add_node(p, QUERY_PHRASE, first, q->n_words - first);
}

/* Takes text in quotes, without them; in.p stands behind the opening one. A missing end is the end of the query. */
static struct slice
take_quoted(struct parser *p)
{
	struct slice s = {p->in.p, NULL};

	while (p->in.p < p->in.end && *p->in.p != '"')
		p->in.p += *p->in.p == '\\' && p->in.p + 1 < p->in.end ? 2 : 1;
	s.end = p->in.p;
	if (p->in.p < p->in.end)
		p->in.p++;
	return s;
}

/* Takes what reaches to the next blank, quote, or parenthesis that was opened before. */
static struct slice
take_bare(struct parser *p)
{
	struct slice s = {p->in.p, NULL};
	int open = 0;

	for (; p->in.p < p->in.end && !is_space(*p->in.p) && *p->in.p != '"'; p->in.p++) {
		if (*p->in.p == '(')
			open++;
		else if (*p->in.p == ')' && p->depth > 0 && open-- == 0)
			break;
	}
	s.end = p->in.p;
	return s;
}

/* Length of the key that `s` begins with when it has the form key=…, else 0. */
static size_t
key_length(struct slice s)
{
	const char *c = s.p;

	if (c == s.end || !(is_word_byte(*c) || *c == '_' || *c == '@'))
		return 0;
	while (c < s.end && (is_word_byte(*c) || (*c != '\0' && strchr("_.-@", *c) != NULL)))
		c++;
	return c < s.end && *c == '=' ? (size_t) (c - s.p) : 0;
}

static int
parse_field(struct parser *p, struct slice bare, size_t key_len)
{
	struct log_query *q = p->query;
	struct slice value = {bare.p + key_len + 1, bare.end};
	bool quoted = value.p == value.end && p->in.p < p->in.end && *p->in.p == '"';
	bool prefix = false;

	if (q->n_fields == LOG_QUERY_MAX_WORDS)
		return fail(p, QUERY_TOO_MANY_TERMS);
	if (quoted) {
		p->in.p++;
		value = take_quoted(p);
	} else if (value.p < value.end && value.end[-1] == '*') {
		prefix = true;
		value.end--;
	}
	q->fields[q->n_fields].key = keep(q, (struct slice){bare.p, bare.p + key_len}, false, false);
	q->fields[q->n_fields].value = keep(q, value, false, quoted);
	q->fields[q->n_fields].prefix = prefix;
	return add_node(p, QUERY_FIELD, q->n_fields++, 0);
}

static int
parse_bare(struct parser *p)
{
	struct slice bare = take_bare(p);
	size_t key = key_length(bare);
	size_t len = (size_t) (bare.end - bare.p);

	if (key > 0)
		return parse_field(p, bare, key);
	return add_phrase(p, bare, len > 1 && bare.end[-1] == '*' && is_word_byte(bare.end[-2]));
}

static int
parse_group(struct parser *p)
{
	int tree;

	p->depth++;
	p->in.p++;
	tree = parse_or(p);
	if (p->in.p < p->in.end) /* else it was never closed */
		p->in.p++;
	p->depth--;
	return tree;
}

static int
parse_positive(struct parser *p)
{
	if (*p->in.p == '"') {
		p->in.p++;
		return add_phrase(p, take_quoted(p), false);
	}
	if (*p->in.p == '(' && p->depth < LOG_QUERY_MAX_DEPTH)
		return parse_group(p);
	return parse_bare(p);
}

/* Whether an operator in capitals comes next, followed by a blank, a quote or a parenthesis; takes it. */
static bool
take_operator(struct parser *p, const char *name)
{
	size_t len = strlen(name);
	const char *after = p->in.p + len;

	if ((size_t) (p->in.end - p->in.p) < len || memcmp(p->in.p, name, len) != 0 ||
		(after < p->in.end && !is_space(*after) && *after != '"' && *after != '(' && *after != ')'))
		return false;
	p->in.p = after;
	return true;
}

/* -5 and -word negate; - alone and --option are text. */
static bool
take_minus(struct parser *p)
{
	const char *c = p->in.p;

	if (p->in.end - c < 2 || c[0] != '-' || !(is_word_byte(c[1]) || strchr("\"(_@", c[1]) != NULL))
		return false;
	p->in.p++;
	return true;
}

static int
parse_term(struct parser *p)
{
	bool negative = false;
	int tree;

	for (;;) {
		skip_spaces(p);
		if (take_minus(p)) {
			negative = !negative;
			break;
		}
		if (!take_operator(p, "NOT"))
			break;
		negative = !negative;
	}
	if (p->in.p >= p->in.end || *p->in.p == ')')
		return -1;
	tree = parse_positive(p);
	return negative && tree >= 0 ? add_node(p, QUERY_NOT, tree, -1) : tree;
}

static int
parse_and(struct parser *p)
{
	int tree = -1;

	for (;;) {
		skip_spaces(p);
		if (p->in.p >= p->in.end || p->result != QUERY_OK)
			return tree;
		if (*p->in.p == ')') {
			if (p->depth > 0)
				return tree;
			p->in.p++; /* closes nothing */
		} else if (take_operator(p, "OR")) {
			p->in.p -= 2;
			return tree;
		} else if (!take_operator(p, "AND")) {
			tree = join(p, QUERY_AND, tree, parse_term(p));
		}
	}
}

static int
parse_or(struct parser *p)
{
	int tree = parse_and(p);

	while (p->result == QUERY_OK && take_operator(p, "OR"))
		tree = join(p, QUERY_OR, tree, parse_and(p));
	return tree;
}

enum log_query_result
log_query_parse(struct slice text, struct log_query *query)
{
	struct parser p = {text, query, QUERY_OK, 0};

	query->root = -1;
	query->n_nodes = query->n_words = query->n_fields = 0;
	query->used = 0;
	memset(query->first_byte, 0, sizeof query->first_byte);
	if (text.end - text.p > LOG_QUERY_MAX_BYTES)
		return QUERY_TOO_LONG;
	skip_spaces(&p);
	if (p.in.p == p.in.end)
		return QUERY_OK;
	query->root = parse_or(&p);
	if (p.result != QUERY_OK)
		return p.result;
	for (int i = 0; i < query->n_words; i++)
		query->first_byte[(unsigned char) *query->words[i].text.p] = true;
	return query->root < 0 ? QUERY_NO_WORDS : QUERY_OK;
}

/* --- matching --------------------------------------------------------------------------------------------------- */

/*
 * How much of each phrase ends at the current word: bit i says that its first i + 1 words do ("shift-and"). Valid only if `at` is the
 * word before the current one.
 */
struct progress {
	uint64_t state;
	uint32_t at;
	bool found;
};

static bool
word_matches(const struct log_query_word *wanted, struct slice word)
{
	size_t want = (size_t) (wanted->text.end - wanted->text.p), len = (size_t) (word.end - word.p);

	if (len < want || (len > want && !wanted->prefix))
		return false;
	for (size_t i = 0; i < want; i++)
		if ((char) log_fold[(unsigned char) word.p[i]] != wanted->text.p[i])
			return false;
	return true;
}

/* One more word of the message, number `at`; true when it completed the phrase. */
static bool
advance(const struct log_query *q, const struct log_node *phrase, struct progress *progress,
		struct slice word, uint32_t at)
{
	uint64_t now = 0, open = progress->at + 1 == at ? progress->state << 1 | 1 : 1;

	for (int i = 0; i < phrase->right; i++)
		if ((open >> i & 1) != 0 && word_matches(&q->words[phrase->left + i], word))
			now |= UINT64_C(1) << i;
	progress->state = now;
	progress->at = at;
	progress->found = (now >> (phrase->right - 1) & 1) != 0;
	return progress->found;
}

static bool
evaluate(const struct log_query *q, int number, const struct progress *progress, log_field_match field,
		 void *arg)
{
	const struct log_node *node = &q->nodes[number];

	switch (node->kind) {
	case QUERY_AND:
		return evaluate(q, node->left, progress, field, arg) &&
			   evaluate(q, node->right, progress, field, arg);
	case QUERY_OR:
		return evaluate(q, node->left, progress, field, arg) ||
			   evaluate(q, node->right, progress, field, arg);
	case QUERY_NOT:
		return !evaluate(q, node->left, progress, field, arg);
	case QUERY_PHRASE:
		return progress[number].found;
	case QUERY_FIELD:
		break;
	}
	return field(arg, node->left);
}

bool
log_query_match(const struct log_query *q, struct slice message, log_field_match field, void *arg)
{
	struct progress progress[LOG_QUERY_MAX_NODES];
	int phrases[LOG_QUERY_MAX_NODES], n_phrases = 0;
	struct slice word;

	if (q->root < 0)
		return true;
	for (int i = 0; i < q->n_nodes; i++)
		if (q->nodes[i].kind == QUERY_PHRASE) {
			progress[i] = (struct progress){0};
			phrases[n_phrases++] = i;
		}
	if (message.end - message.p > LOG_TEXT_MAX)
		message.end = message.p + LOG_TEXT_MAX;
	for (uint32_t at = 1; n_phrases > 0 && log_next_word(&message, &word); at++) {
		if (!q->first_byte[log_fold[(unsigned char) *word.p]])
			continue;
		for (int i = 0; i < n_phrases; i++)
			if (advance(q, &q->nodes[phrases[i]], &progress[phrases[i]], word, at))
				phrases[i--] = phrases[--n_phrases];
	}
	return evaluate(q, q->root, progress, field, arg);
}
