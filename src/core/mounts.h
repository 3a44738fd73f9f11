/*
 * mounts.h: which mounted filesystems are worth a line, and how full one is, as df says it.
 *
 * Belongs here: the format of /proc/PID/mountinfo, rules about filesystem types and paths, df's arithmetic.
 * Does not belong here: statvfs() itself (collector/helper.c: it can hang).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_MOUNTS_H
#define OBSERV_CORE_MOUNTS_H

#include "core/slice.h"

#define MOUNT_PATH_MAX 512
#define MAX_MOUNTS     64

/* One line of mountinfo; names as they stand there, with blanks and the like written as octal escapes. */
struct mount_entry {
	struct slice device; /* major:minor */
	struct slice root;
	struct slice path;
	struct slice type;
	struct slice source;
	struct slice options, super_options; /* of this mount; of the filesystem */
};

/* Takes the next mount off `text`; false at the end. Lines that are none are passed over. */
bool next_mount(struct slice *text, struct mount_entry *out);

/* Turns \040 \011 \012 \134 and any other octal escape into its byte. False when it does not fit (`dst` is then empty). */
bool mount_unescape(struct slice s, char *dst, size_t size);

/* Whether another machine must answer for what lies on a filesystem of that type: it may hang. */
bool mount_is_network(const char *type);

/*
 * Why a mount is not reported, in a few words; NULL: it is. `later` is what follows it in the file, `all` the whole file.
 * Rules: "/" always; else no pseudo filesystem, no automount point, no container layer, no system directory. Of several mounts
 * on one path the last counts; of several of one device the shortest path.
 */
const char *mount_refusal(const struct mount_entry *m, struct slice later, struct slice all);

struct chosen_mount {
	char path[MOUNT_PATH_MAX]; /* bytes as the kernel has them, maybe no UTF-8 */
	char type[32];
	char source[128]; /* what is mounted, as it is called; cut to size */
	bool readonly;    /* the mount or the filesystem */
};

/* The mounts to report, at most `max`; returns how many. */
int choose_mounts(struct slice text, struct chosen_mount *out, int max);

/* What statvfs() answers; UNKNOWN (-1) throughout when it did not. */
struct fs_numbers {
	int64_t fragment_size, blocks, free, available, files, files_free, files_available;
};

extern const struct fs_numbers fs_unknown;

/*
 * df's "Use%": 100 * used / (used + available), rounded up, root's reserve left out. NAN for a filesystem without
 * blocks. Source: df.c of GNU coreutils.
 */
double fs_used_percent(const struct fs_numbers *fs);

/* Bytes used, NAN when unknown. */
double fs_used_bytes(const struct fs_numbers *fs);

/* Share of inodes in use, NAN for filesystems that have no fixed number of them. */
double fs_inode_percent(const struct fs_numbers *fs);

/*
 * Finds the line of `path` in the text file that stands in for statvfs() under --proc-root:
 *   MOUNTPOINT FRSIZE BLOCKS BFREE BAVAIL FILES FFREE FAVAIL
 * with MOUNTPOINT escaped as in mountinfo. False when there is none.
 */
bool parse_statvfs_line(struct slice text, const char *path, struct fs_numbers *out);

#endif
