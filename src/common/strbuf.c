/* strbuf.c: A growing string. See strbuf.h for what belongs here. */
#include "common/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and a terminator. */
static bool
reserve(struct strbuf *b, size_t more)
{
	size_t need = b->len + more + 1;

	if (b->failed)
		return false;
	if (need <= b->size)
		return true;
	size_t size = b->size ? b->size : 256;
	while (size < need)
		size *= 2;
	char *data = realloc(b->data, size);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->size = size;
	return true;
}

void
strbuf_add(struct strbuf *b, const char *bytes, size_t len)
{
	if (!reserve(b, len))
		return;
	memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

bool
strbuf_extend(struct strbuf *b, size_t len)
{
	if (!reserve(b, len))
		return false;
	b->len += len;
	b->data[b->len] = '\0';
	return true;
}

void
strbuf_puts(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void
strbuf_putc(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void
strbuf_printf(struct strbuf *b, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0 || !reserve(b, (size_t) len))
		return;
	va_start(args, format);
	vsnprintf(b->data + b->len, (size_t) len + 1, format, args);
	va_end(args);
	b->len += (size_t) len;
}

void
strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void
strbuf_free(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf) STRBUF_INIT;
}

void
strbuf_json_string(struct strbuf *b, const char *s)
{
	strbuf_putc(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char) *s;
		if (c == '"' || c == '\\') {
			strbuf_putc(b, '\\');
			strbuf_putc(b, (char) c);
		} else if (c < 0x20)
			strbuf_printf(b, "\\u%04x", c);
		else
			strbuf_putc(b, (char) c);
	}
	strbuf_putc(b, '"');
}
