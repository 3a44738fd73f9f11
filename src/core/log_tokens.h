/*
 * log_tokens.h: what a word of a log message is.
 *
 * Belongs here: splitting text into words, folding case, the sorted set of words of a message (what is indexed).
 * Does not belong here: queries (log_query.h), tsvector (ext/log_vector.c).
 * NEUTRAL, pure.
 *
 * A word is a run of ASCII letters, ASCII digits and bytes from 0x80 on (any letter of any other script, in UTF-8). Everything else
 * separates: blanks, '/', '-', '.', '_', '=', ':'. So WORD is found in /api/v1/WORD/1, in a.WORD.b and in WORD_x. ASCII is
 * compared in lower case, other bytes as they are.
 */
#ifndef OBSERV_CORE_LOG_TOKENS_H
#define OBSERV_CORE_LOG_TOKENS_H

#include "core/slice.h"

/* Bytes of a word that count; what is longer is cut at the start of a character, and equals whatever begins with the same bytes. */
#define LOG_WORD_MAX 128

/* Bytes of a message that are searched; a tsvector holds 1 MiB of words. */
#define LOG_TEXT_MAX ((1 << 20) - 4096)

/* Lower case of a word character, 0 for a separator. */
extern const unsigned char log_fold[256];

/* Takes the next word off `text`, at most LOG_WORD_MAX bytes of it, as written; false when there is none. */
bool log_next_word(struct slice *text, struct slice *word);

/* The first LOG_WORD_MAX bytes, cut at the start of a character. */
struct slice log_cut(struct slice text);

/* A word in lower case. The first 8 bytes once more as a big-endian number, zero-padded: compares as the bytes do. */
struct log_lexeme {
	uint64_t head;
	const char *p;
	uint32_t len;
};

/* A lexeme of bytes that stay where they are. */
struct log_lexeme log_lexeme_of(const char *p, size_t len);

/* The most words that `len` bytes can hold. */
#define LOG_MAX_WORDS(len) ((len) / 2 + 1)

/*
 * The set of words of a text, sorted by bytes, each once. Writes lower-case bytes to `folded` (as many as the text has) and up to
 * LOG_MAX_WORDS() lexemes to `out`; returns how many.
 */
size_t log_lexemes(struct slice text, char *folded, struct log_lexeme *out);

#endif
