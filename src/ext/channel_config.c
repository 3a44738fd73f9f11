/*
 * Reading what a channel is configured with. See channel_config.h. What does not belong here: taking secrets out of it (channel_secrets.c).
 *
 * Values of fields that hold secrets are in no error: what is wrong is said in words there.
 */
#include "postgres.h"

#include "ext/channel_config.h"

#include "common/string.h"
#include "core/nearest.h"
#include "commands/dbcommands.h"
#include "ext/channel_config_read.h"
#include "ext/channel_kind.h"
#include "ext/secrets.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Longer texts are slips of the hand. */
#define TEXT_MAX  4096
#define SHOWN_MAX 200

typedef struct ConfigValue {
	const ChannelField *field;
	const char *text; /* FIELD_TEXT, FIELD_URL, FIELD_CHOICE; NULL: none */
	int64 integer;
	bool boolean;
	bool given; /* in the configuration, not by default */
	List *list; /* FIELD_LIST, FIELD_MAP: of char * */
} ConfigValue;

struct ChannelConfig {
	const ChannelKind *kind;
	bool follow;
	ConfigValue *values;
	int n;
	List *secrets; /* of char *: texts that nobody must see */
};

const ChannelField observ_common_fields[] = {
	{.name = "timeout",
	 .type = FIELD_INTEGER,
	 .fallback = "10",
	 .min = 1,
	 .max = 60,
	 .help = "seconds that a request may take in all"},
	{.name = "proxy",
	 .type = FIELD_TEXT,
	 .help = "http://, https:// or socks5h:// address of a proxy, or none; else observ.http_proxy"},
	{.name = "ca_file",
	 .type = FIELD_TEXT,
	 .help = "file on the server with the certificates to trust; else observ.ca_file"},
	{.name = "tls_verify",
	 .type = FIELD_BOOLEAN,
	 .fallback = "true",
	 .help = "false: any certificate will do. Whoever is in between can read and change everything then"},
	{.name = "allow_link_local",
	 .type = FIELD_BOOLEAN,
	 .help = "whether addresses like 169.254.169.254 may be talked to; else observ.allow_link_local"},
	{NULL}};

/* In the order of enum ChannelFieldType. */
static const char *const type_names[] = {"text", "integer", "boolean", "URL", "list", "object", "choice"};
static const char *const expected[] = {
	"a text",
	"a whole number",
	"true or false",
	"an address that begins with http:// or https://",
	"an array of texts, or one text with commas",
	"an object of texts",
	"one of its choices",
};

const char *
observ_field_type_name(enum ChannelFieldType type)
{
	return type_names[type];
}

/* ---- errors */

typedef struct Reading {
	ChannelConfig *config;
	const ChannelField *field;
	const char *given; /* how errors show it; NULL: they don't */
} Reading;

static pg_attribute_noreturn() void refuse(const Reading *r, const char *what, const char *hint)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("field \"%s\" of a channel of kind \"%s\" %s", r->field->name, r->config->kind->name, what),
		 r->given != NULL ? errdetail("Given: %s.", r->given)
						  : errdetail("Its value is not shown: it may hold a secret."),
		 hint != NULL ? errhint("%s", hint)
					  : errhint("%s is %s: %s.", r->field->name, expected[r->field->type],
								r->field->help != NULL ? r->field->help : "see docs/channels.md")));
}

static void
list_fields(StringInfo out, const ChannelField *fields)
{
	for (; fields->name != NULL; fields++)
		appendStringInfo(out, "%s%s", out->len > 0 ? ", " : "", fields->name);
}

static pg_attribute_noreturn() void unknown_field(const ChannelKind *kind, const char *name)
{
	struct nearest nearest;
	StringInfoData known;

	initStringInfo(&known);
	nearest_begin(&nearest, name, 0);
	for (const ChannelField *f = kind->fields; f->name != NULL; f++)
		nearest_consider(&nearest, f->name);
	for (const ChannelField *f = observ_common_fields; f->name != NULL; f++)
		nearest_consider(&nearest, f->name);
	list_fields(&known, kind->fields);
	list_fields(&known, observ_common_fields);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown field \"%s\" of a channel of kind \"%s\"", name, kind->name),
					errdetail("It has: %s.", known.data),
					nearest.name != NULL
						? errhint("Perhaps \"%s\" is meant.", nearest.name)
						: errhint("SELECT * FROM observ.channel_fields WHERE kind = %s explains them.",
								  quote_literal_cstr(kind->name))));
}

/* A text as errors show it. */
static char *
shown(const char *text)
{
	int length = (int) strlen(text), fits = pg_mbcliplen(text, length, SHOWN_MAX);

	return psprintf("\"%.*s%s\"", fits, text, fits < length ? "…" : "");
}

