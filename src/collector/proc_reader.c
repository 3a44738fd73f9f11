/* proc_reader.c: A table of files and the parsers that they feed. See proc_reader.h for what belongs here. */
#include "collector/proc_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "core/hash.h"

#define FIRST_BUFFER   8192
#define LARGEST_BUFFER (4 * 1024 * 1024)
#define SCAN_PERIOD_MS 60000
#define DIRENTS_BYTES  4096

struct parsing {
	struct proc_reader *reader;
	const struct topology *topology;
	struct snapshot *snapshot;
};

static void
feed_stat(struct parsing *p, struct slice text)
{
	parse_stat(text, &p->snapshot->cpu);
}

static void
feed_meminfo(struct parsing *p, struct slice text)
{
	parse_meminfo(text, &p->snapshot->memory);
}

static void
feed_vmstat(struct parsing *p, struct slice text)
{
	parse_vmstat(text, &p->snapshot->vm);
}

static void
feed_loadavg(struct parsing *p, struct slice text)
{
	parse_loadavg(text, p->snapshot->load);
}

static void
feed_uptime(struct parsing *p, struct slice text)
{
	p->snapshot->uptime_seconds = parse_uptime(text);
}

static void
feed_net_dev(struct parsing *p, struct slice text)
{
	struct slice rest = text;
	struct net_counters c;
	uint64_t names = HASH_SEED;

	while (next_net_dev(&rest, &c)) {
		char name[NIC_NAME_MAX];
		if (slice_copy(c.name, name, sizeof name))
			names = hash_string(names ^ 1, name);
	}
	p->reader->net_names = names;
	snapshot_net_dev(p->snapshot, text, p->topology);
}

static void
feed_diskstats(struct parsing *p, struct slice text)
{
	snapshot_diskstats(p->snapshot, text, p->topology);
}

static void
feed_snmp(struct parsing *p, struct slice text)
{
	parse_snmp(text, &p->snapshot->tcp);
}

static void
feed_pressure_cpu(struct parsing *p, struct slice text)
{
	p->snapshot->pressure_cpu_us = parse_pressure_some(text);
}

static void
feed_pressure_memory(struct parsing *p, struct slice text)
{
	p->snapshot->pressure_memory_us = parse_pressure_some(text);
}

static void
feed_pressure_io(struct parsing *p, struct slice text)
{
	p->snapshot->pressure_io_us = parse_pressure_some(text);
}

static void
feed_file_nr(struct parsing *p, struct slice text)
{
	parse_file_nr(text, &p->snapshot->files);
}

static void
feed_conntrack_count(struct parsing *p, struct slice text)
{
	p->snapshot->conntrack_used = parse_number(text);
}

static const struct {
	const char *name;
	void (*feed)(struct parsing *p, struct slice text);
} files[PROC_FILES] = {
	{"stat", feed_stat},
	{"meminfo", feed_meminfo},
	{"vmstat", feed_vmstat},
	{"loadavg", feed_loadavg},
	{"uptime", feed_uptime},
	{"net/dev", feed_net_dev},
	{"diskstats", feed_diskstats},
	{"net/snmp", feed_snmp},
	{"pressure/cpu", feed_pressure_cpu},
	{"pressure/memory", feed_pressure_memory},
	{"pressure/io", feed_pressure_io},
	{"sys/fs/file-nr", feed_file_nr},
	{"sys/net/netfilter/nf_conntrack_count", feed_conntrack_count},
};

