/*
 * observ.create_channels_from_env(): channels out of SMTP_HOST, WEBHOOK_URL and their like, from the environment of the server or from a file.
 * What does not belong here: how such a file is read (core/env_file.h), what channels may be (channel_config.c).
 *
 * No value is in an error: any of them may be a secret in the wrong place.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "core/env_file.h"
#include "ext/channel_create.h"
#include "ext/compat.h"
#include "ext/json_write.h"
#include "ext/secrets.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"

OBSERV_SQL_FUNCTION(observ_create_channels_from_env);

#define FILE_MAX 65536

/* What may be set, and the field of kind email that it is. */
enum Variable {
	SMTP_HOST,
	SMTP_PORT,
	SMTP_USER,
	SMTP_PASSWORD,
	SMTP_FROM,
	SMTP_TO,
	SMTP_TLS,
	WEBHOOK_URL,
	VARIABLES
};

static const struct {
	const char *name, *field;
} variables[] = {
	{"SMTP_HOST", "host"}, {"SMTP_PORT", "port"}, {"SMTP_USER", "user"}, {"SMTP_PASSWORD", "password"},
	{"SMTP_FROM", "from"}, {"SMTP_TO", "to"},     {"SMTP_TLS", "tls"},   {"WEBHOOK_URL", NULL},
};

typedef struct Environment {
	const char *source; /* for errors */
	const char *value[VARIABLES];
} Environment;

/* ---- reading */

static void
read_environment(Environment *env)
{
	env->source = "the environment of the server";
	for (int i = 0; i < VARIABLES; i++) {
		const char *value = getenv(variables[i].name);

		if (value != NULL && value[0] != '\0')
			env->value[i] = pg_any_to_server(value, (int) strlen(value), PG_UTF8);
	}
}

static char *
read_whole(const char *path, size_t *size)
{
	FILE *file;
	struct stat st;
	char *text = palloc(FILE_MAX + 1);

	if (strlen(path) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the name of the file is too long")));
	/* A pipe would be waited for. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a regular file", path)));
	file = AllocateFile(path, "r");
	if (file == NULL)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path),
						errhint("The server reads it, as the user that it runs as.")));
	*size = fread(text, 1, FILE_MAX + 1, file);
	if (ferror(file))
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
	FreeFile(file);
	if (*size > FILE_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("file \"%s\" is too long", path),
						errdetail("At most %d bytes.", FILE_MAX)));
	if (memchr(text, '\0', *size) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("file \"%s\" is not a text", path)));
	return text;
}

static void
read_file(Environment *env, const char *path)
{
	struct env_file file;
	struct slice name;
	size_t size;
	char *text = read_whole(path, &size), *value = palloc(size + 1);
	enum env_line what;

	env->source = psprintf("file \"%s\"", path);
	env_file_begin(&file, (struct slice){text, text + size});
	while ((what = env_file_next(&file, &name, value, size + 1)) != ENV_END) {
		if (what != ENV_VARIABLE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("line %d of file \"%s\" can't be read", file.line, path),
					 errdetail("%s", what == ENV_NO_NAME ? "It is not NAME=VALUE."
														 : "The quote that its value begins with does not "
														   "end at the end of the line.")));
		for (int i = 0; i < VARIABLES; i++)
			if (slice_equals(name, variables[i].name))
				env->value[i] =
					value[0] == '\0' ? NULL : pstrdup(pg_any_to_server(value, (int) strlen(value), PG_UTF8));
	}
	explicit_bzero(text, size);
	explicit_bzero(value, size + 1);
}

/* ---- channels */

/* What SMTP_TLS means to the kind. NULL: its default. */
static const char *
tls_of(const Environment *env)
{
	const char *tls = env->value[SMTP_TLS], *port = env->value[SMTP_PORT];
	/* The port where TLS begins with the first byte. */
	const char *wanted = port != NULL && strcmp(port, "465") == 0 ? "tls" : "starttls";
	bool on;

	if (tls == NULL)
		return wanted;
	if (parse_bool(tls, &on))
		return on ? wanted : "none";
	if (pg_strcasecmp(tls, "starttls") == 0)
		return "starttls";
	if (pg_strcasecmp(tls, "tls") == 0 || pg_strcasecmp(tls, "ssl") == 0 || pg_strcasecmp(tls, "smtps") == 0)
		return "tls";
	if (pg_strcasecmp(tls, "none") == 0)
		return "none";
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("SMTP_TLS in %s can't be understood", env->source),
		 errhint("true or starttls: after STARTTLS; tls: from the first byte, as on port 465; false or none: "
				 "without.")));
}

