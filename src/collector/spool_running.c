/*
 * spool_running.c: Whether the spool ended as it should have. See spool_parts.h for what belongs here.
 *
 * A file `running` is there while the spool is open, and says in which boot of the machine: after kill -9 the same boot finds all that
 * was written, another boot may miss what was not synced. It is emptied (which needs no room on a full disk) while something
 * that the database may have been given is in memory only. What is left of such an end is not believed without the database.
 * It is filled by a rename: an agent that is killed as it starts must not leave an empty one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector/spool_parts.h"

#define RUNNING_FILE   "running"
#define TEMPORARY_FILE RUNNING_FILE ".tmp"
#define BOOT_ID_FILE   "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_SIZE   64

/* Bytes of a small file; -1 and errno. */
static ssize_t
read_small(int dir_fd, const char *name, char text[BOOT_ID_SIZE])
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, BOOT_ID_SIZE);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return n;
}

/* False and errno. */
static bool
write_small(struct spool *s, const char *name, const char *text, size_t size)
{
	int fd = s->dir_fd < 0 ? -1
						   : openat(s->dir_fd, name,
									O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	bool good = write_at(fd, text, size, 0);
	close(fd);
	return good;
}

void
spool_begin_running(struct spool *s)
{
	char before[BOOT_ID_SIZE], boot[BOOT_ID_SIZE];
	ssize_t there = read_small(s->dir_fd, RUNNING_FILE, before),
			size = read_small(AT_FDCWD, BOOT_ID_FILE, boot);

	if (there >= 0 || errno != ENOENT)
		s->uncertain |= there <= 0 || there != size || memcmp(before, boot, (size_t) size) != 0;
	/* Until the database has spoken, and what it said is saved, the next start knows no better. */
	s->found_uncertain = s->uncertain;
	if (s->uncertain)
		spool_is_unsafe(s);
	else if (there < 0)
		spool_is_safe(s);
	/* Else a power failure in the first seconds would look like an orderly end. */
	fsync(s->dir_fd);
}

bool
spool_is_unsafe(struct spool *s)
{
	return write_small(s, RUNNING_FILE, "", 0);
}

void
spool_is_safe(struct spool *s)
{
	char boot[BOOT_ID_SIZE];
	ssize_t size = read_small(AT_FDCWD, BOOT_ID_FILE, boot);

	if (write_small(s, TEMPORARY_FILE, boot, size < 0 ? 0 : (size_t) size) &&
		renameat(s->dir_fd, TEMPORARY_FILE, s->dir_fd, RUNNING_FILE) == 0)
		return;
	/* No room: what is there is not to be believed, and what is not there would be. */
	if (s->dir_fd >= 0)
		unlinkat(s->dir_fd, TEMPORARY_FILE, 0);
	(void) spool_is_unsafe(s);
}

void
spool_end_running(struct spool *s)
{
	if (s->dir_fd >= 0 && !s->in_memory && !s->positions_unsaved && !s->uncertain)
		unlinkat(s->dir_fd, RUNNING_FILE, 0);
}
