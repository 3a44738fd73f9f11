/*
 * containers.c: The source `containers`: containers and systemd's services by their control groups; no daemon is asked, no socket opened.
 *
 * Belongs here: walking the hierarchy, reading a group's files, rounds. Does not belong here: names and formats (core/cgroup.h).
 * Reading a group's files costs some 0.05 ms: what there is to read is spread over several turns of the loop.
 */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/log.h"
#include "collector/proc_files.h"
#include "collector/sample_sources.h"
#include "collector/samples.h"
#include "collector/ticks.h"
#include "core/cgroup.h"
#include "core/procfs.h"

#define SHORTEST_ROUND_S 20  /* two ticks of the shortest interval */
#define SERVICES_S       60  /* services are many */
#define IDLE_S           300 /* and most of them idle: those are told that often */
#define IDLE_CORES       0.001
#define CONTAINERS_MAX   200
#define DEPTH_MAX        10
#define PATH_BYTES       512
#define READ_PER_RUN     20

enum container_metric {
	CONTAINER_CPU,
	CONTAINER_MEMORY,
	CONTAINER_LIMIT,
	CONTAINER_SWAP,
	CONTAINER_PIDS,
	CONTAINER_OOM,
	CONTAINER_THROTTLED,
	CONTAINER_READ,
	CONTAINER_WRITTEN,
	CONTAINER_METRICS
};

static const struct sample_metric metrics[CONTAINER_METRICS] = {
	[CONTAINER_CPU] = {"container_cpu_cores_used", SAMPLE_GAUGE},
	[CONTAINER_MEMORY] = {"container_memory_working_set_bytes", SAMPLE_GAUGE},
	[CONTAINER_LIMIT] = {"container_memory_limit_bytes", SAMPLE_GAUGE},
	[CONTAINER_SWAP] = {"container_memory_swap_bytes", SAMPLE_GAUGE},
	[CONTAINER_PIDS] = {"container_pids", SAMPLE_GAUGE},
	[CONTAINER_OOM] = {"container_oom_kills_total", SAMPLE_COUNTER},
	[CONTAINER_THROTTLED] = {"container_cpu_throttled_seconds_total", SAMPLE_COUNTER},
	[CONTAINER_READ] = {"container_io_read_bytes_total", SAMPLE_COUNTER},
	[CONTAINER_WRITTEN] = {"container_io_written_bytes_total", SAMPLE_COUNTER},
};

struct container {
	char path[PATH_BYTES]; /* below the root of the hierarchy */
	struct cgroup_name name;
	bool service, seen;
	int64_t read_us, told_ms; /* of the counters; monotonic; 0: never */
	struct cgroup_counters counters;
	uint32_t sent;
};

struct containers {
	const struct source_env *env;
	struct proc_paths paths;
	char root[PROC_PATH_MAX + 32]; /* of version 2, or of a controller of version 1 */
	bool found, version_1;
	struct ticks ticks;
	struct container *container[CONTAINERS_MAX];
	int count, next; /* next: to be read in this round */
	bool round_open, services_round, too_many;
	int64_t services_ms; /* when services are due */
	int64_t round_us;
	struct strbuf text;
	struct samples samples;
	struct problem problem;
};

static int
round_s(const struct containers *s)
{
	int twice = s->env->config->interval_s * 2;

	return twice > SHORTEST_ROUND_S ? twice : SHORTEST_ROUND_S;
}

/* ---- which there are */

static bool
has_file(const char *dir, const char *name)
{
	char path[PROC_PATH_MAX + 100];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

/* Version 2; where both are mounted, version 1: it has the controllers. */
static void
find_root(struct containers *s)
{
	char dir[PROC_PATH_MAX + 16];

	snprintf(dir, sizeof dir, "%s/fs/cgroup", s->paths.sys);
	snprintf(s->root, sizeof s->root, "%s", dir);
	s->version_1 = false;
	s->found = has_file(dir, "cgroup.controllers");
	if (s->found)
		return;
	snprintf(s->root, sizeof s->root, "%s/cpuacct", dir);
	s->found = s->version_1 = has_file(s->root, "cpuacct.usage");
}

static void
note(struct containers *s, const char *path, const struct cgroup_name *name, bool service)
{
	for (int i = 0; i < s->count; i++)
		if (strcmp(s->container[i]->path, path) == 0) {
			s->container[i]->seen = true;
			return;
		}
	struct container *c = s->count < CONTAINERS_MAX ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		s->too_many = true;
		return;
	}
	snprintf(c->path, sizeof c->path, "%s", path);
	c->name = *name;
	c->service = service;
	c->seen = true;
	c->counters = cgroup_unknown;
	s->container[s->count++] = c;
}

