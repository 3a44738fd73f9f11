/* The key file. See secret_key.h. */
#include "postgres.h"

#include "ext/secret_key.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

/* Hexadecimal, and a line end: people copy it. */
#define FILE_BYTES (2 * OBSERV_KEY_BYTES + 1)

static const char lost_hint[] =
	"Copy " OBSERV_KEY_FILE " of the server that the secrets were stored on into the "
	"data directory; or set each secret anew with observ.set_secret().";

static pg_attribute_noreturn() void unusable(const char *why, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("key file \"%s\" can't be used", OBSERV_KEY_FILE),
					errdetail("%s", why), errhint("%s", hint)));
}

/* A file that others can read, or could have put there, holds no secret. */
static void
check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", OBSERV_KEY_FILE)));
	if (!S_ISREG(st.st_mode))
		unusable("It is not a regular file.", lost_hint);
	if (st.st_uid != geteuid())
		unusable("It belongs to another user than the server's.", "chown it to the user of the server.");
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		unusable(
			psprintf("Others than its owner may use it: its mode is %04o.", (unsigned) st.st_mode & 07777),
			"chmod 0600 it; and if others may have read it, set each secret anew at its service.");
	if (st.st_size != FILE_BYTES)
		unusable(psprintf("It has %ld bytes instead of %d.", (long) st.st_size, FILE_BYTES), lost_hint);
}

static void
name_key(ObservKey *key)
{
	pg_cryptohash_ctx *sha256 = pg_cryptohash_create(PG_SHA256);
	uint8 digest[PG_SHA256_DIGEST_LENGTH];

	if (sha256 == NULL || pg_cryptohash_init(sha256) < 0 ||
		pg_cryptohash_update(sha256, key->bytes, sizeof key->bytes) < 0 ||
		pg_cryptohash_final(sha256, digest, sizeof digest) < 0)
		elog(ERROR, "could not compute the SHA-256 of a key");
	pg_cryptohash_free(sha256);
	hex_encode((char *) digest, OBSERV_KEY_ID_LEN / 2, key->id);
	key->id[OBSERV_KEY_ID_LEN] = '\0';
}

/* hex_decode() shows in its error what it could not read. */
static bool
decode(const char *text, unsigned char *bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < OBSERV_KEY_BYTES; i++) {
		const char *high = memchr(digits, text[2 * i], 16), *low = memchr(digits, text[2 * i + 1], 16);

		if (high == NULL || low == NULL)
			return false;
		bytes[i] = (unsigned char) ((high - digits) << 4 | (low - digits));
	}
	return text[FILE_BYTES - 1] == '\n';
}

/* false: there is none. */
static bool
read_file(ObservKey *key)
{
	char text[FILE_BYTES];
	int fd = OpenTransientFile(OBSERV_KEY_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;
	bool good;

	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd < 0 && errno == ELOOP)
		unusable("It is a symbolic link.", "Put the file itself there.");
	if (fd < 0)
		unusable(psprintf("It can't be opened: %s.", strerror(errno)), lost_hint);
	check_file(fd);
	n = read(fd, text, sizeof text);
	CloseTransientFile(fd);
	good = n == (ssize_t) sizeof text && decode(text, key->bytes);
	explicit_bzero(text, sizeof text);
	if (!good)
		unusable("It does not hold 64 hexadecimal digits and a line end.", lost_hint);
	name_key(key);
	return true;
}

static pg_attribute_noreturn() void could_not(const char *what, const char *path)
{
	ereport(ERROR, (errcode_for_file_access(), errmsg("could not %s file \"%s\": %m", what, path)));
}

static void
write_new(const char *path)
{
	unsigned char bytes[OBSERV_KEY_BYTES];
	char text[FILE_BYTES];
	int fd;
	bool written;

	if (!pg_strong_random(bytes, sizeof bytes))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random key")));
	hex_encode((char *) bytes, sizeof bytes, text);
	text[FILE_BYTES - 1] = '\n';
	explicit_bzero(bytes, sizeof bytes);
	fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		could_not("create", path);
	errno = 0;
	written = write(fd, text, sizeof text) == (ssize_t) sizeof text && pg_fsync(fd) == 0;
	explicit_bzero(text, sizeof text);
	CloseTransientFile(fd);
	if (!written) {
		if (errno == 0)
			errno = ENOSPC;
		could_not("write", path);
	}
}

/* Under another name first: whoever finds the file finds all of it. Of several sessions that make one, the first wins. */
static void
make_file(void)
{
	char path[MAXPGPATH];

	snprintf(path, sizeof path, "%s.%d.tmp", OBSERV_KEY_FILE, MyProcPid);
	(void) unlink(path); /* of a process of the same number that was killed */
	PG_TRY();
	{
		write_new(path);
		if (link(path, OBSERV_KEY_FILE) != 0 && errno != EEXIST)
			could_not("create", OBSERV_KEY_FILE);
	}
	PG_FINALLY();
	{
		(void) unlink(path);
	}
	PG_END_TRY();
	fsync_fname(".", true);
}

void
observ_read_key(ObservKey *key, bool make)
{
	if (read_file(key))
		return;
	if (make) {
		make_file();
		if (read_file(key))
			return;
	}
	unusable("There is no such file in the data directory.", lost_hint);
}
