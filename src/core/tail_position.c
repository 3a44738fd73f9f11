/* tail_position.c: Hashes of stretches, one line of text, names. See tail_position.h for what belongs here. */
#include "core/tail_position.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

#define VERSION "1"

struct tail_print
tail_print_of(struct slice bytes)
{
	size_t len = (size_t) (bytes.end - bytes.p);

	return (struct tail_print){(uint32_t) len, hash_span(HASH_SEED, bytes.p, len)};
}

bool
tail_head_matches(struct tail_print head, struct slice file_head)
{
	return head.len == 0 ||
		   ((size_t) (file_head.end - file_head.p) >= head.len &&
			tail_print_of((struct slice){file_head.p, file_head.p + head.len}).hash == head.hash);
}

bool
tail_mark_matches(struct tail_print mark, struct slice before_offset)
{
	return mark.len == 0 ||
		   ((size_t) (before_offset.end - before_offset.p) >= mark.len &&
			tail_print_of((struct slice){before_offset.end - mark.len, before_offset.end}).hash == mark.hash);
}

struct tail_print
tail_mark_at(const char *start, const char *point)
{
	return tail_print_of(
		(struct slice){point - start > TAIL_MARK_BYTES ? point - TAIL_MARK_BYTES : start, point});
}

void
tail_position_key(const struct tail_position *p, char key[TAIL_KEY_BYTES])
{
	snprintf(key, TAIL_KEY_BYTES, "%" PRIx64 ":%" PRIu64, p->dev, p->ino);
}

static bool
write_path(const char *path, char *out, size_t size)
{
	bool printable = slice_is_printable(slice_of(path));
	char *at = out, *end = out + size;

	for (; *path; path++) {
		unsigned char c = (unsigned char) *path;
		bool plain = c > ' ' && c != 0x7f && c != '%' && (c < 0x80 || printable);
		if (end - at < 4)
			return false;
		at += snprintf(at, (size_t) (end - at), plain ? "%c" : "%%%02x", c);
	}
	*at = '\0';
	return true;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_path(const char *text, char *out, size_t size)
{
	for (; *text; text++) {
		int high, low;
		if (size < 2)
			return false;
		size--;
		if (*text != '%') {
			*out++ = *text;
			continue;
		}
		if ((high = hex_digit(text[1])) < 0 || (low = hex_digit(text[2])) < 0)
			return false;
		*out++ = (char) (high << 4 | low);
		text += 2;
	}
	*out = '\0';
	return true;
}

bool
tail_position_write(const struct tail_position *p, const char *path, char *out, size_t size)
{
	int len =
		snprintf(out, size,
				 VERSION " %" PRIx64 ":%" PRIu64 " %" PRId64 " %u:%" PRIx64 " %u:%" PRIx64 " %c %" PRId64 " ",
				 p->dev, p->ino, p->offset, p->head.len, p->head.hash, p->mark.len, p->mark.hash,
				 p->skipping ? 's' : '-', p->seen_s);

	return len > 0 && (size_t) len < size && write_path(path, out + len, size - (size_t) len);
}

bool
tail_position_read(const char *text, struct tail_position *out, char *path, size_t path_size)
{
	char version[8] = "", flag = 0;
	int path_at = 0;

	*out = (struct tail_position){0};
	if (sscanf(text,
			   "%7[0-9] %16" SCNx64 ":%20" SCNu64 " %19" SCNd64 " %4" SCNu32 ":%16" SCNx64 " %3" SCNu32
			   ":%16" SCNx64 " %c %19" SCNd64 " %n",
			   version, &out->dev, &out->ino, &out->offset, &out->head.len, &out->head.hash, &out->mark.len,
			   &out->mark.hash, &flag, &out->seen_s, &path_at) != 10 ||
		path_at == 0 || strcmp(version, VERSION) != 0)
		return false;
	out->skipping = flag == 's';
	if (out->offset < 0 || out->head.len > TAIL_HEAD_BYTES || out->mark.len > TAIL_MARK_BYTES ||
		out->mark.len > out->offset || (flag != 's' && flag != '-') || text[path_at] == '\0')
		return false;
	return !path || read_path(text + path_at, path, path_size);
}

static bool
has_digit(const char *from, const char *to)
{
	for (; from < to; from++)
		if (*from >= '0' && *from <= '9')
			return true;
	return false;
}

bool
tail_is_rotated_name(const char *name, const char *other)
{
	size_t len = strlen(name), other_len = strlen(other);
	const char *dot = strrchr(name, '.');
	size_t stem = dot && dot > name ? (size_t) (dot - name) : len, extension = len - stem;

	if (other_len > len && strncmp(name, other, len) == 0)
		return strchr(".-_~", other[len]) != NULL;
	/* app-20260102.log, app.1.log */
	return other_len > len && strncmp(name, other, stem) == 0 && strchr(".-_", other[stem]) != NULL &&
		   memcmp(other + other_len - extension, name + stem, extension) == 0 &&
		   has_digit(other + stem, other + other_len - extension);
}

bool
tail_is_compressed(struct slice head)
{
	static const struct {
		const char *bytes;
		size_t len;
	} magic[] = {
		{"\x1f\x8b", 2},         /* gzip, RFC 1952 */
		{"\x28\xb5\x2f\xfd", 4}, /* zstd, RFC 8878 */
		{"\xfd"
		 "7zXZ\0",
		 6},                     /* xz */
		{"BZh", 3},              /* bzip2, followed by its level */
		{"\x04\x22\x4d\x18", 4}, /* lz4 frame */
		{"PK\x03\x04", 4},       /* zip */
	};
	size_t len = (size_t) (head.end - head.p);

	for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
		if (len >= magic[i].len && memcmp(head.p, magic[i].bytes, magic[i].len) == 0)
			return magic[i].bytes[0] != 'B' || (len >= 4 && head.p[3] >= '1' && head.p[3] <= '9');
	return false;
}

size_t
tail_cut(struct slice line, size_t max)
{
	size_t len = (size_t) (line.end - line.p), cut = max;

	if (len <= max)
		return len;
	/* Back over continuation bytes, but no further than a character is long: what is no UTF-8 is cut anywhere. */
	while (cut > 0 && max - cut < 3 && ((unsigned char) line.p[cut] & 0xc0) == 0x80)
		cut--;
	return ((unsigned char) line.p[cut] & 0xc0) == 0x80 ? max : cut;
}