/* ---- fields */

/* A field of the kind, else a common one. NULL: there is none of that name. */
static ConfigValue *
find(const ChannelConfig *config, const char *name)
{
	for (int i = 0; i < config->n; i++)
		if (strcmp(config->values[i].field->name, name) == 0)
			return &config->values[i];
	return NULL;
}

const ChannelField *
observ_channel_field(const ChannelKind *kind, const char *name)
{
	for (const ChannelField *f = kind->fields; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	for (const ChannelField *f = observ_common_fields; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

bool
observ_text_is_secret(const ChannelField *field, const char *text)
{
	const char *authority = strstr(text, "://");

	if (field->secret)
		return true;
	/* user:password@ of an address */
	if (authority == NULL)
		return false;
	authority += strlen("://");
	return memchr(authority, '@', strcspn(authority, "/?#")) != NULL;
}

const char *
observ_secret_reference(const char *text)
{
	size_t length = strlen(OBSERV_SECRET_PREFIX);

	return strncmp(text, OBSERV_SECRET_PREFIX, length) == 0 ? text + length : NULL;
}

/* ---- values */

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			return true;
	return false;
}

/* Scheme, host, port. What is behind the host may be anything that is one word. */
static void
check_url(const Reading *r, const char *url)
{
	const char *host = pg_strncasecmp(url, "http://", 7) == 0    ? url + 7
					   : pg_strncasecmp(url, "https://", 8) == 0 ? url + 8
																 : NULL;
	size_t length;
	const char *at, *port;

	if (host == NULL)
		refuse(r, "must begin with http:// or https://", NULL);
	if (strpbrk(url, " \"<>\\^`{|}") != NULL)
		refuse(r, "holds a character that no URL has", "Write it as %XX.");
	length = strcspn(host, "/?#");
	/* libcurl would make ASCII of it, digits of digits: after the guard has looked for an address (core/address_guard.h). */
	if (!pg_is_ascii(pnstrdup(host, length)))
		refuse(r, "has a host that is not ASCII", "Write it as xn--….");
	at = memchr(host, '@', length);
	if (at != NULL) {
		length -= (size_t) (at + 1 - host);
		host = at + 1;
	}
	port = memchr(host, host[0] == '[' ? ']' : ':', length);
	if (host[0] == '[' && port != NULL)
		port++;
	if (length == 0 || port == host || (host[0] == '[' && (port == NULL || port == host + 2)))
		refuse(r, "has no host", NULL);
	if (port != NULL && *port == ':') {
		size_t digits = strspn(port + 1, "0123456789");
		long number = strtol(port + 1, NULL, 10);

		if (digits == 0 || digits > 5 || port + 1 + digits != host + length || number < 1 || number > 65535)
			refuse(r, "has a port that is no number from 1 to 65535", NULL);
	}
}

static void
check_choice(const Reading *r, const char *text)
{
	const char *choices = r->field->choices;
	size_t length = strlen(text);

	while (*choices != '\0') {
		size_t n = strcspn(choices, ",");

		if (n == length && strncmp(choices, text, n) == 0)
			return;
		choices += n;
		choices += strspn(choices, ", ");
	}
	refuse(r, "has a value that it can't have", psprintf("It is one of: %s.", r->field->choices));
}

/* What is to be sent for a text of the configuration: checked, references followed. */
static const char *
take_text(Reading *r, const char *text, enum ChannelFieldType type)
{
	const char *name = observ_secret_reference(text);

	r->given = name != NULL || !observ_text_is_secret(r->field, text) ? shown(text) : NULL;
	if (text[0] == '\0')
		refuse(r, "is empty", "Leave it out, or give it a value.");
	if (name != NULL && name[0] == '\0')
		refuse(r, "refers to a secret without a name",
			   "Write secret:NAME, and SELECT observ.set_secret('NAME', …).");
	if (name != NULL && !r->config->follow)
		return text;
	if (name != NULL) {
		text = observ_read_secret(name);
		r->given = psprintf("secret:%s", name);
	}
	if (name != NULL || observ_text_is_secret(r->field, text))
		r->config->secrets = lappend(r->config->secrets, unconstify(char *, text));
	if (text[0] == '\0')
		refuse(r, "is empty", "Leave it out, or give it a value.");
	if (strlen(text) > TEXT_MAX)
		refuse(r, "is too long", psprintf("At most %d bytes.", TEXT_MAX));
	if (has_control(text))
		refuse(r, "holds a control character", "It must be one line; look for a line end at the end of it.");
	if (type == FIELD_URL)
		check_url(r, text);
	if (type == FIELD_CHOICE)
		check_choice(r, text);
	return text;
}

/* "a, b,,c" */
static List *
split(Reading *r, const char *text)
{
	List *items = NIL;

	while (*text != '\0') {
		size_t n, end;

		text += strspn(text, ", \t");
		n = end = strcspn(text, ",");
		while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\t'))
			end--;
		if (end > 0)
			items = lappend(items, unconstify(char *, take_text(r, pnstrdup(text, end), FIELD_TEXT)));
		text += n;
	}
	return items;
}

static void
take_integer(Reading *r, ConfigValue *value, const char *text)
{
	const ChannelField *f = r->field;
	char *end;

	errno = 0;
	value->integer = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		refuse(r, "must be a whole number", NULL);
	if ((f->min != 0 || f->max != 0) && (value->integer < f->min || value->integer > f->max))
		refuse(r, "is out of range", psprintf("From " INT64_FORMAT " to " INT64_FORMAT ".", f->min, f->max));
}

/* A value that is one text, as it is in JSON or is the default of the field. */
static void
take_scalar(Reading *r, ConfigValue *value, const char *text)
{
	if (r->field->type == FIELD_INTEGER)
		take_integer(r, value, text);
	else if (r->field->type == FIELD_BOOLEAN) {
		if (!parse_bool(text, &value->boolean))
			refuse(r, "must be true or false", NULL);
	} else if (r->field->type == FIELD_LIST) {
		value->list = split(r, text);
		if (value->list == NIL)
			refuse(r, "is empty", "Leave it out, or give it a value.");
	} else
		value->text = take_text(r, text, r->field->type);
}

/* A scalar of JSON as text. NULL: it is none that this field takes. */
static char *
scalar_text(const ChannelField *field, const JsonbValue *v)
{
	if (v->type == jbvString)
		return pnstrdup(v->val.string.val, v->val.string.len);
	if (v->type == jbvNumeric && field->type != FIELD_BOOLEAN && field->type != FIELD_URL)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
	if (v->type == jbvBool && field->type == FIELD_BOOLEAN)
		return pstrdup(v->val.boolean ? "true" : "false");
	return NULL;
}

static const char *
json_type(const JsonbValue *v)
{
	switch (v->type) {
	case jbvNull:
		return "null";
	case jbvString:
		return "a text";
	case jbvNumeric:
		return "a number";
	case jbvBool:
		return "true or false";
	default:
		return v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data) ? "an array" : "an object";
	}
}

static bool
is_header_name(const char *name)
{
	/* token of RFC 9110 */
	return name[0] != '\0' && strlen(name) <= 256 &&
		   name[strspn(name,
					   "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] ==
			   '\0';
}

/* An array or an object: its elements become texts, of an object with their names before them. */
static void
take_container(Reading *r, ConfigValue *value, JsonbContainer *container)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		char *text;

		if (token == WJB_KEY) {
			char *name = pnstrdup(v.val.string.val, v.val.string.len);

			r->given = shown(name);
			if (!is_header_name(name))
				refuse(r, "has a name in it that can't be one", "Letters, digits and -._ make a name.");
			value->list = lappend(value->list, name);
		}
		if (token != WJB_VALUE && token != WJB_ELEM)
			continue;
		text = scalar_text(r->field, &v);
		r->given = psprintf("%s in it", json_type(&v));
		if (text == NULL)
			refuse(r, psprintf("must be %s", expected[r->field->type]), NULL);
		value->list = lappend(value->list, unconstify(char *, take_text(r, text, FIELD_TEXT)));
	}
	if (value->list == NIL) {
		r->given = r->field->type == FIELD_MAP ? "{}" : "[]";
		refuse(r, "is empty", "Leave it out, or give it a value.");
	}
}

static void
take(Reading *r, ConfigValue *value, const JsonbValue *v)
{
	bool container = v->type == jbvBinary;
	char *text = container ? NULL : scalar_text(r->field, v);

	if (container && (JsonContainerIsArray(v->val.binary.data) ? r->field->type == FIELD_LIST
															   : r->field->type == FIELD_MAP)) {
		take_container(r, value, v->val.binary.data);
		return;
	}
	r->given = json_type(v);
	if (text == NULL || r->field->type == FIELD_MAP)
		refuse(r, psprintf("must be %s", expected[r->field->type]), NULL);
	r->given = observ_text_is_secret(r->field, text) ? NULL : shown(text);
	take_scalar(r, value, text);
}

/* ---- a configuration */

static void
add_fields(ChannelConfig *config, const ChannelField *fields)
{
	for (; fields->name != NULL; fields++)
		if (find(config, fields->name) == NULL)
			config->values[config->n++].field = fields;
}

static int
count_fields(const ChannelField *fields)
{
	int n = 0;

	while (fields[n].name != NULL)
		n++;
	return n;
}

/* Those that are not in the configuration. */
static void
take_default(ChannelConfig *config, ConfigValue *value)
{
	Reading r = {.config = config, .field = value->field, .given = value->field->fallback};

	if (value->field->fallback != NULL)
		take_scalar(&r, value, value->field->fallback);
	else if (value->field->required)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("missing field \"%s\" of a channel of kind \"%s\"", value->field->name,
							   config->kind->name),
						errdetail("It is %s: %s.", expected[value->field->type],
								  value->field->help != NULL ? value->field->help : "see docs/channels.md"),
						errhint("SELECT * FROM observ.channel_fields WHERE kind = %s shows all of them.",
								quote_literal_cstr(config->kind->name))));
}

