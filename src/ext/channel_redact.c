/*
 * Taking the secrets of a channel out of texts that people will see. What does not belong here: which fields are secret (channel_config.c).
 *
 * Whoever answers may repeat what it was sent in another form, or a part of it: percent-encoded, as JSON, the path of an address, the token behind
 * "Bearer", in base64 a login. Each of these is looked for. It must be done before a text is cut: the beginning of a secret is not found.
 */
#include "postgres.h"

#include "common/base64.h"
#include "ext/channel_config_read.h"
#include "ext/channel_kind.h"
#include "utils/json.h"

/* Parts of a secret that are shorter are words that texts are made of, say "services". */
#define PART_MIN 12

/* The same of base64: 36 bits. */
#define BASE64_MIN 6

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

/*
 * As a part of something in base64, "user:password" of Basic or AUTH PLAIN: of its characters those that are made of it alone, for each of the three
 * places within three bytes where it may begin.
 */
static void
add_base64(List **forms, const char *secret)
{
	static const int first[] = {0, 2, 3};
	int len = (int) strlen(secret);

	for (int before = 0; before < (int) lengthof(first); before++) {
		int size = before + len, room = pg_b64_enc_len(size), last = size * 8 / 6;
		char *bytes = palloc0(size + 1), *encoded = palloc(room + 1);

		memcpy(bytes + before, secret, len);
		if (pg_b64_encode(bytes, size, encoded, room) >= last && last - first[before] >= BASE64_MIN)
			add_form(forms, pnstrdup(encoded + first[before], last - first[before]));
	}
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
	if (authority == NULL) {
		add_base64(forms, secret);
		add_parts(forms, secret, " ");
	} else {
		size_t n;
		const char *at, *colon;

		authority += strlen("://");
		n = strcspn(authority, "/?#");
		at = memchr(authority, '@', n);
		colon = at == NULL ? NULL : memchr(authority, ':', (size_t) (at - authority));
		if (colon != NULL) {
			const char *password = pnstrdup(colon + 1, (size_t) (at - colon - 1));

			add_text(forms, password);
			add_base64(forms, password);
		}
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

/* How much of a text is a secret that it begins with; 0: it does not. What it ends within counts, too: it was cut there. */
static size_t
secret_at(const List *forms, const char *text, size_t left)
{
	ListCell *cell;

	foreach (cell, forms) {
		const char *form = lfirst(cell);
		size_t n;

		if (*form != *text)
			continue;
		n = strlen(form);
		if (n > left && left >= PART_MIN)
			n = left;
		if (n <= left && memcmp(form, text, n) == 0)
			return n;
	}
	return 0;
}

char *
observ_redact(const ChannelConfig *config, const char *text)
{
	List *forms = NIL;
	ListCell *cell;
	StringInfoData out;
	const char *end = text + strlen(text);

	foreach (cell, observ_config_secrets(config))
		add_secret(&forms, lfirst(cell));
	list_sort(forms, longest_first);
	initStringInfo(&out);
	while (text < end) {
		size_t n = secret_at(forms, text, (size_t) (end - text));

		if (n > 0)
			appendStringInfoString(&out, "***");
		else
			appendStringInfoChar(&out, *text);
		text += n > 0 ? n : 1;
	}
	return out.data;
}
