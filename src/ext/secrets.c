/*
 * Secrets: storing, reading, forgetting. See secrets.h. What does not belong here: the key (secret_key.c), whose they are (channels.c).
 *
 * AES-256-GCM through libcrypto, which the server has loaded already; 96 bits of nonce from the system's random numbers for each value; the name is
 * authenticated with it, so that a row can't be passed off as another one.
 */
#include "postgres.h"

#include "ext/secrets.h"

#include <openssl/evp.h>

#include "catalog/pg_type.h"
#include "core/nearest.h"
#include "ext/channel_secrets.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "ext/secret_key.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

OBSERV_SQL_FUNCTION(observ_set_secret);
OBSERV_SQL_FUNCTION(observ_delete_secret);

/* Of a name, and of a value: longer ones are slips of the hand. */
#define NAME_MAX_BYTES  256
#define VALUE_MAX_BYTES 8192

#define NONCE_BYTES 12
#define TAG_BYTES   16

/* ---- cipher */

/* One run over `size` bytes. Encrypting appends the tag to `out`; decrypting expects it behind `in`. false: it does not fit together. */
static bool
run_cipher(bool encrypt, const ObservKey *key, const char *name, const unsigned char *nonce,
		   const unsigned char *in, int size, unsigned char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n, last;
	bool good;

	if (ctx == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	good = EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce, encrypt) == 1 &&
		   EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *) name, (int) strlen(name)) == 1 &&
		   EVP_CipherUpdate(ctx, out, &n, in, size) == 1;
	if (good && !encrypt)
		good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES,
								   unconstify(unsigned char *, in) + size) == 1;
	good = good && EVP_CipherFinal_ex(ctx, out + n, &last) == 1;
	if (good && encrypt)
		good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + size) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

static bytea *
new_bytea(int size)
{
	bytea *made = palloc(VARHDRSZ + size);

	SET_VARSIZE(made, VARHDRSZ + size);
	return made;
}

/* A text that is wiped when its memory goes. */
typedef struct WipedText {
	MemoryContextCallback callback;
	size_t size;
	char text[FLEXIBLE_ARRAY_MEMBER];
} WipedText;

static void
wipe(void *arg)
{
	WipedText *secret = arg;

	explicit_bzero(secret->text, secret->size);
}

static char *
new_wiped_text(size_t length)
{
	WipedText *secret = palloc0(offsetof(WipedText, text) + length + 1);

	secret->size = length + 1;
	secret->callback.func = wipe;
	secret->callback.arg = secret;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &secret->callback);
	return secret->text;
}

/* ---- rows */

static pg_attribute_noreturn() void no_such_secret(const char *name)
{
	struct nearest nearest;

	nearest_begin(&nearest, name, 0);
	observ_spi(SPI_OK_SELECT, "SELECT name FROM observ_data.secrets ORDER BY name", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++)
		nearest_consider(&nearest, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("secret \"%s\" does not exist", name),
					nearest.name != NULL
						? errhint("Perhaps \"%s\" is meant.", nearest.name)
						: errhint("SELECT observ.set_secret(%s, …) stores it.", quote_literal_cstr(name))));
}

static char *
decrypt(const char *name, const ObservKey *key, bytea *nonce, bytea *value)
{
	int size = (int) VARSIZE_ANY_EXHDR(value) - TAG_BYTES;
	char *text;

	if (size < 0 || VARSIZE_ANY_EXHDR(nonce) != NONCE_BYTES)
		return NULL;
	text = new_wiped_text((size_t) size);
	if (!run_cipher(false, key, name, (unsigned char *) VARDATA_ANY(nonce),
					(unsigned char *) VARDATA_ANY(value), size, (unsigned char *) text))
		return NULL;
	return text;
}

char *
observ_read_secret(const char *name)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	ObservIdentity saved = observ_as_owner_begin();
	Datum values[] = {CStringGetTextDatum(name)};
	ObservKey key;
	bytea *nonce, *value;
	char *key_id, *plain;
	bool isnull;

	if (observ_spi_kept(&plan, SPI_OK_SELECT,
						"SELECT nonce, value, key_id FROM observ_data.secrets WHERE name = $1", 1,
						(Oid[]){TEXTOID}, values, NULL) == 0)
		no_such_secret(name);
	nonce = DatumGetByteaPCopy(observ_spi_value(0, 1, &isnull));
	value = DatumGetByteaPCopy(observ_spi_value(0, 2, &isnull));
	key_id = TextDatumGetCString(observ_spi_value(0, 3, &isnull));
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(caller);
	observ_as_owner_end(&saved);
	observ_read_key(&key, false);
	if (strcmp(key_id, key.id) != 0) {
		explicit_bzero(key.bytes, sizeof key.bytes);
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("secret \"%s\" was encrypted with another key", name),
			 errdetail("Its key is %s, this server's is %s.", key_id, key.id),
			 errhint("Copy " OBSERV_KEY_FILE " of the server that it was stored on into the data directory, "
					 "or SELECT observ.set_secret(%s, …).",
					 quote_literal_cstr(name))));
	}
	plain = decrypt(name, &key, nonce, value);
	explicit_bzero(key.bytes, sizeof key.bytes);
	if (plain == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("secret \"%s\" can't be decrypted", name),
				 errdetail("Its row in observ_data.secrets was changed."),
				 errhint("SELECT observ.set_secret(%s, …) stores it anew.", quote_literal_cstr(name))));
	return plain;
}

