/* tail_mounts.c: mountinfo, and readlink() for each part of a path. See tail_mounts.h for what belongs here. */
#include "collector/tail_mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/proc_files.h"
#include "core/mounts.h"

#define LINKS_MAX 40 /* as many as the kernel follows */

static bool
may_hang(const char *type)
{
	return mount_is_network(type) || strncmp(type, "fuse", 4) == 0 || strcmp(type, "autofs") == 0;
}

void
tail_mounts_free(struct tail_mounts *m)
{
	for (int i = 0; i < m->count; i++)
		free(m->path[i]);
	free(m->path);
	*m = (struct tail_mounts){0};
}

void
tail_mounts_read(struct tail_mounts *m, const char *proc_root)
{
	struct strbuf buffer = STRBUF_INIT;
	struct proc_paths paths;
	struct mount_entry entry;
	char file[PROC_PATH_MAX + 20], path[PATH_MAX], type[64];

	tail_mounts_free(m);
	proc_paths(proc_root, &paths);
	snprintf(file, sizeof file, "%s/self/mountinfo", paths.proc);
	struct slice text = proc_file(AT_FDCWD, file, &buffer);
	while (next_mount(&text, &entry)) {
		if (!slice_copy(entry.type, type, sizeof type) || !may_hang(type) ||
			!mount_unescape(entry.path, path, sizeof path))
			continue;
		char **more = realloc(m->path, (size_t) (m->count + 1) * sizeof *more);
		if (!more)
			break;
		m->path = more;
		if ((m->path[m->count] = strdup(path)) != NULL)
			m->count++;
	}
	strbuf_free(&buffer);
}

static bool
is_mount(const struct tail_mounts *m, const char *path)
{
	for (int i = 0; i < m->count; i++)
		if (strcmp(m->path[i], path) == 0)
			return true;
	return false;
}

/* Takes the last part off. */
static void
go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

bool
tail_mounts_may_hang(const struct tail_mounts *m, const char *path)
{
	char done[PATH_MAX] = "", rest[PATH_MAX], link[PATH_MAX], joined[2 * PATH_MAX];
	int links = 0;

	if (m->count == 0 || snprintf(rest, sizeof rest, "%s", path) >= (int) sizeof rest)
		return false;
	rest[strcspn(rest, "*?[")] = '\0';
	while (rest[0]) {
		size_t skip = strspn(rest, "/"), len = strcspn(rest + skip, "/"), used = strlen(done);
		char part[PATH_MAX];
		snprintf(part, sizeof part, "%.*s", (int) len, rest + skip);
		memmove(rest, rest + skip + len, strlen(rest + skip + len) + 1);
		if (len == 0 || strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			go_up(done);
			continue;
		}
		if (used + len + 2 > sizeof done)
			return false;
		snprintf(done + used, sizeof done - used, "/%s", part);
		if (is_mount(m, done))
			return true;
		ssize_t got = readlink(done, link, sizeof link - 1);
		if (got <= 0)
			continue;
		if (++links > LINKS_MAX)
			return false; /* a loop: stat() will say so */
		link[got] = '\0';
		if (link[0] == '/')
			done[0] = '\0';
		else
			go_up(done);
		if (snprintf(joined, sizeof joined, "%s/%s", link, rest) >= (int) sizeof rest)
			return false;
		memcpy(rest, joined, strlen(joined) + 1);
	}
	return false;
}
