/*
 * spool_parts.h: the inside of the spool, for its files (spool*.c) alone.
 */
#ifndef OBSERV_COLLECTOR_SPOOL_PARTS_H
#define OBSERV_COLLECTOR_SPOOL_PARTS_H

#include <limits.h>

#include "collector/log.h"
#include "collector/spool.h"
#include "collector/spool_loss.h"
#include "collector/spool_positions.h"
#include "collector/spool_segment.h"

#define SYNC_MS              5000
#define GROUP_BYTES_MAX      (4 << 20)
#define MEMORY_BYTES         (1 << 20) /* of the spool where the disk can't be written */
#define MEMORY_SEGMENT_BYTES (64 << 10)
#define BIG_BYTES            (256 << 10) /* delivered segments of this size are replaced */

/* A place in the spool: the frame behind record `number`. */
struct cursor {
	int64_t base, number, offset;
};

struct spool {
	char dir[PATH_MAX];
	int dir_fd; /* -1: the directory can't be opened */
	int fd;     /* of the last segment; -1: not open */
	int64_t max_bytes, segment_bytes;
	bool low_disk; /* too little of it is free: the spool does not grow */
	int64_t low_limit;

	struct segment *segment; /* oldest first; the last is appended to */
	int count, allocated;
	int64_t disk_bytes, memory_bytes;

	int64_t next, acked;
	int64_t told;                  /* the highest number of which the database has said that it is there */
	int64_t found_last, first_new; /* last number that was there at the start; first that was given since */
	bool is_new;

	/* The group that is being put. */
	struct buffer group;
	size_t group_bytes;
	bool group_failed, group_has_position;
	enum record_rank group_rank; /* the highest, but for positions */
	struct loss group_loss;      /* what is lost when it is refused */

	struct buffer reading;
	struct cursor cursor[2]; /* behind what was read last, behind what was acknowledged */

	struct positions positions;
	bool positions_dirty;   /* they are to be written with the next sync */
	bool positions_unsaved; /* segments went although they could not be written */
	bool
		uncertain; /* the end may be missing, or positions are: they are not believed before the database has spoken */
	bool found_uncertain; /* so it was when the spool was opened */
	struct problem positions_problem, sync_problem;

	struct buffer newest; /* payload of the newest RECORD_METRICS */
	size_t newest_bytes;
	int64_t newest_number;

	int64_t urgent_ms;
	int64_t sync_ms, retry_ms, loss_ms, remove_ms; /* when due; NEVER */
	int64_t saved_ms;                              /* when the positions were written last */
	bool directory_dirty;

	bool in_memory;
	struct problem problem;
	char problem_text[160];

	/* What was given up: not said yet; of what is on its way to the database; ever. */
	struct loss loss, in_flight, ever;
	int64_t in_flight_to;     /* highest number of those on their way */
	int64_t handed;           /* the highest number that spool_read() gave */
	int64_t thin_minute;      /* the last minute of which a row was left */
	int64_t said_us, said_ms; /* when the last event about it was put */
	struct problem low_problem;
};

/* --- spool.c */
/* Adds an empty segment behind the others; NULL: no memory. */
struct segment *spool_new_segment(struct spool *s, int64_t base);
/* Takes segments off the list (not off the disk). */
void spool_forget_segments(struct spool *s, int first, int n);
/* What follows from a record that is in the spool now. */
void spool_note(struct spool *s, struct segment *seg, const struct frame *frame);

/* --- spool_disk.c: writing, syncing, and what happens when that fails */
/* Puts the group, whose highest rank is that one, into the last segment, or into memory. False: no room. */
bool spool_store(struct spool *s, enum record_rank rank);
/* Says a trouble of the disk; the spool goes on in memory. */
void spool_disk_failed(struct spool *s, const char *doing, int error);
/* Ends the last segment: synced and closed. */
void spool_end_segment(struct spool *s);
void spool_sync(struct spool *s);
bool spool_remove_file(struct spool *s, const struct segment *seg);
/* Numbers of a segment grow by `more`. False: they can't (said). */
bool spool_move_segment(struct spool *s, struct segment *seg, int64_t more);
/* Looks how much of the disk is free. */
void spool_look_at_disk(struct spool *s);
/* Removes what has been delivered: at once, or a little later where that costs the disk less. */
void spool_remove_delivered(struct spool *s, int64_t now_ms);
/* Writes what is in memory to disk. */
void spool_back_to_disk(struct spool *s, int64_t now_ms);

/* --- spool_running.c: whether the next start may believe what it finds */
/* Looks how the spool ended before, and says that it is in use. */
void spool_begin_running(struct spool *s);
/* From now on something is not on disk that the database may get. False and errno. */
bool spool_is_unsafe(struct spool *s);
/* All of it is. */
void spool_is_safe(struct spool *s);
void spool_end_running(struct spool *s);

/* --- spool_evict.c */
/* The bytes that segments may have, on disk or, where the spool is in memory, there. */
int64_t spool_limit(const struct spool *s);
/* Makes room for a group whose highest rank is that one: nothing above it goes. False: there is no room. */
bool spool_make_room(struct spool *s, int64_t bytes, enum record_rank rank);

/* --- spool_sieve.c: what of a segment goes, level by level */
enum spool_level {
	SPOOL_THIN,
	SPOOL_DROP_METRICS,
	SPOOL_DROP_LOW,
	SPOOL_DROP_WARNING,
	SPOOL_DROP_KEEP,
	SPOOL_LEVELS
};
extern const enum record_rank spool_level_rank[SPOOL_LEVELS];

struct sifted {
	struct loss lost, in_flight, damaged;
	int64_t in_flight_to; /* highest number of those */
};

/* Takes out of a segment, all of which is at seg->memory, what goes at that level. False: no memory, nothing is changed. */
bool spool_sift(struct spool *s, struct segment *seg, enum spool_level level, struct sifted *out);

/* --- spool_gap.c: saying what was lost */
/* Counts what is lost for good. */
void spool_lose(struct spool *s, const struct loss *l);
void spool_lose_segment(struct spool *s, const struct segment *seg, enum loss_reason reason);
/* Puts the event when it is due. */
void spool_say_loss(struct spool *s, int64_t now_ms);

/* --- spool_recover.c */
/* Opens the directory and finds what is there; goes on in memory where that fails. */
void spool_recover(struct spool *s);
/* The same for a spool that began in memory. False and errno: still not. */
bool spool_recover_late(struct spool *s);

#endif
