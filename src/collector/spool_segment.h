/*
 * spool_segment.h: one segment of the spool: frames in a file named after the number of its first record, or in memory.
 *
 * Belongs here: making, reading, appending to, replacing and removing one segment; what is known of it.
 * Does not belong here: which segments there are and what may go (spool_parts.h).
 */
#ifndef OBSERV_COLLECTOR_SPOOL_SEGMENT_H
#define OBSERV_COLLECTOR_SPOOL_SEGMENT_H

#include "core/frame.h"
#include "core/record.h"

#define SEGMENT_BYTES     (1 << 20) /* a group that is larger has a segment of its own */
#define SEGMENT_NAME_SIZE 32

/* Frames hold numbers relative to `base`, so that a segment is renumbered by giving it another name. */
struct segment {
	int64_t base;
	int64_t last; /* the highest number in it; base - 1: none */
	int64_t size;
	int32_t records[RANKS], bytes[RANKS];
	char *memory; /* not NULL: it is here and not on disk */
	size_t allocated;
	int64_t damage_seen;          /* damage before this offset has been counted */
	bool positions;               /* it holds a RECORD_POSITION */
	bool thinned, only_positions; /* nothing more to take out at that level */
};

/* Memory that grows and is kept for the next time when it is small. */
struct buffer {
	char *p;
	size_t size;
};

bool buffer_reserve(struct buffer *b, size_t size);
void buffer_trim(struct buffer *b);

void segment_name(int64_t base, char name[SEGMENT_NAME_SIZE]);
/* False when the name is not that of a segment. */
bool segment_base(const char *name, int64_t *base);

/* Counts a record of that kind, rank and frame size. */
void segment_count(struct segment *seg, const struct frame *frame);

/* Opens the segment's file for reading and writing, new when `create`; -1 and errno. */
int segment_open(int dir_fd, int64_t base, bool create);

/* Whole write at an offset; false and errno. */
bool write_at(int fd, const char *bytes, size_t size, int64_t offset);

/* Frames of a segment, in order. Damage is passed over and counted. */
struct segment_reader {
	struct segment *seg;
	struct buffer *buffer;
	int fd;
	char *bytes; /* of the file, from `offset` on */
	int64_t offset;
	size_t length, at;
	int64_t previous;     /* number of the frame before */
	int64_t frame_offset; /* of the frame that was read last */
	int64_t damaged;      /* that had not been counted before */
	bool in_damage, other_version;
	int error;
};

/* From an offset at which a frame begins, behind number `previous`. False (`error`) when the file can't be opened. */
bool reader_open(struct segment_reader *r, int dir_fd, struct segment *seg, struct buffer *buffer,
				 int64_t offset, int64_t previous);
/* The next frame with a number above the previous one, its number as the database will know it. Points into memory that holds until the next call. */
bool reader_next(struct segment_reader *r, struct frame *frame);
/* The frame that was read last is whole, but nothing that this program can use: damage. */
void reader_reject(struct segment_reader *r);
void reader_close(struct segment_reader *r);

#endif
