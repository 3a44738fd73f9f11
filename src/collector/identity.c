/* identity.c: The identity and its file. See identity.h for what belongs here. */
#include "collector/identity.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/log.h"
#include "collector/state_dir.h"
#include "core/hash.h"

#define LOCK_TRIES    5
#define LOCK_PAUSE_MS 20

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

/* /etc/machine-id as a number; the id itself is not for showing around (machine-id(5)). 0: there is none. */
static uint64_t
machine_hash(uint64_t seed)
{
	char machine[64] = "";
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, machine, sizeof machine - 1) < 0)
			machine[0] = '\0';
		close(fd);
	}
	return machine[0] ? hash_string(seed, machine) : 0;
}

static void
derive(const char *vps_name, const char *app_name, char id[AGENT_ID_SIZE])
{
	uint64_t half[2];

	for (uint64_t i = 0; i < 2; i++) {
		/* The 1 and the 2 keep "ab" + "c" apart from "a" + "bc". */
		uint64_t machine = machine_hash(HASH_SEED + i);
		half[i] = hash_string(hash_string(machine ^ 1, vps_name) ^ 2, app_name);
	}
	format_uuid((unsigned char *) half, 8, id);
}

/*
 * The identity in the open file: a line with the UUID, one with the hash of the machine-id that it was made on. Another machine-id
 * means that the file was copied: two agents must not go by one identity, so this one takes a new one.
 */
static bool
read_identity(int fd, const char *path, const char *machine, char id[AGENT_ID_SIZE])
{
	char text[128] = "";

	if (pread(fd, text, sizeof text - 1, 0) < AGENT_ID_SIZE - 1 || !is_uuid(text))
		return false;
	snprintf(id, AGENT_ID_SIZE, "%.*s", AGENT_ID_SIZE - 1, text);
	const char *made_on = text[AGENT_ID_SIZE - 1] == '\n' ? text + AGENT_ID_SIZE : "";
	if (strncmp(made_on, "machine ", 8) != 0 || machine[0] == '\0' ||
		strncmp(made_on + 8, machine, strlen(machine)) == 0)
		return true;
	log_line(LOG_LEVEL_WARNING,
			 "%s was made on another machine (this one is a clone?): the agent takes a new identity", path);
	return false;
}

/* The identity in the open file, or a new one written there. False when it could not be written. */
static bool
read_or_make(int fd, const char *path, char id[AGENT_ID_SIZE])
{
	unsigned char bytes[16];
	char text[128], machine[20] = "";
	uint64_t hash = machine_hash(HASH_SEED);

	if (hash)
		snprintf(machine, sizeof machine, "%016llx", (unsigned long long) hash);
	bool known = read_identity(fd, path, machine, id);
	if (!known) {
		if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
			return false;
		format_uuid(bytes, 4, id);
	}
	int len = machine[0] ? snprintf(text, sizeof text, "%s\nmachine %s\n", id, machine)
						 : snprintf(text, sizeof text, "%s\n", id);
	struct stat now;
	if (known && (!machine[0] || (fstat(fd, &now) == 0 && now.st_size == len)))
		return true;
	return (pwrite(fd, text, (size_t) len, 0) == len && ftruncate(fd, len) == 0 && fsync(fd) == 0) || known;
}

/* Locks the file, or another agent has. `obs-agent status` holds the lock for a moment to see whether one runs: hence the tries. */
static bool
is_locked(int fd)
{
	int tries = 0;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		if (++tries == LOCK_TRIES)
			return true;
		else
			poll(NULL, 0, LOCK_PAUSE_MS);
	return false;
}

bool
identity_load(const struct options *o, char id[AGENT_ID_SIZE])
{
	char path[STATE_PATH_MAX];

	state_dir_make(o);
	state_dir_file(o, "agent_id", path, sizeof path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && is_locked(fd)) {
		log_line(LOG_LEVEL_ERROR, "another obs-agent is running with this identity: %s is locked", path);
		close(fd);
		return false;
	}
	if (fd >= 0 && read_or_make(fd, path, id))
		return true; /* stays open: it is the lock */
	derive(o->vps_name, o->app_name, id);
	log_line(LOG_LEVEL_INFO,
			 "%s cannot be written (%s): the identity follows from machine-id and names instead", path,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
	return true;
}
