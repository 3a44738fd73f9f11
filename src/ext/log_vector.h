/* What of a log entry is indexed: words of the message, its level, its application. */
#ifndef OBSERV_EXT_LOG_VECTOR_H
#define OBSERV_EXT_LOG_VECTOR_H

#include "core/log_tokens.h"

/*
 * Level and application are lexemes of the same vector, told from words by a first byte that no word has; so a rare level, alone or beside
 * words, is looked up and not searched for. The application is cut to LOG_WORD_MAX bytes; whoever looks it up compares again.
 */
#define OBSERV_LOG_LEVEL_MARK '\x01'
#define OBSERV_LOG_APP_MARK   '\x02'
#define OBSERV_LOG_MARKED_MAX (LOG_WORD_MAX + 1)

/* Writes the lexeme of a level (case does not matter) or application to `out`, OBSERV_LOG_MARKED_MAX bytes; returns its length. */
extern size_t observ_log_marked(char mark, struct slice value, char *out);

/* The bytes of a message that are searched, detoasted no further than needed. */
extern struct slice observ_log_text(Datum message);

#endif
