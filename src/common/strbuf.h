/*
 * strbuf.h: a growing string. NEUTRAL: needs nothing but libc.
 *
 * When memory runs out the buffer keeps what it has, ignores further appends and says so in `failed`: check once, at the end.
 */
#ifndef OBSERV_COMMON_STRBUF_H
#define OBSERV_COMMON_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *data; /* terminated; NULL before the first append */
	size_t len;
	size_t size;
	bool failed;
};

#define STRBUF_INIT                                                                                          \
	{                                                                                                        \
		NULL, 0, 0, false                                                                                    \
	}

void strbuf_add(struct strbuf *b, const char *bytes, size_t len);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_putc(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes it longer by that many bytes, whose values the caller sets. False when memory runs out. */
bool strbuf_extend(struct strbuf *b, size_t len);

/* Empties the buffer but keeps its memory. */
void strbuf_reset(struct strbuf *b);
void strbuf_free(struct strbuf *b);

/* Appends a JSON string with its quotes. `s` must be UTF-8. */
void strbuf_json_string(struct strbuf *b, const char *s);

#endif
