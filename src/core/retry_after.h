/*
 * retry_after.h: the header Retry-After, RFC 9110 section 10.2.3, and the dates of HTTP, section 5.6.7.
 *
 * Belongs here: reading them. Does not belong here: what is done about it. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_RETRY_AFTER_H
#define OBSERV_CORE_RETRY_AFTER_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_AFTER_MAX_MS 900000 /* 15 minutes: whoever asks for more gets that */

/*
 * Milliseconds to wait, 0 to RETRY_AFTER_MAX_MS; -1 when the text says nothing that can be understood (NULL too). Seconds may have a fraction,
 * as Discord's do. now_s: when the answer was made, seconds since 1970, best by the clock of whoever made it (its header Date). A date in
 * the past is 0.
 */
int64_t retry_after_ms(const char *text, int64_t now_s);

/*
 * "Sun, 06 Nov 1994 08:49:37 GMT", and the two obsolete forms "Sunday, 06-Nov-94 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994". False for
 * anything else. A year of two digits is the one that is not more than 50 years after now_s.
 */
bool http_date(const char *text, int64_t now_s, int64_t *out_s);

#endif
