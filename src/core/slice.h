/*
 * slice.h: walking over text that is not ours: a pointer and an end, never a terminating zero.
 *
 * Belongs here: splitting into lines and words, reading numbers, making bytes printable.
 * Does not belong here: the meaning of any file.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_SLICE_H
#define OBSERV_CORE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *p;
	const char *end;
};

/* A slice over the bytes of a terminated string. */
struct slice slice_of(const char *s);

/*
 * Takes the next line (without its newline) off `in`; false when `in` is used up. A last line without newline
 * counts. `line` must be another variable than `in`.
 */
bool slice_line(struct slice *in, struct slice *line);

/* Takes the next word (separated by blanks and tabs) off `in`; false when there is none. */
bool slice_word(struct slice *in, struct slice *word);

/* Skips `n` words; false when there are fewer. */
bool slice_skip_words(struct slice *in, int n);

/* Order of the bytes, as of strcmp(): below 0, 0, above 0. Inline: keys of rollups are compared a million times a second. */
static inline int
slice_compare(struct slice a, struct slice b)
{
	size_t a_len = (size_t) (a.end - a.p), b_len = (size_t) (b.end - b.p);
	size_t common = a_len < b_len ? a_len : b_len;
	int order = common == 0 ? 0 : memcmp(a.p, b.p, common);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

bool slice_equals(struct slice s, const char *text);
bool slice_starts(struct slice s, const char *prefix);

/* Decimal digits only (no sign); saturates at INT64_MAX. False, `*out` untouched, for anything else. */
bool slice_to_i64(struct slice s, int64_t *out);

/* The next word of `in` as a number. */
bool slice_next_i64(struct slice *in, int64_t *out);

/* Digits with an optional fraction ("0.53"). */
bool slice_to_double(struct slice s, double *out);

/*
 * A number as programs write it: sign, digits, fraction, exponent; also Inf, Infinity and NaN, in any case. Beyond what a
 * double holds it is an infinity. False, `*out` untouched, for anything else.
 */
bool slice_to_float(struct slice s, double *out);

/* Copies at most size-1 bytes and terminates. False when it did not fit or holds a zero byte (`dst` is then empty). */
bool slice_copy(struct slice s, char *dst, size_t size);

/*
 * Copies `s` to `dst` as valid UTF-8 without control characters, cut at a character boundary: bytes that are not UTF-8
 * and control characters become '?'. What PostgreSQL's text and a terminal accept.
 */
void slice_printable(struct slice s, char *dst, size_t size);

/* Length of the UTF-8 character at `p` (p < end; no surrogates, nothing above U+10FFFF; control characters are some); 0: there is none. */
size_t slice_utf8_length(const char *p, const char *end);

/* Whether the bytes are valid UTF-8 (no surrogates, nothing above U+10FFFF) without control characters. */
bool slice_is_printable(struct slice s);

#endif
