/*
 * frame.h: one numbered piece of bytes in a file, which says by itself whether it is whole.
 *
 * Belongs here: the head of a frame, its checks, finding the next frame behind damage.
 * Does not belong here: files (collector/spool_segment.h), what the payload means (record.h).
 * NEUTRAL, pure.
 *
 * 24 bytes, little endian, then the payload:
 *   0 magic FE F5   2 version   3 flags   4 length   8 number   16 crc32c of the payload   20 crc32c of bytes 0 to 19
 * The bytes of the magic are in no UTF-8 text, so that no line of a log can look like a frame. The head has a checksum of its own: its
 * length can be trusted where the payload is damaged, so that looking for the next frame costs no more than reading on.
 */
#ifndef OBSERV_CORE_FRAME_H
#define OBSERV_CORE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

#define FRAME_HEAD        24
#define FRAME_PAYLOAD_MAX (4 << 20)
#define FRAME_GOES_ON     0x01 /* the next frame belongs to the same group */

struct frame {
	uint8_t flags;
	uint64_t number;
	struct slice payload; /* points into the bytes that were read */
	size_t size;          /* head and payload */
};

enum frame_found {
	FRAME_WHOLE,
	FRAME_CUT, /* the bytes end before the frame does: `size` says how many it needs (a head when that is not there) */
	FRAME_DAMAGED, /* a head, but not its payload: the next frame is `size` bytes on */
	FRAME_VERSION, /* a frame of another version of this program: `size` bytes */
	FRAME_NONE     /* no frame begins here */
};

/* Writes the head of a frame whose payload lies behind it: FRAME_HEAD bytes at `at`. */
void frame_write_head(char *at, uint8_t flags, uint64_t number, size_t length);

/* Gives a whole frame another number and other flags; its payload is not looked at. */
void frame_rewrite_head(char *at, uint8_t flags, uint64_t number);

/* Head and payload of a whole frame. */
size_t frame_size(const char *at);

/* What begins at the first of these bytes. `out` is set for all but FRAME_NONE; number and payload only for FRAME_WHOLE. */
enum frame_found frame_read(struct slice bytes, struct frame *out);

/* How many bytes to skip to where a frame could begin, at least one; all of them when there is no such place. */
size_t frame_search(struct slice bytes);

#endif