void
observ_store_secret(const char *name, const char *value)
{
	static SPIPlanPtr plan = NULL;
	int size = (int) strlen(value);
	bytea *nonce = new_bytea(NONCE_BYTES), *sealed = new_bytea(size + TAG_BYTES);
	MemoryContext caller = CurrentMemoryContext;
	ObservIdentity saved;
	ObservKey key;
	bool good;

	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a secret must have a name")));
	/* Before a key is made that the server would keep. */
	PreventCommandIfReadOnly("observ.set_secret()");
	if (!pg_strong_random(VARDATA(nonce), NONCE_BYTES))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random nonce")));
	observ_read_key(&key, true);
	good = run_cipher(true, &key, name, (unsigned char *) VARDATA(nonce), (const unsigned char *) value, size,
					  (unsigned char *) VARDATA(sealed));
	explicit_bzero(key.bytes, sizeof key.bytes);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("libcrypto could not encrypt a secret"),
				 errhint("AES-256-GCM must be allowed by the system's configuration of OpenSSL.")));
	saved = observ_as_owner_begin();
	observ_spi_kept(&plan, SPI_OK_INSERT,
					"INSERT INTO observ_data.secrets AS s (name, nonce, value, key_id, updated_at) "
					"VALUES ($1, $2, $3, $4, now()) ON CONFLICT (name) DO UPDATE SET nonce = excluded.nonce, "
					"value = excluded.value, key_id = excluded.key_id, updated_at = excluded.updated_at",
					4, (Oid[]){TEXTOID, BYTEAOID, BYTEAOID, TEXTOID},
					(Datum[]){CStringGetTextDatum(name), PointerGetDatum(nonce), PointerGetDatum(sealed),
							  CStringGetTextDatum(key.id)},
					NULL);
	MemoryContextSwitchTo(caller);
	observ_as_owner_end(&saved);
}

void
observ_hide_statement(void)
{
	static const char shown[] = "(not shown: it may hold a secret)";

	debug_query_string = shown;
	pgstat_report_activity(STATE_RUNNING, shown);
}

/* ---- for people */

/* Argument `arg`; both functions take NULLs so that their statement is hidden whatever else is wrong. */
static char *
text_argument(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the %s of a secret must not be null", what)));
	return text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/* observ.set_secret(name, value); see its COMMENT */
Datum
observ_set_secret(PG_FUNCTION_ARGS)
{
	ObservIdentity saved;
	char *name, *value;

	observ_hide_statement();
	observ_require_versions();
	name = text_argument(fcinfo, 0, "name");
	value = text_argument(fcinfo, 1, "value");
	if (strlen(name) > NAME_MAX_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the name of a secret is too long"),
						errhint("At most %d bytes. The first argument is the name, the second the value.",
								NAME_MAX_BYTES)));
	if (value[0] == '\0' || strlen(value) > VALUE_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value of secret \"%s\" is %s", name, value[0] == '\0' ? "empty" : "too long"),
				 errhint("From 1 to %d bytes. observ.delete_secret() forgets one.", VALUE_MAX_BYTES)));
	PreventCommandIfReadOnly("observ.set_secret()");
	SPI_connect();
	/* Channels first, as where one of them is written: two sessions don't wait for each other. */
	saved = observ_as_owner_begin();
	observ_touch_channels(name);
	observ_as_owner_end(&saved);
	observ_store_secret(name, value);
	SPI_finish();
	explicit_bzero(value, strlen(value));
	observ_wake_notifier_at_commit();
	PG_RETURN_VOID();
}

/* observ.delete_secret(name); see its COMMENT */
Datum
observ_delete_secret(PG_FUNCTION_ARGS)
{
	ObservIdentity saved;
	Datum value, reference;
	char *name;

	observ_require_versions();
	name = text_argument(fcinfo, 0, "name");
	value = CStringGetTextDatum(name);
	reference = CStringGetTextDatum(psprintf(OBSERV_SECRET_PREFIX "%s", name));
	saved = observ_as_owner_begin();
	SPI_connect();
	if (observ_spi(SPI_OK_SELECT,
				   "SELECT name FROM observ.notification_channels WHERE strpos(config::text, "
				   "to_jsonb($1)::text) > 0 "
				   "ORDER BY name LIMIT 1",
				   1, (Oid[]){TEXTOID}, &reference, NULL) > 0)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("secret \"%s\" is used by channel \"%s\"", name,
							   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
						errhint("Change the config of the channel first, or delete the channel.")));
	if (observ_spi(SPI_OK_DELETE, "DELETE FROM observ_data.secrets WHERE name = $1", 1, (Oid[]){TEXTOID},
				   &value, NULL) == 0)
		no_such_secret(name);
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_VOID();
}
