/*
 * spool_positions.h: how far log files have been read: file -> state, in memory and in a file of its own.
 *
 * Belongs here: the map, and the file `positions` (frames of RECORD_POSITION, ended by an empty one).
 * Does not belong here: what a state means (the tailer), when the file has to be written (spool.c).
 */
#ifndef OBSERV_COLLECTOR_SPOOL_POSITIONS_H
#define OBSERV_COLLECTOR_SPOOL_POSITIONS_H

#include "collector/spool_segment.h"

#define POSITIONS_MAX  4096 /* files; the one that was heard of longest ago is forgotten */
#define POSITIONS_FILE "positions"

struct position {
	uint64_t hash;
	char *file;
	char *state;    /* NULL: forgotten, only `safe` is left */
	int64_t number; /* of the record that says so */
	/* While what says so is in memory only: what the file may say instead; NULL: nothing. */
	char *safe;
	int64_t safe_number;
	bool in_memory;
};

struct positions {
	struct position *entry;
	int count, allocated;
};

void positions_free(struct positions *p);

/* What a record says; older than what is known: nothing happens. `in_memory`: the record is not on disk. False: no memory. */
bool positions_set(struct positions *p, struct slice file, struct slice state, int64_t number,
				   bool in_memory);
const struct position *positions_find(const struct positions *p, struct slice file);

/* What was in memory is on disk now, or delivered. */
void positions_safe(struct positions *p);

/* Numbers from `first` on grow by `more`. */
void positions_renumber(struct positions *p, int64_t first, int64_t more);

/* Writes the file: temporary file, fsync, rename, fsync of the directory. False and errno. */
bool positions_save(const struct positions *p, int dir_fd);

/* Reads the file. False when it is there but damaged: what could be read is known. */
bool positions_load(struct positions *p, int dir_fd, struct buffer *buffer);

#endif
