/*
 * spool_parts.h: the inside of the spool, for its files (spool*.c) alone.
 */
#ifndef OBSERV_COLLECTOR_SPOOL_PARTS_H
#define OBSERV_COLLECTOR_SPOOL_PARTS_H

#include <limits.h>

#include "collector/log.h"
#include "collector/spool.h"
#include "collector/spool_positions.h"
#include "collector/spool_segment.h"

#define GROUP_BYTES_MAX (4 << 20)
#define MEMORY_BYTES    (1 << 20)   /* of the spool where the disk can't be written */
#define BIG_BYTES       (256 << 10) /* delivered segments of this size are replaced */

/* A place in the spool: the frame behind record `number`. */
struct cursor {
	int64_t base, number, offset;
};

/* What was given up since the last event that says so. */
struct loss {
	int64_t records[RANKS];
	int64_t thinned, damaged;
	int64_t from_us, to_us;
};

struct spool {
	char dir[PATH_MAX];
	int dir_fd; /* -1: the directory can't be opened */
	int fd;     /* of the last segment; -1: not open */
	int64_t max_bytes;

	struct segment *segment; /* oldest first; the last is appended to */
	int count, allocated;
	int64_t disk_bytes, memory_bytes;

	int64_t next, acked;
	int64_t found_last, first_new; /* last number that was there at the start; first that was given since */
	bool is_new;

	/* The group that is being put. */
	struct buffer group;
	size_t group_bytes;
	bool group_failed;

	struct buffer reading;
	struct cursor cursor[2]; /* behind what was read last, behind what was acknowledged */

	struct positions positions;
	bool positions_dirty;

	struct buffer newest; /* payload of the newest RECORD_METRICS */
	size_t newest_bytes;
	int64_t newest_number;

	int64_t urgent_ms;
	int64_t sync_ms, retry_ms, loss_ms; /* when due; NEVER */
	bool directory_dirty;

	bool in_memory;
	struct problem problem;
	char problem_text[160];

	struct loss loss;
	int64_t dropped[RANKS], thinned, damaged;
};

/* --- spool.c */
/* Adds an empty segment behind the others; NULL: no memory. */
struct segment *spool_new_segment(struct spool *s, int64_t base);
/* Takes segments off the list (not off the disk). */
void spool_forget_segments(struct spool *s, int first, int n);
/* What follows from a record that is in the spool now. */
void spool_note(struct spool *s, struct segment *seg, const struct frame *frame);

/* --- spool_disk.c: writing, syncing, and what happens when that fails */
/* Puts the group into the last segment, or into memory. False: no memory. */
bool spool_store(struct spool *s);
/* Says a trouble of the disk; the spool goes on in memory. */
void spool_disk_failed(struct spool *s, const char *doing, int error);
/* Ends the last segment: synced and closed. */
void spool_end_segment(struct spool *s);
bool spool_sync(struct spool *s);
/* Removes what has been delivered. */
void spool_remove_delivered(struct spool *s);
/* Writes what is in memory to disk. */
void spool_back_to_disk(struct spool *s, int64_t now_ms);

/* --- spool_recover.c */
void spool_recover(struct spool *s);

#endif
