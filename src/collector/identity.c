/* identity.c: The identity and its file. See identity.h for what belongs here. */
#include "collector/identity.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "collector/log.h"
#include "collector/state_dir.h"
#include "core/hash.h"

/* RFC 9562: version 4 is random, version 8 is anything of one's own. */
static void
format_uuid(unsigned char bytes[16], int version, char id[AGENT_ID_SIZE])
{
	bytes[6] = (unsigned char) ((bytes[6] & 0x0f) | version << 4);
	bytes[8] = (unsigned char) ((bytes[8] & 0x3f) | 0x80);
	for (int i = 0, at = 0; i < 16; i++)
		at += snprintf(id + at, (size_t) (AGENT_ID_SIZE - at),
					   i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", bytes[i]);
}

static bool
is_uuid(const char *id)
{
	for (int i = 0; i < AGENT_ID_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? id[i] != '-' : !isxdigit((unsigned char) id[i]))
			return false;
	}
	return true;
}

static void
derive(const char *vps_name, const char *app_name, char id[AGENT_ID_SIZE])
{
	char machine[64] = "";
	uint64_t half[2];
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, machine, sizeof machine - 1) < 0)
			machine[0] = '\0';
		close(fd);
	}
	for (uint64_t i = 0; i < 2; i++) {
		/* The 1 and the 2 keep "ab" + "c" apart from "a" + "bc". */
		half[i] = hash_string(hash_string(hash_string(HASH_SEED + i, machine) ^ 1, vps_name) ^ 2, app_name);
	}
	format_uuid((unsigned char *) half, 8, id);
}

/* The identity in the open file, or a new one written there. False when it could not be written. */
static bool
read_or_make(int fd, char id[AGENT_ID_SIZE])
{
	unsigned char bytes[16];
	char text[AGENT_ID_SIZE + 1];

	if (pread(fd, id, AGENT_ID_SIZE - 1, 0) == AGENT_ID_SIZE - 1 && is_uuid(id)) {
		id[AGENT_ID_SIZE - 1] = '\0';
		return true;
	}
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return false;
	format_uuid(bytes, 4, id);
	int len = snprintf(text, sizeof text, "%s\n", id);
	return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t) len, 0) == len && fsync(fd) == 0;
}

bool
identity_load(const struct options *o, char id[AGENT_ID_SIZE])
{
	char path[STATE_PATH_MAX];

	state_dir_make(o);
	state_dir_file(o, "agent_id", path, sizeof path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		log_line(LOG_LEVEL_ERROR, "another obs-agent is running with this identity: %s is locked", path);
		close(fd);
		return false;
	}
	if (fd >= 0 && read_or_make(fd, id))
		return true; /* stays open: it is the lock */
	derive(o->vps_name, o->app_name, id);
	log_line(LOG_LEVEL_INFO,
			 "%s cannot be written (%s): the identity follows from machine-id and names instead", path,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
	return true;
}
