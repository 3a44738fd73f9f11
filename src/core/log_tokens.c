/* log_tokens.c: words of log messages. See log_tokens.h for what belongs here. */
#include "core/log_tokens.h"

#include <stdlib.h>
#include <string.h>

/* More words than this are sorted by qsort(). */
#define INSERTION_SORT_MAX 40

/* clang-format off */
const unsigned char log_fold[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0, 0, 0, 0, 0, 0,
	0, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
	0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0, 0, 0, 0, 0,
	0, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
	0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0, 0, 0, 0, 0,
	0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
	0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f,
	0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
	0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf,
	0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf,
	0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
	0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef,
	0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
};
/* clang-format on */

static bool
starts_character(char c)
{
	return ((unsigned char) c & 0xc0) != 0x80;
}

struct slice
log_cut(struct slice text)
{
	if (text.end - text.p > LOG_WORD_MAX) {
		const char *end = text.p + LOG_WORD_MAX;

		/* A character has at most four bytes; what goes on for longer is no UTF-8, and is cut anywhere. */
		for (int i = 0; i < 4 && !starts_character(*end); i++)
			end--;
		text.end = starts_character(*end) ? end : text.p + LOG_WORD_MAX;
	}
	return text;
}

bool
log_next_word(struct slice *text, struct slice *word)
{
	const unsigned char *p = (const unsigned char *) text->p, *end = (const unsigned char *) text->end;

	while (p < end && log_fold[*p] == 0)
		p++;
	word->p = (const char *) p;
	while (p < end && log_fold[*p] != 0)
		p++;
	word->end = text->p = (const char *) p;
	*word = log_cut(*word);
	return word->p < word->end;
}

struct log_lexeme
log_lexeme_of(const char *p, size_t len)
{
	struct log_lexeme lexeme = {0, p, (uint32_t) len};

	for (size_t i = 0; i < 8; i++)
		lexeme.head = lexeme.head << 8 | (i < len ? (unsigned char) p[i] : 0);
	return lexeme;
}

/* Words hold no zero byte, so words of up to 8 bytes are equal when their heads are. */
static int
compare(const void *left, const void *right)
{
	const struct log_lexeme *a = left, *b = right;

	if (a->head != b->head)
		return a->head < b->head ? -1 : 1;
	if (a->len > 8 && b->len > 8) {
		int order = memcmp(a->p + 8, b->p + 8, (a->len < b->len ? a->len : b->len) - 8);

		if (order != 0)
			return order;
	}
	return a->len < b->len ? -1 : a->len > b->len;
}

static size_t
insert_sorted(struct log_lexeme *out, size_t n, struct log_lexeme lexeme)
{
	size_t at = n;

	while (at > 0) {
		int order = compare(&out[at - 1], &lexeme);

		if (order == 0)
			return n;
		if (order < 0)
			break;
		at--;
	}
	memmove(&out[at + 1], &out[at], (n - at) * sizeof *out);
	out[at] = lexeme;
	return n + 1;
}

static size_t
sort_unique(struct log_lexeme *out, size_t n)
{
	size_t kept = 1;

	qsort(out, n, sizeof *out, compare);
	for (size_t i = 1; i < n; i++)
		if (compare(&out[kept - 1], &out[i]) != 0)
			out[kept++] = out[i];
	return kept;
}

size_t
log_lexemes(struct slice text, char *folded, struct log_lexeme *out)
{
	struct slice word;
	size_t n = 0;
	bool few = true;

	while (log_next_word(&text, &word)) {
		size_t len = (size_t) (word.end - word.p);
		struct log_lexeme lexeme;

		for (size_t i = 0; i < len; i++)
			folded[i] = (char) log_fold[(unsigned char) word.p[i]];
		lexeme = log_lexeme_of(folded, len);
		folded += len;
		if (few && n < INSERTION_SORT_MAX) {
			n = insert_sorted(out, n, lexeme);
		} else {
			few = false;
			out[n++] = lexeme;
		}
	}
	return few ? n : sort_unique(out, n);
}