/* Everything below the directory at `path` (below the root; as far as `len`, and there is room in it). */
static void
walk(struct containers *s, int dir, char *path, size_t len, int depth)
{
	int fd = openat(dir, len ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct cgroup_name name;
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		int more = snprintf(path + len, PATH_BYTES - len, "%s%s", len ? "/" : "", e->d_name);
		if (more < 0 || (size_t) more >= PATH_BYTES - len)
			continue;
		enum cgroup_sort sort = cgroup_identify(path, &name);
		if (sort == CGROUP_CONTAINER || sort == CGROUP_SERVICE)
			note(s, path, &name, sort == CGROUP_SERVICE);
		else if (sort == CGROUP_OTHER && depth < DEPTH_MAX)
			walk(s, dir, path, len + (size_t) more, depth + 1);
	}
	if (d)
		closedir(d);
	path[len] = '\0';
}

static int
labels_of(const struct container *c, struct series_label label[3])
{
	label[0] = (struct series_label){slice_of("container_id"), slice_of(c->name.id)};
	label[1] = (struct series_label){slice_of("name"), slice_of(c->name.name)};
	label[2] = (struct series_label){slice_of("runtime"), slice_of(c->name.runtime)};
	return 3;
}

static void
end_missing(struct containers *s)
{
	struct series_label label[3];
	int kept = 0;

	for (int i = 0; i < s->count; i++) {
		struct container *c = s->container[i];
		if (c->seen) {
			s->container[kept++] = c;
			continue;
		}
		samples_put_thing(&s->samples, metrics, CONTAINER_METRICS, NULL, &c->sent, label,
						  labels_of(c, label));
		free(c);
	}
	s->count = kept;
}

static void
discover(struct containers *s, int64_t now_ms)
{
	char path[PATH_BYTES] = "";
	int root = open(s->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	s->too_many = false;
	for (int i = 0; i < s->count; i++)
		s->container[i]->seen = false;
	if (root >= 0) {
		walk(s, root, path, 0, 0);
		close(root);
	}
	end_missing(s);
	if (s->too_many)
		problem_occurred(&s->problem, LOG_LEVEL_WARNING, now_ms, "many",
						 "more than %d containers and services: the others are left out", CONTAINERS_MAX);
	else
		problem_over(&s->problem, now_ms, "all containers and services have room again");
}

/* ---- what they use */

static struct cgroup_counters
read_counters(struct containers *s, const struct container *c)
{
	struct cgroup_counters counters = cgroup_unknown;
	char path[PROC_PATH_MAX + PATH_BYTES + 100];

	for (int f = 0; f < CGROUP_FILES; f++) {
		const struct cgroup_file_name *file = &cgroup_files[f];
		if ((file->controller != NULL) != s->version_1)
			continue;
		if (s->version_1)
			snprintf(path, sizeof path, "%s/fs/cgroup/%s/%s/%s", s->paths.sys, file->controller, c->path,
					 file->name);
		else
			snprintf(path, sizeof path, "%s/%s/%s", s->root, c->path, file->name);
		struct slice text = proc_file(AT_FDCWD, path, &s->text);
		if (text.p < text.end)
			cgroup_parse((enum cgroup_file) f, text, &counters);
	}
	return counters;
}

static double
known(int64_t value)
{
	return value == UNKNOWN ? NAN : (double) value;
}

static void
tell(struct containers *s, struct container *c, const struct cgroup_counters *now, double cores)
{
	struct series_label label[3];
	const double value[CONTAINER_METRICS] = {
		[CONTAINER_CPU] = cores,
		[CONTAINER_MEMORY] = cgroup_working_set(now),
		[CONTAINER_LIMIT] = known(now->memory_limit),
		[CONTAINER_SWAP] = known(now->swap),
		[CONTAINER_PIDS] = known(now->pids),
		[CONTAINER_OOM] = known(now->oom_kills),
		[CONTAINER_THROTTLED] = known(now->throttled_us) / 1e6,
		[CONTAINER_READ] = known(now->read_bytes),
		[CONTAINER_WRITTEN] = known(now->write_bytes),
	};

	samples_put_thing(&s->samples, metrics, CONTAINER_METRICS, value, &c->sent, label, labels_of(c, label));
}

static void
look_at(struct containers *s, struct container *c, int64_t now_ms)
{
	if (c->service && !s->services_round)
		return;
	struct cgroup_counters now = read_counters(s, c);
	int64_t now_us = clock_us(CLOCK_MONOTONIC);
	double cores = c->read_us ? cgroup_cores_used(&c->counters, &now, now_us - c->read_us) : NAN;
	bool idle = c->service && !(cores >= IDLE_CORES) && now.oom_kills == c->counters.oom_kills;

	c->counters = now;
	c->read_us = now_us;
	if (idle && c->told_ms && now_ms - c->told_ms < IDLE_S * 1000)
		return;
	tell(s, c, &now, cores);
	c->told_ms = now_ms;
}

/* ---- rounds */

static void
begin_round(struct containers *s, int64_t now_ms)
{
	find_root(s);
	if (!s->found)
		return;
	s->round_open = true;
	s->next = 0;
	s->services_round = now_ms >= s->services_ms;
	if (s->services_round)
		s->services_ms = now_ms + SERVICES_S * 1000 - 500;
	samples_begin(&s->samples, s->env->spool, clock_us(CLOCK_REALTIME));
	discover(s, now_ms);
}

static void
containers_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct containers *s = source;

	if (ticks_due(&s->ticks, s->env->options->vps_name, round_s(s), now_ms) && !s->round_open)
		begin_round(s, now_ms);
	for (int i = 0; s->round_open && i < READ_PER_RUN && s->next < s->count; i++)
		look_at(s, s->container[s->next++], now_ms);
	if (!s->round_open || s->next < s->count)
		return;
	s->round_open = false;
	samples_end(&s->samples);
	strbuf_free(&s->text);
}

