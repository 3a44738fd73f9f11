/*
 * cgroup.h: control groups: which of them are containers or services, and what their files say. Versions 2 and 1.
 *
 * Belongs here: names, formats, what two readings make. Does not belong here: walking directories (collector/containers.c).
 * NEUTRAL, pure. Numbers that are not there are UNKNOWN (procfs.h), values NAN: each by itself.
 */
#ifndef OBSERV_CORE_CGROUP_H
#define OBSERV_CORE_CGROUP_H

#include "core/slice.h"

#define CGROUP_NAME_MAX 128
#define CGROUP_ID_MAX   13 /* the 12 digits that people know a container by */

enum cgroup_sort {
	CGROUP_OTHER, /* may hold containers: a slice, a user's manager */
	CGROUP_CONTAINER,
	CGROUP_SERVICE, /* of systemd, below system.slice */
	CGROUP_IGNORED  /* a container's monitor, a scope of a session: nothing in there is looked at */
};

struct cgroup_name {
	char name[CGROUP_NAME_MAX]; /* of a machine or service; of others their id: no daemon is asked */
	char id[CGROUP_ID_MAX];     /* empty where there is none */
	const char *runtime;        /* docker, podman, containerd, crio, kubernetes, lxc, machine, systemd */
};

/* What a cgroup is, by its path below the root of the hierarchy, without a slash in front. */
enum cgroup_sort cgroup_identify(const char *path, struct cgroup_name *out);

struct cgroup_counters {
	int64_t usage_us, throttled_us;                    /* CPU, since it was made */
	int64_t memory, inactive_file, memory_limit, swap; /* bytes */
	int64_t oom_kills, pids, read_bytes, write_bytes;
};

extern const struct cgroup_counters cgroup_unknown;

/* The files that are read, a table of their names below. */
enum cgroup_file {
	CGROUP_CPU_STAT,       /* cpu.stat */
	CGROUP_MEMORY_CURRENT, /* memory.current */
	CGROUP_MEMORY_STAT,    /* memory.stat */
	CGROUP_MEMORY_MAX,     /* memory.max */
	CGROUP_SWAP_CURRENT,   /* memory.swap.current */
	CGROUP_MEMORY_EVENTS,  /* memory.events */
	CGROUP_IO_STAT,        /* io.stat */
	CGROUP_PIDS_CURRENT,   /* pids.current */
	/* version 1 */
	CGROUP_V1_USAGE,        /* cpuacct/cpuacct.usage */
	CGROUP_V1_CPU_STAT,     /* cpu/cpu.stat */
	CGROUP_V1_MEMORY,       /* memory/memory.usage_in_bytes */
	CGROUP_V1_MEMORY_STAT,  /* memory/memory.stat */
	CGROUP_V1_MEMORY_LIMIT, /* memory/memory.limit_in_bytes */
	CGROUP_V1_OOM_CONTROL,  /* memory/memory.oom_control */
	CGROUP_V1_IO,           /* blkio/blkio.throttle.io_service_bytes */
	CGROUP_V1_PIDS,         /* pids/pids.current */
	CGROUP_FILES
};

struct cgroup_file_name {
	const char *controller; /* directory of version 1; NULL: version 2 */
	const char *name;
};
extern const struct cgroup_file_name cgroup_files[CGROUP_FILES];

/* Takes what the text of that file says into `out`. */
void cgroup_parse(enum cgroup_file file, struct slice text, struct cgroup_counters *out);

/* Memory that can't be had back without swapping: what counts against the limit, without file pages that nobody used lately. */
double cgroup_working_set(const struct cgroup_counters *c);

/* CPUs in use between two readings; NAN without both, or when the counter went backwards: a new baseline. */
double cgroup_cores_used(const struct cgroup_counters *before, const struct cgroup_counters *now,
						 int64_t elapsed_us);

#endif
