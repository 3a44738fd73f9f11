/* cgroup.c: Names and files of control groups. See cgroup.h for what belongs here. */
#include "core/cgroup.h"

#include "core/procfs.h"

#include <math.h>

#define NO_LIMIT (INT64_C(1) << 60) /* version 1 says "none" with the largest multiple of a page */

const struct cgroup_counters cgroup_unknown = {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN,
											   UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN};

const struct cgroup_file_name cgroup_files[CGROUP_FILES] = {
	[CGROUP_CPU_STAT] = {NULL, "cpu.stat"},
	[CGROUP_MEMORY_CURRENT] = {NULL, "memory.current"},
	[CGROUP_MEMORY_STAT] = {NULL, "memory.stat"},
	[CGROUP_MEMORY_MAX] = {NULL, "memory.max"},
	[CGROUP_SWAP_CURRENT] = {NULL, "memory.swap.current"},
	[CGROUP_MEMORY_EVENTS] = {NULL, "memory.events"},
	[CGROUP_IO_STAT] = {NULL, "io.stat"},
	[CGROUP_PIDS_CURRENT] = {NULL, "pids.current"},
	[CGROUP_V1_USAGE] = {"cpuacct", "cpuacct.usage"},
	[CGROUP_V1_CPU_STAT] = {"cpu", "cpu.stat"},
	[CGROUP_V1_MEMORY] = {"memory", "memory.usage_in_bytes"},
	[CGROUP_V1_MEMORY_STAT] = {"memory", "memory.stat"},
	[CGROUP_V1_MEMORY_LIMIT] = {"memory", "memory.limit_in_bytes"},
	[CGROUP_V1_OOM_CONTROL] = {"memory", "memory.oom_control"},
	[CGROUP_V1_IO] = {"blkio", "blkio.throttle.io_service_bytes"},
	[CGROUP_V1_PIDS] = {"pids", "pids.current"},
};

/* ---- names */

/* Takes a suffix off; false when it is not there. */
static bool
cut_suffix(struct slice *s, const char *suffix)
{
	size_t len = strlen(suffix);

	if ((size_t) (s->end - s->p) <= len || memcmp(s->end - len, suffix, len) != 0)
		return false;
	s->end -= len;
	return true;
}

