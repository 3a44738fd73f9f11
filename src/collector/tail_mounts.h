/*
 * tail_mounts.h: which paths lead to a filesystem that may hang: known without touching it.
 */
#ifndef OBSERV_COLLECTOR_TAIL_MOUNTS_H
#define OBSERV_COLLECTOR_TAIL_MOUNTS_H

#include <stdbool.h>

struct tail_mounts {
	char **path; /* mount points of network filesystems, automounts and programs (FUSE) */
	int count;
};

/* Reads the list of mounts anew; `proc_root` as in helper_start(). */
void tail_mounts_read(struct tail_mounts *m, const char *proc_root);
void tail_mounts_free(struct tail_mounts *m);

/*
 * Follows the path, link by link, as far as it is on filesystems of this machine: true when it leads off them. What follows the first
 * *, ? or [ is not looked at.
 */
bool tail_mounts_may_hang(const struct tail_mounts *m, const char *path);

#endif
