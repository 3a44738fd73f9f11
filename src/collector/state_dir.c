/* state_dir.c: The directory and its files by name. See state_dir.h for what belongs here. */
#include "collector/state_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OURS "/var/lib/obs-agent"

static const char *
from_systemd(void)
{
	const char *systemd = getenv("STATE_DIRECTORY");

	return systemd && *systemd ? systemd : NULL;
}

void
state_dir_name(const struct options *o, char *out, size_t size)
{
	const char *systemd = from_systemd();

	if (o->state_dir)
		snprintf(out, size, "%.590s", o->state_dir);
	else if (systemd) /* separates several directories by colons; the first is ours */
		snprintf(out, size, "%.*s", (int) strcspn(systemd, ":"), systemd);
	else
		snprintf(out, size, OURS "/%s", o->app_name ? o->app_name : "");
}

void
state_dir_make(const struct options *o)
{
	char directory[STATE_PATH_MAX];

	state_dir_name(o, directory, sizeof directory);
	if (!o->state_dir && !from_systemd())
		mkdir(OURS, 0755);
	mkdir(directory, 0700);
}

void
state_dir_file(const struct options *o, const char *what, char *out, size_t size)
{
	char directory[600], name[220];

	state_dir_name(o, directory, sizeof directory);
	snprintf(name, sizeof name, "%s", o->vps_name);
	for (char *slash = name; (slash = strchr(slash, '/')) != NULL;)
		*slash = '_';
	snprintf(out, size, "%s/%s-%s", directory, what, name);
}

bool
state_file_replace(const char *path, const struct strbuf *text, mode_t mode)
{
	char fresh[STATE_PATH_MAX + 4];

	snprintf(fresh, sizeof fresh, "%s.new", path);
	int fd = text->failed ? -1 : open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return false;
	bool good = write(fd, text->data, text->len) == (ssize_t) text->len;
	good = close(fd) == 0 && good && rename(fresh, path) == 0;
	if (!good)
		unlink(fresh);
	return good;
}