static bool
file_exists(const char *dir, const char *name)
{
	char path[600];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

bool
proc_reader_init(struct proc_reader *r, const char *root)
{
	*r = (struct proc_reader){
		.ticks_per_second = sysconf(_SC_CLK_TCK), .processes = UNKNOWN, .zombies = UNKNOWN};
	r->last_scan_ms = INT64_MIN;
	r->fixture = root != NULL;
	for (int i = 0; i < PROC_FILES; i++)
		r->fd[i] = -1;
	r->size = FIRST_BUFFER;
	r->buffer = malloc(r->size);
	if (!r->buffer)
		return false;
	struct proc_paths paths;
	proc_paths(root, &paths);
	memcpy(r->proc, paths.proc, sizeof r->proc);
	memcpy(r->sys, paths.sys, sizeof r->sys);
	return file_exists(r->proc, "stat");
}

static int
open_file(const struct proc_reader *r, const char *name)
{
	char path[1100];

	snprintf(path, sizeof path, "%s/%s", r->proc, name);
	/* Without waiting: in a fixture anything may stand here. */
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/*
 * The whole file in one pread(): what the kernel makes up on the fly would tear between two. When the buffer is full the
 * file may be longer, so it is read again into a larger one.
 */
static struct slice
read_whole(struct proc_reader *r, int fd)
{
	for (;;) {
		ssize_t got = pread(fd, r->buffer, r->size, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return (struct slice){r->buffer, r->buffer};
		if ((size_t) got < r->size || r->size >= LARGEST_BUFFER)
			return (struct slice){r->buffer, r->buffer + got};
		char *larger = realloc(r->buffer, r->size * 2);
		if (!larger)
			return (struct slice){r->buffer, r->buffer + got};
		r->buffer = larger;
		r->size *= 2;
	}
}

struct slice
proc_reader_text(struct proc_reader *r, const char *name)
{
	int fd = open_file(r, name);
	struct slice text = {r->buffer, r->buffer};

	if (fd >= 0) {
		text = read_whole(r, fd);
		close(fd);
	}
	return text;
}

static bool
is_number(const char *s)
{
	int64_t n;

	return slice_to_i64(slice_of(s), &n);
}

/* Counts processes by their directories, zombies by their state. Processes that end meanwhile are no error. */
static void
scan_processes(struct proc_reader *r)
{
	char entries[DIRENTS_BYTES];
	int64_t processes = 0, zombies = 0;
	int dir = open(r->proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t got;

	r->processes = r->zombies = UNKNOWN;
	if (dir < 0)
		return;
	while ((got = getdents64(dir, entries, sizeof entries)) > 0)
		for (ssize_t at = 0; at < got;) {
			const struct dirent64 *e = (const struct dirent64 *) (entries + at);
			char path[300];
			at += e->d_reclen;
			if (!is_number(e->d_name))
				continue;
			snprintf(path, sizeof path, "%s/stat", e->d_name);
			int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
			if (fd < 0)
				continue;
			char state = parse_pid_state(read_whole(r, fd));
			close(fd);
			processes += state != 0;
			zombies += state == 'Z';
		}
	close(dir);
	if (processes > 0) {
		r->processes = processes;
		r->zombies = zombies;
	}
}

void
proc_reader_read(struct proc_reader *r, const struct topology *t, struct snapshot *s)
{
	struct parsing p = {r, t, s};
	bool slow_round;

	snapshot_clear(s);
	s->ticks_per_second = r->ticks_per_second;
	s->monotonic_us = clock_us(CLOCK_MONOTONIC);
	s->boottime_us = clock_us(CLOCK_BOOTTIME);
	/* Files that were not there may appear (a module is loaded): they are looked for when processes are counted. */
	slow_round = r->last_scan_ms == INT64_MIN || s->monotonic_us / 1000 - r->last_scan_ms >= SCAN_PERIOD_MS;
	for (int i = 0; i < PROC_FILES; i++) {
		if (r->fixture && r->fd[i] >= 0) {
			close(r->fd[i]);
			r->fd[i] = -1;
		}
		if (r->fd[i] < 0 && (slow_round || r->fixture))
			r->fd[i] = open_file(r, files[i].name);
		if (r->fd[i] >= 0)
			files[i].feed(&p, read_whole(r, r->fd[i]));
	}
	if (s->conntrack_used != UNKNOWN)
		s->conntrack_limit = parse_number(proc_reader_text(r, "sys/net/netfilter/nf_conntrack_max"));
	if (slow_round) {
		scan_processes(r);
		r->last_scan_ms = s->monotonic_us / 1000;
	}
	s->processes = r->processes;
	s->zombies = r->zombies;
}
