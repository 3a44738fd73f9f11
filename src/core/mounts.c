/* mounts.c: Mountinfo, the choice of mounts, df's arithmetic. See mounts.h for what belongs here. */
#include "core/mounts.h"

#include "core/procfs.h"

#include <math.h>
#include <string.h>

const struct fs_numbers fs_unknown = {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN};

bool
next_mount(struct slice *text, struct mount_entry *out)
{
	struct slice line, word;

	while (slice_line(text, &line)) {
		/* 36 35 98:0 /root /path options [optional fields] - type source super-options; see proc_pid_mountinfo(5) */
		if (!slice_skip_words(&line, 2) || !slice_word(&line, &out->device) ||
			!slice_word(&line, &out->root) || !slice_word(&line, &out->path) ||
			!slice_word(&line, &out->options))
			continue;
		bool separator = false;
		while (!separator && slice_word(&line, &word))
			separator = slice_equals(word, "-");
		if (!separator || !slice_word(&line, &out->type))
			continue;
		if (!slice_word(&line, &out->source))
			out->source = (struct slice){line.end, line.end};
		if (!slice_word(&line, &out->super_options))
			out->super_options = (struct slice){line.end, line.end};
		return true;
	}
	return false;
}

bool
mount_is_network(const char *type)
{
	static const char *const types[] = {
		"nfs",       "nfs4",   "cifs",  "smb3",       "9p",          "ceph",      "glusterfs",
		"afs",       "ncpfs",  "davfs", "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.glusterfs",
		"fuse.ceph", "lustre", "gpfs",  "ocfs2",      "gfs2"};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static bool
is_octal(char c)
{
	return c >= '0' && c <= '7';
}

bool
mount_unescape(struct slice s, char *dst, size_t size)
{
	size_t used = 0;

	while (s.p < s.end) {
		char c = *s.p++;
		if (c == '\\' && s.end - s.p >= 3 && s.p[0] <= '3' && is_octal(s.p[0]) && is_octal(s.p[1]) &&
			is_octal(s.p[2])) {
			c = (char) ((s.p[0] - '0') * 64 + (s.p[1] - '0') * 8 + (s.p[2] - '0'));
			s.p += 3;
		}
		if (used + 1 >= size || c == '\0') {
			dst[0] = '\0';
			return false;
		}
		dst[used++] = c;
	}
	dst[used] = '\0';
	return true;
}

static bool
is_pseudo_type(struct slice type)
{
	static const char *const pseudo[] = {
		"proc",      "sysfs",           "cgroup",      "cgroup2", "devtmpfs",   "devpts",   "debugfs",
		"tracefs",   "securityfs",      "pstore",      "bpf",     "configfs",   "fusectl",  "hugetlbfs",
		"mqueue",    "binfmt_misc",     "rpc_pipefs",  "nsfs",    "autofs",     "efivarfs", "ramfs",
		"overlay",   "squashfs",        "erofs",       "iso9660", "fuse.lxcfs", "tmpfs",    "rootfs",
		"selinuxfs", "fuse.gvfsd-fuse", "fuse.portal", "nfsd"};

	for (size_t i = 0; i < sizeof pseudo / sizeof pseudo[0]; i++)
		if (slice_equals(type, pseudo[i]))
			return true;
	return false;
}

static bool
is_system_path(const char *path)
{
	static const char *const under[] = {
		"/dev", "/proc", "/sys", "/run/credentials", "/run/user", "/var/lib/docker", "/var/lib/containers",
		"/snap"};

	for (size_t i = 0; i < sizeof under / sizeof under[0]; i++) {
		size_t len = strlen(under[i]);
		if (strncmp(path, under[i], len) == 0 && (path[len] == '\0' || path[len] == '/'))
			return true;
	}
	return false;
}

static bool
same_bytes(struct slice a, struct slice b)
{
	return a.end - a.p == b.end - b.p && memcmp(a.p, b.p, (size_t) (a.end - a.p)) == 0;
}

/* Why another line of the file makes this one superfluous: the same path again, or the same device on a shorter path. */
static const char *
hidden_by(const struct mount_entry *m, struct slice later, struct slice all)
{
	struct mount_entry other;

	while (next_mount(&later, &other))
		if (same_bytes(other.path, m->path))
			return "another filesystem is mounted over it";
	while (next_mount(&all, &other)) {
		ptrdiff_t length = other.path.end - other.path.p, mine = m->path.end - m->path.p;
		if (!same_bytes(other.device, m->device) || !same_bytes(other.source, m->source))
			continue;
		if (length < mine || (length == mine && other.path.p < m->path.p))
			return "the same device is reported at another path";
	}
	return NULL;
}

const char *
mount_refusal(const struct mount_entry *m, struct slice later, struct slice all)
{
	char path[MOUNT_PATH_MAX];

	if (!mount_unescape(m->path, path, sizeof path) ||
		m->type.end - m->type.p >= (ptrdiff_t) sizeof(((struct chosen_mount *) NULL)->type))
		return "its name is too long";
	bool root = strcmp(path, "/") == 0;
	if (root ? slice_equals(m->type, "rootfs") : is_pseudo_type(m->type))
		return "not a filesystem on a disk";
	if (!root && is_system_path(path))
		return "a directory of the system or of containers";
	return hidden_by(m, later, all);
}

/* Whether one of the options, separated by commas, says so; what ext4 does to itself after an error has a name of its own. */
static bool
has_readonly(struct slice options)
{
	while (options.p < options.end) {
		const char *comma = memchr(options.p, ',', (size_t) (options.end - options.p));
		struct slice one = {options.p, comma ? comma : options.end};
		if (slice_equals(one, "ro") || slice_equals(one, "emergency_ro"))
			return true;
		options.p = comma ? comma + 1 : options.end;
	}
	return false;
}

int
choose_mounts(struct slice text, struct chosen_mount *out, int max)
{
	struct slice all = text;
	struct mount_entry m;
	int n = 0;

	while (n < max && next_mount(&text, &m)) {
		struct chosen_mount *c = &out[n];
		if (mount_refusal(&m, text, all) || !mount_unescape(m.path, c->path, sizeof c->path) ||
			!slice_copy(m.type, c->type, sizeof c->type))
			continue;
		slice_printable(m.source, c->source, sizeof c->source);
		c->readonly = has_readonly(m.options) || has_readonly(m.super_options);
		n++;
	}
	return n;
}

double
fs_used_bytes(const struct fs_numbers *fs)
{
	if (fs->blocks <= 0 || fs->free < 0 || fs->free > fs->blocks || fs->fragment_size <= 0)
		return NAN;
	return (double) (fs->blocks - fs->free) * (double) fs->fragment_size;
}

double
fs_used_percent(const struct fs_numbers *fs)
{
	if (isnan(fs_used_bytes(fs)))
		return NAN;
	/* f_bavail can be "negative" (a huge unsigned number) when root has eaten into its reserve: nothing is available. */
	double used = (double) (fs->blocks - fs->free);
	double available = fs->available > 0 && fs->available <= fs->blocks ? (double) fs->available : 0;

	return used + available > 0 ? ceil(100 * used / (used + available)) : NAN;
}

double
fs_inode_percent(const struct fs_numbers *fs)
{
	if (fs->files <= 0 || fs->files_free < 0 || fs->files_free > fs->files)
		return NAN;
	double used = (double) (fs->files - fs->files_free);
	double available = fs->files_available > 0 ? (double) fs->files_available : 0;

	return used + available > 0 ? 100 * used / (used + available) : NAN;
}

bool
parse_statvfs_line(struct slice text, const char *path, struct fs_numbers *out)
{
	struct slice line, word;
	char name[MOUNT_PATH_MAX];

	while (slice_line(&text, &line)) {
		struct fs_numbers n;
		if (slice_word(&line, &word) && mount_unescape(word, name, sizeof name) && strcmp(name, path) == 0 &&
			slice_next_i64(&line, &n.fragment_size) && slice_next_i64(&line, &n.blocks) &&
			slice_next_i64(&line, &n.free) && slice_next_i64(&line, &n.available) &&
			slice_next_i64(&line, &n.files) && slice_next_i64(&line, &n.files_free) &&
			slice_next_i64(&line, &n.files_available)) {
			*out = n;
			return true;
		}
	}
	return false;
}
