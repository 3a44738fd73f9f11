/*
 * The HTML part of a mail: what mail programs of all sorts show, light or dark. What does not belong here: the text part, headers, parts
 * (channel_email.c).
 */
#ifndef OBSERV_EXT_EMAIL_HTML_H
#define OBSERV_EXT_EMAIL_HTML_H

#include "ext/message.h"

/* A whole document, under 100 kB (Gmail clips what is longer), with a count of the alerts that are left out; palloc'd. */
extern char *observ_email_html(const Message *message);

#endif
