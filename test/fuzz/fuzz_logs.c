/* fuzz_logs.c: any bytes for words, queries and templates of log messages. Belongs here: what must always hold. Does not: examples (test/unit). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/log_level.h"
#include "core/log_query.h"
#include "core/log_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct log_query query, single;

static void
must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static bool
odd_field(void *arg, int number)
{
	(void) arg;
	return number % 2 == 1;
}

/* Lexemes are sorted and unique, and each of them, searched for, is found: an index entry and the comparison agree. */
static void
check_words(struct slice message)
{
	size_t len = (size_t) (message.end - message.p), n;
	char *folded = malloc(len + 1);
	struct log_lexeme *lexemes = malloc(LOG_MAX_WORDS(len) * sizeof *lexemes);

	must(folded != NULL && lexemes != NULL);
	n = log_lexemes(message, folded, lexemes);
	must(n <= LOG_MAX_WORDS(len));
	for (size_t i = 0; i < n; i++) {
		struct slice word = {lexemes[i].p, lexemes[i].p + lexemes[i].len};

		must(lexemes[i].len > 0 && lexemes[i].len <= LOG_WORD_MAX);
		if (i > 0) {
			size_t before = lexemes[i - 1].len, shorter = before < lexemes[i].len ? before : lexemes[i].len;
			int order = memcmp(lexemes[i - 1].p, word.p, shorter);

			must(order < 0 || (order == 0 && before < lexemes[i].len));
		}
		if (i < 8) {
			char quoted[LOG_WORD_MAX + 2];
			size_t end = lexemes[i].len + 1;

			quoted[0] = quoted[end] = '"';
			memcpy(quoted + 1, word.p, lexemes[i].len);
			must(log_query_parse((struct slice){quoted, quoted + end + 1}, &single) == QUERY_OK);
			must(log_query_match(&single, message, odd_field, NULL));
		}
	}
	free(lexemes);
	free(folded);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = {(const char *) data, (const char *) data + size};
	struct slice first = {all.p, all.p + size / 3}, rest = {all.p + size / 3, all.end};
	char template[LOG_TEMPLATE_MAX + 1], again[LOG_TEMPLATE_MAX + 1];

	check_words(all);
	if (log_query_parse(first, &query) == QUERY_OK) {
		must(query.root < query.n_nodes && query.used <= sizeof query.text);
		(void) log_query_match(&query, rest, odd_field, NULL);
	}
	must(log_template(all, template) <= LOG_TEMPLATE_MAX && log_template(all, again) <= LOG_TEMPLATE_MAX);
	must(strcmp(template, again) == 0);
	must(!slice_is_printable(all) || slice_is_printable(slice_of(template)));
	(void) log_level_rank(all);
	return 0;
}
