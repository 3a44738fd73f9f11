/* Writing JSON. See json_write.h. */
#include "postgres.h"

#include "ext/json_write.h"

#include <math.h>

#include "utils/json.h"

static void
separate(JsonWriter *w)
{
	if (w->comma)
		appendStringInfoChar(w->out, ',');
	w->comma = true;
}

void
observ_json_open(JsonWriter *w, char brace)
{
	separate(w);
	appendStringInfoChar(w->out, brace);
	w->comma = false;
}

void
observ_json_close(JsonWriter *w, char brace)
{
	appendStringInfoChar(w->out, brace);
	w->comma = true;
}

void
observ_json_key(JsonWriter *w, const char *key)
{
	separate(w);
	escape_json(w->out, key);
	appendStringInfoChar(w->out, ':');
	w->comma = false;
}

JsonPlace
observ_json_place(const JsonWriter *w)
{
	return (JsonPlace){w->out->len, w->comma};
}

void
observ_json_back(JsonWriter *w, JsonPlace place)
{
	w->out->data[w->out->len = place.length] = '\0';
	w->comma = place.comma;
}

void
observ_json_text(JsonWriter *w, const char *text)
{
	separate(w);
	if (text == NULL)
		appendStringInfoString(w->out, "null");
	else
		escape_json(w->out, text);
}

void
observ_json_integer(JsonWriter *w, int64 number)
{
	separate(w);
	appendStringInfo(w->out, INT64_FORMAT, number);
}

void
observ_json_number(JsonWriter *w, double number)
{
	separate(w);
	if (isfinite(number))
		appendStringInfo(w->out, "%.15g", number);
	else
		appendStringInfoString(w->out, "null");
}

void
observ_json_boolean(JsonWriter *w, bool value)
{
	separate(w);
	appendStringInfoString(w->out, value ? "true" : "false");
}

void
observ_json_jsonb(JsonWriter *w, Jsonb *value)
{
	separate(w);
	if (value == NULL)
		appendStringInfoString(w->out, "{}");
	else
		JsonbToCString(w->out, &value->root, VARSIZE(value));
}

void
observ_json_pair(JsonWriter *w, const char *key, const char *text)
{
	if (text == NULL)
		return;
	observ_json_key(w, key);
	observ_json_text(w, text);
}
