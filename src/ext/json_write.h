/*
 * Writes JSON into a StringInfo, piece by piece: commas by itself, texts escaped. What does not belong here: what is written, reading.
 * Whoever uses it keeps braces in pairs. Texts are in the encoding of the database, control characters are escaped (RFC 8259).
 */
#ifndef OBSERV_EXT_JSON_WRITE_H
#define OBSERV_EXT_JSON_WRITE_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct JsonWriter {
	StringInfo out;
	bool comma; /* before whatever comes next */
} JsonWriter;

extern void observ_json_open(JsonWriter *w, char brace);  /* { or [ */
extern void observ_json_close(JsonWriter *w, char brace); /* } or ] */
extern void observ_json_key(JsonWriter *w, const char *key);

/* Where the writer is, and back to there: what was written since is gone. For pieces of which it shows later that there is no room. */
typedef struct JsonPlace {
	int length;
	bool comma;
} JsonPlace;
extern JsonPlace observ_json_place(const JsonWriter *w);
extern void observ_json_back(JsonWriter *w, JsonPlace place);

/* Values; a text that is NULL is null, a number that is not finite too. */
extern void observ_json_text(JsonWriter *w, const char *text);
extern void observ_json_integer(JsonWriter *w, int64 number);
extern void observ_json_number(JsonWriter *w, double number);
extern void observ_json_boolean(JsonWriter *w, bool value);
extern void observ_json_jsonb(JsonWriter *w, Jsonb *value); /* NULL: {} */

/* Key and text in one, the most common case; nothing is written when the text is NULL. */
extern void observ_json_pair(JsonWriter *w, const char *key, const char *text);

#endif