static void
check_common(ChannelConfig *config)
{
	const char *proxy = observ_config_text(config, "proxy"), *ca_file = observ_config_text(config, "ca_file");
	Reading r = {.config = config};

	if (proxy != NULL && observ_secret_reference(proxy) == NULL && strcmp(proxy, "none") != 0 &&
		pg_strncasecmp(proxy, "http://", 7) != 0 && pg_strncasecmp(proxy, "https://", 8) != 0 &&
		pg_strncasecmp(proxy, "socks5h://", 10) != 0) {
		r.field = find(config, "proxy")->field;
		r.given = observ_text_is_secret(r.field, proxy) ? NULL : shown(proxy);
		refuse(&r, "is no address of a proxy", "For instance http://proxy:3128, or none.");
	}
	if (ca_file != NULL && observ_secret_reference(ca_file) == NULL && !is_absolute_path(ca_file)) {
		r.field = find(config, "ca_file")->field;
		r.given = shown(ca_file);
		refuse(&r, "must be an absolute path", "For instance /etc/ssl/certs/our-ca.pem.");
	}
}

/* JSON, forms and mails are UTF-8 (RFC 8259 8.1), and so is how services count; signatures and keys are made of it. */
static void
require_utf8(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("channels need a database whose encoding is UTF8"),
						errdetail("The encoding of database \"%s\" is %s.", get_database_name(MyDatabaseId),
								  GetDatabaseEncodingName()),
						errhint("createdb --encoding=UTF8 --template=template0 makes one; a dump can be "
								"restored into it.")));
}

