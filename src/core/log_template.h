/*
 * log_template.h: what messages of one kind have in common: the message with its variable parts masked.
 *
 * Belongs here: which parts vary, and the fingerprint. Does not belong here: counting (ext/log_templates.c).
 * NEUTRAL, pure.
 *
 * Variable, and written as <*>: words with a digit in them (numbers, durations, sizes, addresses, hexadecimal, ids in paths), words of 8 or more
 * hexadecimal letters, words of more than 40 bytes, UUIDs, MAC and IPv6 addresses, text in quotes (but for the message itself:
 * msg="…", message=, err=, error=). Variable parts joined by one of . : - / , _ + @ are one. Blanks become single spaces. Only
 * the first line counts: what follows it is a stack trace.
 */
#ifndef OBSERV_CORE_LOG_TEMPLATE_H
#define OBSERV_CORE_LOG_TEMPLATE_H

#include "core/slice.h"

/* Bytes of a template; a longer one is cut at the start of a character. */
#define LOG_TEMPLATE_MAX 400

/* Bytes of a message that are looked at. */
#define LOG_TEMPLATE_INPUT_MAX 4096

/* Writes the template of a message, terminated, to `out` (LOG_TEMPLATE_MAX + 1 bytes); returns its length. */
size_t log_template(struct slice message, char *out);

/* 64-bit fingerprint of a list of texts without zero bytes, the same everywhere. */
uint64_t log_fingerprint(const struct slice *texts, size_t n);

#endif