static void
containers_wait(const void *source, struct waiting *w)
{
	const struct containers *s = source;

	waiting_until(w, s->round_open ? 0 : s->ticks.due_ms);
}

static void *
containers_start(const struct source_env *env, int64_t now_ms)
{
	struct containers *s = env->config->containers ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	s->samples = (struct samples) SAMPLES_INIT;
	proc_paths(env->options->proc_root, &s->paths);
	s->ticks.due_ms = now_ms; /* the first readings, to compare with */
	return s;
}

static void
containers_stop(void *source, int64_t now_ms)
{
	struct containers *s = source;

	if (s->round_open)
		samples_end(&s->samples);
	strbuf_free(&s->text);
	for (int i = 0; i < s->count; i++)
		free(s->container[i]);
	free(s);
}

/* What is known stays; the next round begins at once. Switched off, all that was told of ends. */
static void
containers_reload(void *source, int64_t now_ms)
{
	struct containers *s = source;

	s->services_ms = now_ms;
	s->ticks.due_ms = s->env->config->containers ? now_ms : NEVER;
	if (s->env->config->containers)
		return;
	if (!s->round_open)
		samples_begin(&s->samples, s->env->spool, clock_us(CLOCK_REALTIME));
	for (int i = 0; i < s->count; i++)
		s->container[i]->seen = false;
	end_missing(s);
	s->next = 0; /* a round that was open ends with the next turn */
	s->round_open = true;
}

static void
containers_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct containers *s = source;
	int services = 0;

	for (int i = 0; i < s->count; i++)
		services += s->container[i]->service;
	strbuf_printf(out, "containers: %d\nservices: %d\n", s->count - services, services);
	if (!s->found)
		strbuf_printf(out, "problem: no control groups below %s/fs/cgroup\n", s->paths.sys);
	if (s->too_many)
		strbuf_printf(out, "problem: more than %d, the others are left out\n", CONTAINERS_MAX);
}

const struct source_ops containers_source = {
	.name = "containers",
	.start = containers_start,
	.reload = containers_reload,
	.run = containers_run,
	.wait = containers_wait,
	.stop = containers_stop,
	.describe = containers_describe,
};
