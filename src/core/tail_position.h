/*
 * tail_position.h: which file it was, and how far it has been read: what outlives the agent.
 *
 * Belongs here: identity (numbers and hashes of contents), its text, and the rules about names and first bytes of rotated files.
 * Does not belong here: files (collector/tail_*.c), where positions are kept (collector/spool.h).
 * NEUTRAL, pure.
 *
 * Device and inode alone are no identity: an inode is used again at once after a file is deleted, and a file that was
 * truncated in place keeps its own. So a position also has the hash of the file's head, and that of the bytes right before the offset.
 * The hash is FNV-1a, 64 bits (core/hash.h).
 */
#ifndef OBSERV_CORE_TAIL_POSITION_H
#define OBSERV_CORE_TAIL_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

#define TAIL_HEAD_BYTES 1024
#define TAIL_MARK_BYTES 256

/* A stretch of bytes, by length and hash. */
struct tail_print {
	uint32_t len;
	uint64_t hash;
};

struct tail_position {
	uint64_t dev, ino;
	struct tail_print head; /* of the first bytes, at most TAIL_HEAD_BYTES */
	struct tail_print mark; /* of the bytes before `offset`, at most TAIL_MARK_BYTES */
	int64_t offset;         /* what lies before it has been read */
	bool skipping;          /* it lies inside of a line that was too long: on to its end */
	int64_t seen_s;         /* seconds since 1970, clock of the machine: when the file was looked at */
};

struct tail_print tail_print_of(struct slice bytes);

/* Whether the first (or, for a mark: the last) print.len bytes are the ones that were seen. */
bool tail_head_matches(struct tail_print head, struct slice file_head);
bool tail_mark_matches(struct tail_print mark, struct slice before_offset);

/* The mark for a point in a buffer that has what lies before it; at most TAIL_MARK_BYTES, not further back than `start`. */
struct tail_print tail_mark_at(const char *start, const char *point);

/* The name under which a position is kept: device and inode. */
#define TAIL_KEY_BYTES 40
void tail_position_key(const struct tail_position *p, char key[TAIL_KEY_BYTES]);

/*
 * One line of printable text. The path is its last word, %XX for bytes that are not printable. False when it does not fit.
 * Reading it: false for anything else than what was written (`path` may be NULL).
 */
#define TAIL_STATE_BYTES 13000
bool tail_position_write(const struct tail_position *p, const char *path, char *out, size_t size);
bool tail_position_read(const char *text, struct tail_position *out, char *path, size_t path_size);

/*
 * Whether OTHER is what a rotation makes of NAME, both without directory: app.log.1, app.log-20260102, app-20260102.log, app.1.log.
 */
bool tail_is_rotated_name(const char *name, const char *other);

/* Whether the first bytes are those of gzip, zstd, xz, bzip2, lz4 or zip. */
bool tail_is_compressed(struct slice head);

/* Where to cut so that at most `max` bytes remain and no UTF-8 character is torn. */
size_t tail_cut(struct slice line, size_t max);

#endif
