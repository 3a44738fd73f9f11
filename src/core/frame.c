/* frame.c: Frames: write, read, search. See frame.h for what belongs here. */
#include "core/frame.h"

#include <string.h>

#include "core/crc32c.h"
#include "core/little_endian.h"

#define MAGIC_0   0xfe
#define MAGIC_1   0xf5
#define VERSION   1
#define AT_FLAGS  3
#define AT_LENGTH 4
#define AT_NUMBER 8
#define AT_BODY   16
#define AT_HEAD   20

void
frame_write_head(char *at, uint8_t flags, uint64_t number, size_t length)
{
	put_number(at, MAGIC_0 | MAGIC_1 << 8 | VERSION << 16, 3);
	put_number(at + AT_LENGTH, length, 4);
	put_number(at + AT_BODY, crc32c(0, at + FRAME_HEAD, length), 4);
	frame_rewrite_head(at, flags, number);
}

void
frame_rewrite_head(char *at, uint8_t flags, uint64_t number)
{
	put_number(at + AT_FLAGS, flags, 1);
	put_number(at + AT_NUMBER, number, 8);
	put_number(at + AT_HEAD, crc32c(0, at, AT_HEAD), 4);
}

size_t
frame_size(const char *at)
{
	return FRAME_HEAD + get_number(at + AT_LENGTH, 4);
}

/* Whether the magic, or as much of it as there is, is at this place. */
static bool
magic_begins(const char *at, const char *end)
{
	return at == end ||
		   ((unsigned char) at[0] == MAGIC_0 && (at + 1 == end || (unsigned char) at[1] == MAGIC_1));
}

enum frame_found
frame_read(struct slice bytes, struct frame *out)
{
	const char *at = bytes.p;
	size_t there = (size_t) (bytes.end - bytes.p);

	if (!magic_begins(at, bytes.end))
		return FRAME_NONE;
	out->size = FRAME_HEAD;
	if (there < FRAME_HEAD)
		return FRAME_CUT;
	uint64_t length = get_number(at + AT_LENGTH, 4);
	if (length > FRAME_PAYLOAD_MAX || get_number(at + AT_HEAD, 4) != crc32c(0, at, AT_HEAD))
		return FRAME_NONE;
	out->size = FRAME_HEAD + length;
	if ((unsigned char) at[2] != VERSION)
		return FRAME_VERSION;
	if (there < out->size)
		return FRAME_CUT;
	if (get_number(at + AT_BODY, 4) != crc32c(0, at + FRAME_HEAD, length))
		return FRAME_DAMAGED;
	out->flags = (uint8_t) at[AT_FLAGS];
	out->number = get_number(at + AT_NUMBER, 8);
	out->payload = (struct slice){at + FRAME_HEAD, at + out->size};
	return FRAME_WHOLE;
}

size_t
frame_search(struct slice bytes)
{
	const char *at = bytes.p + 1;

	while (at < bytes.end && (at = memchr(at, MAGIC_0, (size_t) (bytes.end - at))) != NULL) {
		if (magic_begins(at, bytes.end))
			return (size_t) (at - bytes.p);
		at++;
	}
	return (size_t) (bytes.end - bytes.p);
}
