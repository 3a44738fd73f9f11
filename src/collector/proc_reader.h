/*
 * proc_reader.h: the files under /proc, opened once and read in one call each.
 *
 * Belongs here: which file feeds which part of a snapshot, descriptors, the scan of processes.
 * Does not belong here: formats and formulas (core), sysfs and statvfs() (helper.h).
 */
#ifndef OBSERV_COLLECTOR_PROC_READER_H
#define OBSERV_COLLECTOR_PROC_READER_H

#include "collector/proc_files.h"
#include "core/rates.h"

#define PROC_FILES 13

struct proc_reader {
	char proc[PROC_PATH_MAX]; /* "/proc", or what stands in for it */
	char sys[PROC_PATH_MAX];
	bool fixture; /* files may be replaced between two readings: they are opened anew each time */
	int fd[PROC_FILES];
	char *buffer;
	size_t size;
	int64_t ticks_per_second;
	int64_t last_scan_ms; /* of processes */
	int64_t processes, zombies;
	uint64_t net_names; /* hash of the interface names seen last: a change calls for a new topology */
};

/*
 * `root` as in proc_paths(). False when there is no /proc with a file stat.
 */
bool proc_reader_init(struct proc_reader *r, const char *root);

/* Reads everything. Files that are not there leave their part of the snapshot unknown. */
void proc_reader_read(struct proc_reader *r, const struct topology *t, struct snapshot *s);

/* The text of one more file, valid until the next reading; empty when it can't be read. */
struct slice proc_reader_text(struct proc_reader *r, const char *name);

#endif
