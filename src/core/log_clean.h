/*
 * log_clean.h: text that PostgreSQL and a terminal accept, out of any bytes.
 *
 * Belongs here: UTF-8, control characters, terminal escapes; the growing buffers that hold the result.
 * Does not belong here: JSON's own escapes (log_json.h).
 * NEUTRAL, pure: memory comes from the caller's function.
 */
#ifndef OBSERV_CORE_LOG_CLEAN_H
#define OBSERV_CORE_LOG_CLEAN_H

#include "core/slice.h"

/* As realloc(); size 0 frees and returns NULL. NULL otherwise: there is no more, `p` stays. */
struct log_memory {
	void *(*resize)(void *arg, void *p, size_t size);
	void *arg;
};

/* Bytes that grow. Zeroed: empty. */
struct log_buffer {
	char *p;
	size_t used, size;
};

/* Makes room for `more` bytes behind those used; false: no memory, nothing is changed. */
bool log_buffer_reserve(struct log_buffer *b, const struct log_memory *m, size_t more);
/* Appends; false: no memory, nothing is changed. */
bool log_buffer_add(struct log_buffer *b, const struct log_memory *m, struct slice text);
/* Forgets the bytes; gives memory above `keep` back. */
void log_buffer_reset(struct log_buffer *b, const struct log_memory *m, size_t keep);

/*
 * Bytes at the beginning that are clean: valid UTF-8 (Unicode 15, table 3-7), no control characters but tab, and newline where
 * `newlines`. `s` is clean when it is all of them.
 */
size_t log_clean_length(struct slice s, bool newlines);

/* At most this many bytes come out of `n`. */
#define LOG_CLEANED_MAX(n) (3 * (n))

/*
 * Writes `s` clean to `out` (LOG_CLEANED_MAX bytes; not `s` itself), returns how many bytes. Terminal escapes (ECMA-48: ESC [ … m
 * and the like, titles) are left out, a carriage return becomes a newline (one with the newline after it), other control characters and
 * bytes that are no UTF-8 become U+FFFD; `*replaced` grows by their number.
 */
size_t log_clean(struct slice s, char *out, int64_t *replaced);

#endif