ChannelConfig *
observ_channel_config(const ChannelKind *kind, Jsonb *json, bool follow)
{
	ChannelConfig *config = palloc0(sizeof *config);
	JsonbIterator *it;
	JsonbIteratorToken token;
	ConfigValue *value = NULL;
	JsonbValue v;

	require_utf8();
	config->kind = kind;
	config->follow = follow;
	config->values =
		palloc0((count_fields(kind->fields) + count_fields(observ_common_fields)) * sizeof *config->values);
	add_fields(config, kind->fields);
	add_fields(config, observ_common_fields);
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("config of a channel must be a JSON object"),
						errhint("SELECT * FROM observ.channel_fields WHERE kind = %s shows what is in it.",
								quote_literal_cstr(kind->name))));
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY) {
			char *name = pnstrdup(v.val.string.val, v.val.string.len);

			value = find(config, name);
			if (value == NULL)
				unknown_field(kind, name);
		} else if (token == WJB_VALUE && v.type != jbvNull) {
			Reading r = {.config = config, .field = value->field};

			value->given = true;
			take(&r, value, &v);
		}
	}
	for (int i = 0; i < config->n; i++)
		if (!config->values[i].given)
			take_default(config, &config->values[i]);
	check_common(config);
	if (follow && kind->check != NULL)
		kind->check(config);
	return config;
}

/* ---- reading it */

static const ConfigValue *
value_of(const ChannelConfig *config, const char *field)
{
	const ConfigValue *value = find(config, field);

	if (value == NULL)
		elog(ERROR, "kind \"%s\" has no field \"%s\"", config->kind->name, field);
	return value;
}

const char *
observ_config_text(const ChannelConfig *config, const char *field)
{
	return value_of(config, field)->text;
}

int64
observ_config_integer(const ChannelConfig *config, const char *field)
{
	return value_of(config, field)->integer;
}

bool
observ_config_boolean(const ChannelConfig *config, const char *field)
{
	return value_of(config, field)->boolean;
}

bool
observ_config_given(const ChannelConfig *config, const char *field)
{
	return value_of(config, field)->given;
}

List *
observ_config_list(const ChannelConfig *config, const char *field)
{
	return value_of(config, field)->list;
}

List *
observ_config_map(const ChannelConfig *config, const char *field)
{
	return value_of(config, field)->list;
}

List *
observ_config_secrets(const ChannelConfig *config)
{
	return config->secrets;
}
