/* helper_process.c: The helper's side: what can hang is called here and nowhere else. See helper_process.h for what belongs here. */
#include "collector/helper_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collector/helper.h"
#include "collector/helper_logs.h"
#include "core/mounts.h"
#include "core/topology.h"

static int
ask_statvfs(const char *path, struct fs_numbers *out)
{
	struct statvfs s;

	if (statvfs(path, &s) < 0)
		return errno;
	*out = (struct fs_numbers){(int64_t) s.f_frsize, (int64_t) s.f_blocks, (int64_t) s.f_bfree,
							   (int64_t) s.f_bavail, (int64_t) s.f_files,  (int64_t) s.f_ffree,
							   (int64_t) s.f_favail};
	return 0;
}

/*
 * The text file that stands in for statvfs(): DIR/statvfs, or, for one mount alone, DIR/statvfs with each slash of the path as an
 * underscore behind it. A FIFO in its place hangs here, as a dead mount does.
 */
static int
ask_fixture(const char *root, const char *path, struct fs_numbers *out)
{
	char name[1200], text[16384];
	size_t used = 0;
	ssize_t got;

	int len = snprintf(name, sizeof name, "%s/statvfs", root);
	snprintf(name + len, sizeof name - (size_t) len, "%s", path);
	for (char *c = name + len; *c; c++)
		*c = *c == '/' ? '_' : *c;
	if (access(name, F_OK) < 0)
		name[len] = '\0';
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	while (used < sizeof text && (got = read(fd, text + used, sizeof text - used)) > 0)
		used += (size_t) got;
	close(fd);
	return parse_statvfs_line((struct slice){text, text + used}, path, out) ? 0 : ENOENT;
}

/* The first line of a small file, cut to size; empty when there is none. */
static void
read_line(int dir, const char *path, char *line, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);

	if (fd >= 0)
		close(fd);
	line[got > 0 ? got : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

static bool
exists(int dir, const char *path)
{
	return faccessat(dir, path, F_OK, 0) == 0;
}

/* Whether the directory has an entry that begins with `prefix`; "" for any entry at all. */
static bool
has_entry(int dir, const char *path, const char *prefix)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool found = false;
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (e = readdir(d)) != NULL)
		found = e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return found;
}

/* One line about an interface; the letters are explained at choose_topology(). */
static void
describe_nic(int dir, const char *name, struct strbuf *out)
{
	char ifindex[24], iflink[24], type[24], speed[24], flags[8] = "";
	size_t n = 0;

	read_line(dir, "ifindex", ifindex, sizeof ifindex);
	read_line(dir, "iflink", iflink, sizeof iflink);
	read_line(dir, "type", type, sizeof type);
	read_line(dir, "speed", speed,
			  sizeof speed); /* waits for the kernel's network lock: one reason to be in here */
	bool lower = has_entry(dir, ".", "lower_");
	if (exists(dir, "device"))
		flags[n++] = 'd';
	if (lower)
		flags[n++] = 'l';
	if (strcmp(type, "772") == 0) /* ARPHRD_LOOPBACK */
		flags[n++] = 'o';
	if (!lower && iflink[0] && strcmp(ifindex, iflink) != 0)
		flags[n++] = 'v';
	if (exists(dir, "tun_flags") || strcmp(type, "65534") == 0) /* ARPHRD_NONE: tun, WireGuard */
		flags[n++] = 't';
	if (exists(dir, "bridge"))
		flags[n++] = 'b';
	strbuf_printf(out, "net %s %s %s %s\n", name, ifindex[0] ? ifindex : "0", speed[0] ? speed : "-",
				  n ? flags : "-");
}

static void
describe_disk(int dir, const char *name, struct strbuf *out)
{
	strbuf_printf(out, "block %s %s\n", name, has_entry(dir, "slaves", "") ? "s" : "-");
}

static void
scan_directory(const char *path, void (*describe)(int dir, const char *name, struct strbuf *out),
			   struct strbuf *out)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strpbrk(e->d_name, " \t\n"))
			continue;
		int fd = openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		describe(fd, e->d_name, out);
		close(fd);
	}
	if (d)
		closedir(d);
}

void
scan_sysfs(const char *dir, struct strbuf *out)
{
	char path[600];

	snprintf(path, sizeof path, "%s/class/net", dir);
	scan_directory(path, describe_nic, out);
	snprintf(path, sizeof path, "%s/block", dir);
	scan_directory(path, describe_disk, out);
}

/* An answer that is too long is cut at a line: choose_topology() has less room than that anyway. */
static size_t
whole_lines(const struct strbuf *b)
{
	size_t len = b->len;

	if (len <= HELPER_ANSWER_MAX)
		return len;
	len = HELPER_ANSWER_MAX;
	while (len > 0 && b->data[len - 1] != '\n')
		len--;
	return len;
}

/* A FIFO named `logs` under --proc-root hangs here, as a dead network filesystem does. */
static void
wait_for_fixture(const char *root)
{
	char name[600];

	if (!root)
		return;
	snprintf(name, sizeof name, "%s/logs", root);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
}

void
helper_main(int fd, const char *proc_root)
{
	struct helper_request request;
	struct strbuf scan = STRBUF_INIT;

	for (;;) {
		ssize_t got = read(fd, &request, sizeof request);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= (ssize_t) offsetof(struct helper_request, argument))
			_exit(0); /* the agent is gone */
		struct helper_reply reply = {request.id, 0};
		struct fs_numbers numbers;
		struct iovec parts[2] = {{&reply, sizeof reply}, {&numbers, sizeof numbers}};

		if (request.question == ASK_TOPOLOGY) {
			strbuf_reset(&scan);
			scan_sysfs(request.argument, &scan);
			parts[1] = (struct iovec){scan.data, whole_lines(&scan)};
		} else if (request.question == ASK_LOG_LIST || request.question == ASK_LOG_READ) {
			strbuf_reset(&scan);
			wait_for_fixture(proc_root);
			reply.error = request.question == ASK_LOG_LIST
							  ? helper_list_logs(request.argument, &scan, HELPER_ANSWER_MAX)
							  : helper_read_log(request.argument, &scan, HELPER_ANSWER_MAX);
			parts[1] = (struct iovec){scan.data, scan.len};
		} else if (proc_root)
			reply.error = ask_fixture(proc_root, request.argument, &numbers);
		else
			reply.error = ask_statvfs(request.argument, &numbers);
		if (writev(fd, parts, reply.error ? 1 : 2) < 0)
			_exit(0);
	}
}
