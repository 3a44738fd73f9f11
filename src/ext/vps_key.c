/*
 * Hash tables keyed by (vps_name, app_name).
 */
#include "postgres.h"

#include "ext/vps_key.h"

#include "common/hashfn.h"
#include "fmgr.h"

static uint32
key_hash(const void *key, Size size)
{
	const ObservVpsKey *k = key;

	return hash_combine(hash_bytes((const unsigned char *) k->vps, k->vps_len),
						hash_bytes((const unsigned char *) k->app, k->app_len));
}

static int
key_match(const void *left, const void *right, Size size)
{
	const ObservVpsKey *a = left;
	const ObservVpsKey *b = right;

	return a->vps_len != b->vps_len || a->app_len != b->app_len || memcmp(a->vps, b->vps, a->vps_len) != 0 ||
		   memcmp(a->app, b->app, a->app_len) != 0;
}

ObservVpsKey
observ_vps_key(Datum vps, Datum app)
{
	text *v = DatumGetTextPP(vps);
	ObservVpsKey key = {.vps = VARDATA_ANY(v), .vps_len = VARSIZE_ANY_EXHDR(v), .app = ""};

	if (app != (Datum) 0) {
		text *a = DatumGetTextPP(app);

		key.app = VARDATA_ANY(a);
		key.app_len = VARSIZE_ANY_EXHDR(a);
	}
	return key;
}

HTAB *
observ_vps_table_create(const char *name, Size entry_size, long expected)
{
	HASHCTL ctl = {.keysize = sizeof(ObservVpsKey),
				   .entrysize = entry_size,
				   .hash = key_hash,
				   .match = key_match,
				   .hcxt = CurrentMemoryContext};

	return hash_create(name, expected, &ctl, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}
