/*
 * sms_text.h: texts that telephones show and that cost few segments (3GPP 23.038: the GSM 7 bit default alphabet and its extension table).
 *
 * Belongs here: which characters cost what, what stands in for those that are dear. Does not belong here: what is said, who sends it.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_SMS_TEXT_H
#define OBSERV_CORE_SMS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/slice.h"

/*
 * Writes a text for telephones to `out`, which has room for as many bytes as it has; not terminated. Emoji and what is invisible go, quotes, dashes
 * and Latin letters with accents that the alphabet does not have become plain ones; control characters but line ends become blanks, blanks in a row
 * one. Letters of other scripts stay. Returns the length.
 */
size_t sms_plain(struct slice text, char *out);

/*
 * How long a text is: in units of 7 bits when all of it is in the alphabet (`*gsm` true; the extension table counts double), else in those of
 * UTF-16.
 */
size_t sms_units(struct slice text, bool *gsm);

/*
 * How many units surely fit into that many segments: 160 or 70 into one; 153 or 67 into each of several, less one for each seam, where a character of
 * two units must not be broken.
 */
size_t sms_room(int segments, bool gsm);

/* The longest beginning of a text, in whole characters, that has at most `units`, of the sort that sms_units() says the text has. */
size_t sms_cut(struct slice text, size_t units);

#endif
