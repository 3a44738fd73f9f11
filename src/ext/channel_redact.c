/*
 * Taking the secrets of a channel out of texts that people will see. What does not belong here: which fields are secret (channel_config.c).
 *
 * Whoever answers may repeat what it was sent in another form, or a part of it: percent-encoded, as JSON, the path of an address, the token behind
 * "Bearer". Each of these is looked for.
 */
#include "postgres.h"

#include "ext/channel_config_read.h"
#include "ext/channel_kind.h"
#include "utils/json.h"

/* Parts of a secret that are shorter are words that texts are made of, say "services". */
#define PART_MIN 12

static void
add_form(List **forms, const char *form)
{
	ListCell *cell;

	if (form[0] == '\0')
		return;
	foreach (cell, *forms)
		if (strcmp(lfirst(cell), form) == 0)
			return;
	*forms = lappend(*forms, unconstify(char *, form));
}

/* A text as it is and as it is written inside others. */
static void
add_text(List **forms, const char *text)
{
	StringInfoData encoded, json;

	add_form(forms, text);
	initStringInfo(&encoded);
	observ_put_urlencoded(&encoded, text);
	add_form(forms, pstrdup(encoded.data));
	for (char *c = encoded.data; *c != '\0'; c++)
		if (*c == '%') {
			c[1] = pg_tolower((unsigned char) c[1]);
			c[2] = pg_tolower((unsigned char) c[2]);
			c += 2;
		}
	add_form(forms, encoded.data);
	initStringInfo(&json);
	escape_json(&json, text);
	add_form(forms, pnstrdup(json.data + 1, json.len - 2));
}

/* Words between separators that are long enough to be a token. */
static void
add_parts(List **forms, const char *text, const char *separators)
{
	while (*text != '\0') {
		size_t n = strcspn(text, separators);

		if (n >= PART_MIN)
			add_text(forms, pnstrdup(text, n));
		text += n;
		text += strspn(text, separators);
	}
}

static void
add_secret(List **forms, const char *secret)
{
	const char *authority = strstr(secret, "://");

	add_text(forms, secret);
	if (authority == NULL)
		add_parts(forms, secret, " ");
	else {
		size_t n;
		const char *at, *colon;

		authority += strlen("://");
		n = strcspn(authority, "/?#");
		at = memchr(authority, '@', n);
		colon = at == NULL ? NULL : memchr(authority, ':', (size_t) (at - authority));
		if (colon != NULL)
			add_text(forms, pnstrdup(colon + 1, (size_t) (at - colon - 1)));
		if (strlen(authority + n) > 1)
			add_text(forms, authority + n);
		add_parts(forms, authority + n, "/?&=#");
	}
}

static int
longest_first(const ListCell *a, const ListCell *b)
{
	size_t x = strlen(lfirst(a)), y = strlen(lfirst(b));

	return x > y ? -1 : x < y;
}

char *
observ_redact(const ChannelConfig *config, const char *text)
{
	List *forms = NIL;
	ListCell *cell;
	StringInfoData out;

	foreach (cell, observ_config_secrets(config))
		add_secret(&forms, lfirst(cell));
	list_sort(forms, longest_first);
	initStringInfo(&out);
	while (*text != '\0') {
		size_t n = 0;

		foreach (cell, forms) {
			n = strlen(lfirst(cell));
			if (strncmp(text, lfirst(cell), n) == 0)
				break;
			n = 0;
		}
		if (n > 0)
			appendStringInfoString(&out, "***");
		else
			appendStringInfoChar(&out, *text);
		text += n > 0 ? n : 1;
	}
	return out.data;
}
