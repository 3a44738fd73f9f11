/* helper_logs.c: glob(), stat() and read() where they may hang. See helper_logs.h for what belongs here. */
#include "collector/helper_logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/tail_stat.h"
#include "core/tail_position.h"

#define PIECE_MAX 32768

static void
add_listed(struct strbuf *out, struct tail_stat st, bool rotated, const char *path)
{
	struct tail_listed listed = {st, rotated, (uint32_t) strlen(path) + 1};

	strbuf_add(out, (const char *) &listed, sizeof listed);
	strbuf_add(out, path, listed.path_bytes);
}

/* False: there is no room for it, nor for any that follows. */
static bool
list_one(struct strbuf *out, size_t max, const char *path, bool rotated)
{
	struct stat s;

	if (stat(path, &s) < 0)
		return true;
	/* Room for the end that says so is kept. */
	bool fits = out->len + 2 * sizeof(struct tail_listed) + strlen(path) + 2 <= max;
	add_listed(out, tail_stat_of(&s), rotated, fits ? path : "");
	return fits;
}

/* What rotation made of the one file that is meant. */
static void
list_rotated(struct strbuf *out, size_t max, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = strndup(path, slash ? (size_t) (slash - path) + 1 : 0), *other;
	DIR *d = directory ? opendir(directory) : NULL;
	struct dirent *e;
	bool fits = true;

	while (fits && d && (e = readdir(d)) != NULL)
		if (tail_is_rotated_name(slash + 1, e->d_name) &&
			asprintf(&other, "%s%s", directory, e->d_name) > 0) {
			fits = list_one(out, max, other, true);
			free(other);
		}
	if (d)
		closedir(d);
	free(directory);
}

int
helper_list_logs(const char *pattern, struct strbuf *out, size_t max)
{
	glob_t found = {0};

	if (!strpbrk(pattern, "*?[")) {
		if (list_one(out, max, pattern, false))
			list_rotated(out, max, pattern);
		return 0;
	}
	int result = glob(pattern, 0, NULL, &found);
	for (size_t i = 0; result == 0 && i < found.gl_pathc && list_one(out, max, found.gl_pathv[i], false); i++)
		;
	globfree(&found);
	return result == 0 || result == GLOB_NOMATCH ? 0 : result == GLOB_NOSPACE ? ENOMEM : EIO;
}

static uint32_t
read_at(int fd, char *bytes, size_t size, int64_t offset, int *error)
{
	ssize_t got = pread(fd, bytes, size, offset);

	if (got < 0)
		*error = errno;
	return got < 0 ? 0 : (uint32_t) got;
}

int
helper_read_log(const char *argument, struct strbuf *out, size_t max)
{
	static char bytes[PIECE_MAX];
	char *path;
	struct tail_piece piece = {.from = strtoll(argument, &path, 10)};
	struct stat s;
	int fd = *path == ' ' ? open(path + 1, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1, error = 0;

	if (fd < 0)
		return *path == ' ' ? errno : EINVAL;
	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode)) {
		close(fd);
		return ESTALE;
	}
	piece.stat = tail_stat_of(&s);
	if (max > sizeof bytes)
		max = sizeof bytes;
	piece.head_bytes = read_at(fd, bytes, TAIL_HEAD_BYTES, 0, &error);
	piece.bytes =
		read_at(fd, bytes + piece.head_bytes, max - sizeof piece - piece.head_bytes, piece.from, &error);
	close(fd);
	strbuf_add(out, (const char *) &piece, sizeof piece);
	strbuf_add(out, bytes, piece.head_bytes + piece.bytes);
	return error;
}
