/*
 * proc_files.h: files of /proc, /sys and cgroups for sources: where they are, and reading one whole without waiting.
 *
 * Belongs here: paths under --proc-root, reading. Does not belong here: formats (core), files that may hang (helper_process.h).
 */
#ifndef OBSERV_COLLECTOR_PROC_FILES_H
#define OBSERV_COLLECTOR_PROC_FILES_H

#include "common/strbuf.h"
#include "core/slice.h"

#define PROC_PATH_MAX 512

struct proc_paths {
	char proc[PROC_PATH_MAX], sys[PROC_PATH_MAX]; /* "/proc", "/sys", or what stands in for them */
};

/* `root` NULL: the machine itself; else DIR/proc and DIR/sys when DIR/proc/stat exists, else DIR and DIR/sys. */
void proc_paths(const char *root, struct proc_paths *out);

/* The text of the file NAME in directory `dir` (a descriptor, or AT_FDCWD), in `buffer` until its next use; empty when it can't be read. */
struct slice proc_file(int dir, const char *name, struct strbuf *buffer);

/* The mounts of the machine, as PID 1 sees them; those of this process where that is hidden. */
struct slice proc_mounts(const struct proc_paths *paths, struct strbuf *buffer);

#endif
