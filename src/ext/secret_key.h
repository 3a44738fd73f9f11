/*
 * The key that secrets are encrypted with: a file of the data directory, one for all databases of the server.
 * What does not belong here: what is encrypted (secrets.h).
 */
#ifndef OBSERV_EXT_SECRET_KEY_H
#define OBSERV_EXT_SECRET_KEY_H

#define OBSERV_KEY_FILE   "observ.key" /* in the data directory: the current directory of every backend */
#define OBSERV_KEY_BYTES  32
#define OBSERV_KEY_ID_LEN 16

typedef struct ObservKey {
	unsigned char bytes[OBSERV_KEY_BYTES];
	char id[OBSERV_KEY_ID_LEN + 1]; /* first digits of its SHA-256 */
} ObservKey;

/*
 * Reads it; make: makes it when there is none, atomically, so that several sessions at once end with the same. Raises 58000 when it is not there,
 * is not a file of the server's user that only he can read, or does not hold a key. Whoever calls wipes it when it is used: explicit_bzero().
 */
extern void observ_read_key(ObservKey *key, bool make);

#endif
