/*
 * mail_text.h: the pieces that a mail is written of (RFC 5322, 2045, 2047): whatever text comes in, what goes out is ASCII, in lines that are
 * short enough, and no text can begin a header or a part of its own.
 *
 * Belongs here: how a text is spelled in a header or a body, checking addresses. Does not belong here: which headers and parts a mail has, what
 * it says, SMTP (dots are not doubled here).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_MAIL_TEXT_H
#define OBSERV_CORE_MAIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

/* Where what is written goes, piece by piece. */
struct mail_writer {
	void (*put)(void *arg, const char *bytes, size_t len);
	void *arg;
};

/* What people write for an address: `ann@example.org`, `Ann B <ann@example.org>`, `"B, Ann" <ann@example.org>`. Points into the text. */
struct mail_mailbox {
	struct slice name;    /* without quotes; empty: none */
	struct slice address; /* ASCII, as SMTP takes it */
	struct slice domain;  /* of the address */
};

/*
 * NULL, or what is wrong with it, as a phrase. Addresses are dot-atoms at a domain or at an address in brackets, at most 254 bytes; quoted local
 * parts and SMTPUTF8 are not taken.
 */
const char *mail_mailbox_parse(struct slice text, struct mail_mailbox *out);

/* Whether it is a host name as EHLO takes it: labels of letters, digits and hyphens; or an address in brackets. */
bool mail_is_domain(struct slice text);

/*
 * "Name: text" CR LF, in lines of at most 78. Line ends and other control characters become blanks, blanks in a row one; what is not UTF-8 becomes
 * '?'. What ASCII can't say, or what would be read as something else, is written in encoded words.
 */
void mail_put_header(const struct mail_writer *w, const char *name, struct slice text);

/* "Name: mailbox, mailbox" CR LF, a line for each. They must have been parsed by mail_mailbox_parse(). */
void mail_put_mailboxes(const struct mail_writer *w, const char *name, const struct mail_mailbox *mailboxes,
						int n);

/* "Name: <key@domain>" CR LF: what in key no message id takes becomes '_', at most 128 bytes of it. */
void mail_put_id(const struct mail_writer *w, const char *name, struct slice key, struct slice domain);

/* "Date: Sat, 21 Nov 2026 21:53:46 +0000" CR LF. Seconds since 1970; years 1900 to 9999. */
void mail_put_date(const struct mail_writer *w, int64_t unix_s);

/*
 * A text as quoted-printable, lines ending in CR LF, the last one too. Line ends of all sorts are line ends, other control characters blanks, what is
 * not UTF-8 is '?'. No line begins with a dot or "From ", so that whatever carries the mail leaves it alone; "=_" is in no line: fit for boundaries.
 */
void mail_put_quoted_printable(const struct mail_writer *w, struct slice text);

#endif