static bool
is_id(struct slice s)
{
	if (s.end - s.p != 64)
		return false;
	for (const char *c = s.p; c < s.end; c++)
		if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f')))
			return false;
	return true;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What systemd writes as \x2d, as its byte. */
static void
unescape(struct slice s, char *dst, size_t size)
{
	size_t used = 0;

	while (s.p < s.end && used + 1 < size) {
		if (s.end - s.p >= 4 && s.p[0] == '\\' && s.p[1] == 'x' && hex_digit(s.p[2]) >= 0 &&
			hex_digit(s.p[3]) >= 0) {
			dst[used++] = (char) (hex_digit(s.p[2]) * 16 + hex_digit(s.p[3]));
			s.p += 4;
		} else
			dst[used++] = *s.p++;
	}
	dst[used] = '\0';
}

static enum cgroup_sort
named(struct slice name, const char *runtime, struct cgroup_name *out)
{
	char raw[CGROUP_NAME_MAX];

	unescape(name, raw, sizeof raw);
	slice_printable(slice_of(raw), out->name, sizeof out->name);
	out->id[0] = '\0';
	out->runtime = runtime;
	return CGROUP_CONTAINER;
}

static enum cgroup_sort
numbered(struct slice id, const char *runtime, struct cgroup_name *out)
{
	slice_printable(id, out->id, sizeof out->id);
	memcpy(out->name, out->id, sizeof out->id);
	out->runtime = runtime;
	return CGROUP_CONTAINER;
}

/* PREFIX<id>.scope, as container managers name what they ask systemd for. */
static enum cgroup_sort
scope(struct slice name, struct cgroup_name *out)
{
	static const struct {
		const char *prefix, *runtime;
	} managers[] = {{"docker-", "docker"},
					{"libpod-", "podman"},
					{"cri-containerd-", "containerd"},
					{"nerdctl-", "containerd"},
					{"crio-", "crio"}};

	for (size_t i = 0; i < sizeof managers / sizeof *managers; i++) {
		struct slice id = {name.p + strlen(managers[i].prefix), name.end};
		if (slice_starts(name, managers[i].prefix) && is_id(id))
			return numbered(id, managers[i].runtime, out);
	}
	if (slice_starts(name, "machine-") && name.end - name.p > 8)
		return named((struct slice){name.p + 8, name.end}, "machine", out);
	return CGROUP_IGNORED;
}

/* Runtime of a group that is named by its id alone, by where it lies (the cgroupfs driver). */
static const char *
runtime_by_path(struct slice above)
{
	static const struct {
		const char *part, *runtime;
	} homes[] = {{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod_parent", "podman"}};

	for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
		size_t len = strlen(homes[i].part);
		for (const char *c = above.p; (size_t) (above.end - c) >= len; c++)
			if ((c == above.p || c[-1] == '/') && memcmp(c, homes[i].part, len) == 0)
				return homes[i].runtime;
	}
	return "container";
}

enum cgroup_sort
cgroup_identify(const char *path, struct cgroup_name *out)
{
	const char *slash = strrchr(path, '/');
	struct slice last = slice_of(slash ? slash + 1 : path), above = {path, slash ? slash : path};

	if (is_id(last))
		return numbered(last, runtime_by_path(above), out);
	if (cut_suffix(&last, ".scope"))
		return scope(last, out);
	if (cut_suffix(&last, ".service")) {
		if (!slice_starts(above, "system.slice"))
			return CGROUP_OTHER; /* user@1000.service: rootless containers are in there */
		last.end += strlen(".service");
		named(last, "systemd", out);
		return CGROUP_SERVICE;
	}
	if (slice_starts(last, "libpod-") && is_id((struct slice){last.p + 7, last.end}))
		return numbered((struct slice){last.p + 7, last.end}, "podman", out);
	if (slice_starts(last, "lxc.payload.") && last.end - last.p > 12)
		return named((struct slice){last.p + 12, last.end}, "lxc", out);
	if (slice_starts(last, "lxc.monitor"))
		return CGROUP_IGNORED;
	if (slice_equals(above, "lxc"))
		return named(last, "lxc", out);
	return CGROUP_OTHER;
}

/* ---- files */

/* The number after a word at the beginning of a line. */
static int64_t
pair(struct slice text, const char *key)
{
	struct slice line, word;
	int64_t value;

	while (slice_line(&text, &line))
		if (slice_word(&line, &word) && slice_equals(word, key) && slice_next_i64(&line, &value))
			return value;
	return UNKNOWN;
}

static int64_t
limit(struct slice text)
{
	int64_t value = parse_number(text); /* "max" is no number */

	return value >= NO_LIMIT ? UNKNOWN : value;
}

static void
add(int64_t *sum, int64_t value)
{
	*sum = *sum == UNKNOWN ? value : *sum > INT64_MAX - value ? INT64_MAX : *sum + value;
}

/* "8:0 rbytes=1 wbytes=2 rios=3 ...", summed over devices. */
static void
parse_io(struct slice text, struct cgroup_counters *out)
{
	struct slice line, word;

	while (slice_line(&text, &line))
		while (slice_word(&line, &word)) {
			bool reads = slice_starts(word, "rbytes=");
			int64_t value;
			if ((reads || slice_starts(word, "wbytes=")) &&
				slice_to_i64((struct slice){word.p + 7, word.end}, &value))
				add(reads ? &out->read_bytes : &out->write_bytes, value);
		}
}

/* "8:0 Read 1", "8:0 Write 2", ... of version 1. */
static void
parse_v1_io(struct slice text, struct cgroup_counters *out)
{
	struct slice line, word;
	int64_t value;

	while (slice_line(&text, &line)) {
		if (!slice_skip_words(&line, 1) || !slice_word(&line, &word) || !slice_next_i64(&line, &value))
			continue;
		if (slice_equals(word, "Read"))
			add(&out->read_bytes, value);
		else if (slice_equals(word, "Write"))
			add(&out->write_bytes, value);
	}
}

static int64_t
thousandth(int64_t value)
{
	return value == UNKNOWN ? UNKNOWN : value / 1000;
}

void
cgroup_parse(enum cgroup_file file, struct slice text, struct cgroup_counters *out)
{
	switch (file) {
	case CGROUP_CPU_STAT:
		out->usage_us = pair(text, "usage_usec");
		out->throttled_us = pair(text, "throttled_usec");
		break;
	case CGROUP_MEMORY_CURRENT:
	case CGROUP_V1_MEMORY:
		out->memory = parse_number(text);
		break;
	case CGROUP_MEMORY_STAT:
		out->inactive_file = pair(text, "inactive_file");
		break;
	case CGROUP_MEMORY_MAX:
	case CGROUP_V1_MEMORY_LIMIT:
		out->memory_limit = limit(text);
		break;
	case CGROUP_SWAP_CURRENT:
		out->swap = parse_number(text);
		break;
	case CGROUP_MEMORY_EVENTS:
	case CGROUP_V1_OOM_CONTROL:
		out->oom_kills = pair(text, "oom_kill");
		break;
	case CGROUP_IO_STAT:
		parse_io(text, out);
		break;
	case CGROUP_PIDS_CURRENT:
	case CGROUP_V1_PIDS:
		out->pids = parse_number(text);
		break;
	case CGROUP_V1_USAGE: /* nanoseconds */
		out->usage_us = thousandth(parse_number(text));
		break;
	case CGROUP_V1_CPU_STAT:
		out->throttled_us = thousandth(pair(text, "throttled_time"));
		break;
	case CGROUP_V1_MEMORY_STAT:
		out->inactive_file = pair(text, "total_inactive_file");
		out->swap = pair(text, "total_swap");
		break;
	case CGROUP_V1_IO:
		parse_v1_io(text, out);
		break;
	case CGROUP_FILES:
		break;
	}
}

double
cgroup_working_set(const struct cgroup_counters *c)
{
	if (c->memory == UNKNOWN)
		return NAN;
	if (c->inactive_file == UNKNOWN)
		return (double) c->memory;
	return c->inactive_file > c->memory ? 0 : (double) (c->memory - c->inactive_file);
}

double
cgroup_cores_used(const struct cgroup_counters *before, const struct cgroup_counters *now, int64_t elapsed_us)
{
	if (before->usage_us == UNKNOWN || now->usage_us == UNKNOWN || now->usage_us < before->usage_us ||
		elapsed_us <= 0)
		return NAN;
	return (double) (now->usage_us - before->usage_us) / (double) elapsed_us;
}
