/* proc_files.c: Paths, and small files read whole. See proc_files.h for what belongs here. */
#include "collector/proc_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LARGEST   (4 * 1024 * 1024)
#define READ_SIZE 4096

void
proc_paths(const char *root, struct proc_paths *out)
{
	char probe[PROC_PATH_MAX + 20];

	*out = (struct proc_paths){"", ""};
	snprintf(probe, sizeof probe, "%s/proc/stat", root ? root : "");
	bool nested = !root || access(probe, F_OK) == 0;
	snprintf(out->proc, sizeof out->proc, "%s%s", root ? root : "", nested ? "/proc" : "");
	snprintf(out->sys, sizeof out->sys, "%s/sys", root ? root : "");
}

struct slice
proc_file(int dir, const char *name, struct strbuf *buffer)
{
	/* Without waiting: in a fixture anything may stand here. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char part[READ_SIZE];
	ssize_t got;

	strbuf_reset(buffer);
	if (fd < 0)
		return (struct slice){"", ""};
	while ((got = read(fd, part, sizeof part)) > 0 || (got < 0 && errno == EINTR)) {
		if (got > 0)
			strbuf_add(buffer, part, (size_t) got);
		if (buffer->len >= LARGEST || buffer->failed)
			break;
	}
	close(fd);
	return buffer->len > 0 ? (struct slice){buffer->data, buffer->data + buffer->len}
						   : (struct slice){"", ""};
}

struct slice
proc_mounts(const struct proc_paths *paths, struct strbuf *buffer)
{
	static const char *const who[] = {"1", "self"};
	struct slice text = {"", ""};
	char path[PROC_PATH_MAX + 20];

	for (size_t i = 0; i < sizeof who / sizeof *who && text.p == text.end; i++) {
		snprintf(path, sizeof path, "%s/%s/mountinfo", paths->proc, who[i]);
		text = proc_file(AT_FDCWD, path, buffer);
	}
	return text;
}
