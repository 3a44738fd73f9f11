/* Secrets of channels. See channel_secrets.h. */
#include "postgres.h"

#include "ext/channel_secrets.h"

#include "catalog/pg_type.h"
#include "ext/channel_config_read.h"
#include "ext/channel_kind.h"
#include "ext/secrets.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"

/* "channel/<channel>/": names of channels may hold anything. */
static char *
prefix_of(const char *channel)
{
	StringInfoData prefix;

	initStringInfo(&prefix);
	appendStringInfoString(&prefix, "channel/");
	for (; *channel != '\0'; channel++)
		if (*channel == '/' || *channel == '%')
			appendStringInfo(&prefix, "%%%02X", (unsigned char) *channel);
		else
			appendStringInfoChar(&prefix, *channel);
	appendStringInfoChar(&prefix, '/');
	return prefix.data;
}

typedef struct Keeping {
	const char *prefix, *old_prefix; /* old_prefix: NULL, when it is called as before */
	const ChannelField *field;
	JsonbParseState *state;
} Keeping;

static void
push_text(Keeping *k, JsonbIteratorToken token, const char *text)
{
	JsonbValue v = {.type = jbvString,
					.val.string = {.val = unconstify(char *, text), .len = (int) strlen(text)}};

	pushJsonbValue(&k->state, token, &v);
}

/* What stands in the configuration for a text of it. `part`: of a list or an object; NULL. */
static const char *
kept(const Keeping *k, const char *text, const char *part)
{
	const char *name = observ_secret_reference(text), *own;
	size_t n = k->old_prefix != NULL ? strlen(k->old_prefix) : 0;

	if (name != NULL && n > 0 && strncmp(name, k->old_prefix, n) == 0) {
		own = psprintf("%s%s", k->prefix, name + n);
		observ_store_secret(own, observ_read_secret(name));
	} else if (name == NULL && observ_text_is_secret(k->field, text)) {
		own = psprintf("%s%s%s%s", k->prefix, k->field->name, part != NULL ? "/" : "",
					   part != NULL ? part : "");
		observ_store_secret(own, text);
	} else
		return text;
	return psprintf(OBSERV_SECRET_PREFIX "%s", own);
}

static void
push_list(Keeping *k, List *items)
{
	ListCell *cell;

	pushJsonbValue(&k->state, WJB_BEGIN_ARRAY, NULL);
	foreach (cell, items)
		push_text(k, WJB_ELEM, kept(k, lfirst(cell), psprintf("%d", foreach_current_index(cell) + 1)));
	pushJsonbValue(&k->state, WJB_END_ARRAY, NULL);
}

static void
push_map(Keeping *k, List *pairs)
{
	pushJsonbValue(&k->state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i + 1 < list_length(pairs); i += 2) {
		push_text(k, WJB_KEY, list_nth(pairs, i));
		push_text(k, WJB_VALUE, kept(k, list_nth(pairs, i + 1), list_nth(pairs, i)));
	}
	pushJsonbValue(&k->state, WJB_END_OBJECT, NULL);
}

Jsonb *
observ_keep_secrets(const ChannelKind *kind, const char *channel, const char *old_name, Jsonb *json)
{
	ChannelConfig *config = observ_channel_config(kind, json, false);
	Keeping k = {.prefix = prefix_of(channel), .old_prefix = old_name != NULL ? prefix_of(old_name) : NULL};
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue v;

	pushJsonbValue(&k.state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY) {
			k.field = observ_channel_field(kind, pnstrdup(v.val.string.val, v.val.string.len));
			pushJsonbValue(&k.state, WJB_KEY, &v);
		} else if (token != WJB_VALUE)
			continue;
		else if (v.type == jbvNull || k.field->type == FIELD_INTEGER || k.field->type == FIELD_BOOLEAN)
			pushJsonbValue(&k.state, WJB_VALUE, &v);
		else if (k.field->type == FIELD_LIST)
			push_list(&k, observ_config_list(config, k.field->name));
		else if (k.field->type == FIELD_MAP)
			push_map(&k, observ_config_map(config, k.field->name));
		else
			push_text(&k, WJB_VALUE, kept(&k, observ_config_text(config, k.field->name), NULL));
	}
	return JsonbValueToJsonb(pushJsonbValue(&k.state, WJB_END_OBJECT, NULL));
}

void
observ_sweep_secrets(const char *channel, Jsonb *config)
{
	observ_spi(SPI_OK_DELETE,
			   "DELETE FROM observ_data.secrets s WHERE starts_with(s.name, 'channel/') AND "
			   "(starts_with(s.name, $1) "
			   "OR strpos($2::text, to_jsonb('" OBSERV_SECRET_PREFIX
			   "' || s.name)::text) > 0) AND NOT EXISTS "
			   "(SELECT FROM observ.notification_channels c "
			   "WHERE strpos(c.config::text, to_jsonb('" OBSERV_SECRET_PREFIX "' || s.name)::text) > 0)",
			   2, (Oid[]){TEXTOID, JSONBOID},
			   (Datum[]){CStringGetTextDatum(prefix_of(channel)), JsonbPGetDatum(config)}, NULL);
}

void
observ_touch_channels(const char *secret)
{
	observ_spi(SPI_OK_UPDATE,
			   "UPDATE observ.notification_channels SET config = config "
			   "WHERE strpos(config::text, to_jsonb('" OBSERV_SECRET_PREFIX "' || $1)::text) > 0",
			   1, (Oid[]){TEXTOID}, (Datum[]){CStringGetTextDatum(secret)}, NULL);
}
