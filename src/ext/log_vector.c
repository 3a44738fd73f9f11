/*
 * observ_data._log_vector(): the expression of the GIN index of observ.log_entries. What does not belong here: what a word is
 * (core/log_tokens.h), searching (log_search.c).
 *
 * The vector is built directly, without a text search parser or dictionaries (to_tsvector() takes ten times as long), and without positions:
 * GIN does not store them, and whoever finds a row compares the message itself.
 */
#include "postgres.h"

#include "ext/log_vector.h"

#include "ext/compat.h"
#include "fmgr.h"
#include "tsearch/ts_type.h"

OBSERV_SQL_FUNCTION(observ_log_vector);

/* Messages up to this length need no memory of their own. */
#define SHORT_MESSAGE 1024

size_t
observ_log_marked(char mark, struct slice value, char *out)
{
	size_t len;

	value = log_cut(value);
	len = (size_t) (value.end - value.p);
	out[0] = mark;
	memcpy(out + 1, value.p, len);
	if (mark == OBSERV_LOG_LEVEL_MARK)
		for (size_t i = 1; i <= len; i++)
			out[i] = (char) pg_ascii_tolower((unsigned char) out[i]);
	return len + 1;
}

struct slice
observ_log_text(Datum message)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(message);

	if (VARATT_IS_COMPRESSED(value) || VARATT_IS_EXTERNAL(value))
		value = PG_DETOAST_DATUM_SLICE(value, 0, LOG_TEXT_MAX);
	return (struct slice){VARDATA_ANY(value),
						  (char *) VARDATA_ANY(value) + Min(VARSIZE_ANY_EXHDR(value), LOG_TEXT_MAX)};
}

static TSVector
pack(const struct log_lexeme *lexemes, size_t n)
{
	size_t bytes = 0, size;
	TSVector vector;
	char *at;

	for (size_t i = 0; i < n; i++)
		bytes += lexemes[i].len;
	size = CALCDATASIZE(n, bytes);
	vector = palloc(size);
	SET_VARSIZE(vector, size);
	vector->size = (int32) n;
	at = STRPTR(vector);
	for (size_t i = 0; i < n; i++) {
		WordEntry *entry = &ARRPTR(vector)[i];

		entry->haspos = 0;
		entry->len = lexemes[i].len;
		entry->pos = (uint32) (at - STRPTR(vector));
		memcpy(at, lexemes[i].p, lexemes[i].len);
		at += lexemes[i].len;
	}
	return vector;
}

/*
 * observ_data._log_vector(message, level, app_name) → tsvector. Marked lexemes sort before all words, as tsvector wants it.
 */
Datum
observ_log_vector(PG_FUNCTION_ARGS)
{
	struct slice message = observ_log_text(PG_GETARG_DATUM(0));
	size_t len = (size_t) (message.end - message.p);
	char short_text[SHORT_MESSAGE], level[OBSERV_LOG_MARKED_MAX], app[OBSERV_LOG_MARKED_MAX];
	struct log_lexeme short_lexemes[LOG_MAX_WORDS(SHORT_MESSAGE) + 2];
	char *text = len <= SHORT_MESSAGE ? short_text : palloc(len);
	struct log_lexeme *lexemes =
		len <= SHORT_MESSAGE ? short_lexemes : palloc((LOG_MAX_WORDS(len) + 2) * sizeof *lexemes);

	lexemes[0] = log_lexeme_of(
		level, observ_log_marked(OBSERV_LOG_LEVEL_MARK, observ_log_text(PG_GETARG_DATUM(1)), level));
	lexemes[1] =
		log_lexeme_of(app, observ_log_marked(OBSERV_LOG_APP_MARK, observ_log_text(PG_GETARG_DATUM(2)), app));
	PG_RETURN_TSVECTOR(pack(lexemes, log_lexemes(message, text, lexemes + 2) + 2));
}