/* The kind of service behind an address; webhook is for all others. */
static const char *
kind_of_url(const char *url)
{
	static const struct {
		const char *begins, *kind;
	} services[] = {
		{"https://hooks.slack.com/", "slack"},
		{"https://hooks.slack-gov.com/", "slack"},
		{"https://discord.com/api/webhooks/", "discord"},
		{"https://discordapp.com/api/webhooks/", "discord"},
	};

	for (size_t i = 0; i < lengthof(services); i++)
		if (pg_strncasecmp(url, services[i].begins, strlen(services[i].begins)) == 0)
			return services[i].kind;
	return "webhook";
}

static JsonWriter
begin_channel(StringInfo text, const char *name, const char *kind)
{
	JsonWriter w = {.out = text};

	initStringInfo(text);
	observ_json_open(&w, '{');
	observ_json_pair(&w, "name", name);
	observ_json_pair(&w, "kind", kind);
	observ_json_key(&w, "config");
	observ_json_open(&w, '{');
	return w;
}

static char *
end_channel(JsonWriter *w)
{
	char *name;

	observ_json_close(w, '}');
	observ_json_close(w, '}');
	name = observ_put_channel(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(w->out->data))),
							  true);
	explicit_bzero(w->out->data, (size_t) w->out->len);
	return name;
}

static char *
put_email(Environment *env)
{
	StringInfoData text;
	JsonWriter w;

	if (env->value[SMTP_FROM] == NULL && env->value[SMTP_USER] != NULL &&
		strchr(env->value[SMTP_USER], '@') != NULL)
		env->value[SMTP_FROM] = env->value[SMTP_USER];
	for (int i = SMTP_HOST; i <= SMTP_TO; i++)
		if (env->value[i] == NULL && (i == SMTP_HOST || i == SMTP_FROM || i == SMTP_TO))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s is missing in %s", variables[i].name, env->source),
					 errhint("SMTP_HOST, SMTP_FROM and SMTP_TO make a channel of kind email; SMTP_PORT, "
							 "SMTP_USER, SMTP_PASSWORD and SMTP_TLS may be added.")));
	env->value[SMTP_TLS] = tls_of(env);
	w = begin_channel(&text, "email", "email");
	/* What is not set any more is null, and goes. */
	for (int i = SMTP_HOST; i <= SMTP_TLS; i++) {
		observ_json_key(&w, variables[i].field);
		observ_json_text(&w, env->value[i]);
	}
	return end_channel(&w);
}

static char *
put_webhook(const Environment *env)
{
	StringInfoData text;
	JsonWriter w = begin_channel(&text, "webhook", kind_of_url(env->value[WEBHOOK_URL]));

	observ_json_pair(&w, "url", env->value[WEBHOOK_URL]);
	return end_channel(&w);
}

/* Routes that tell a channel through which nothing can be sent would keep the new ones silent. */
static void
tell_them(Datum channels)
{
	uint64 n =
		observ_spi(SPI_OK_UPDATE,
				   "UPDATE observ.routes SET channels = $1 WHERE channels = '{default}' AND EXISTS "
				   "(SELECT FROM observ.notification_channels WHERE name = 'default' AND kind IS NULL)",
				   1, (Oid[]){TEXTARRAYOID}, &channels, NULL);

	if (n > 0)
		ereport(NOTICE,
				(errmsg("routes that told channel \"default\", which has no kind, tell the new ones now"),
				 errdetail("Changed: " UINT64_FORMAT ". See SELECT name, channels FROM observ.routes.", n)));
}

/* observ.create_channels_from_env(file) → setof text, their names; see its COMMENT */
Datum
observ_create_channels_from_env(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Environment env = {0};
	Datum names[2];
	bool mail = false;
	int n = 0;

	observ_require_versions();
	if (PG_ARGISNULL(0))
		read_environment(&env);
	else if (has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		read_file(&env, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read a file of the server"),
				 errhint("GRANT pg_read_server_files TO %s; or give the values to observ.create_channel().",
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	for (int i = SMTP_HOST; i <= SMTP_TLS; i++)
		mail |= env.value[i] != NULL;
	if (mail)
		names[n++] = CStringGetTextDatum(put_email(&env));
	if (env.value[WEBHOOK_URL] != NULL)
		names[n++] = CStringGetTextDatum(put_webhook(&env));
	if (n > 0)
		tell_them(observ_array(names, n, TEXTOID));
	else
		ereport(NOTICE,
				(errmsg("no channel is described by %s", env.source),
				 errhint("Names are SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASSWORD, SMTP_FROM, SMTP_TO, "
						 "SMTP_TLS and WEBHOOK_URL.")));
	for (int i = 0; i < n; i++)
		tuplestore_putvalues(result->setResult, result->setDesc, &names[i], (bool[]){false});
	SPI_finish();
	return (Datum) 0;
}
