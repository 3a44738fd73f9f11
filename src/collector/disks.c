/*
 * disks.c: The source `disks`: each filesystem by itself, through the helper, because a dead one never answers.
 *
 * Belongs here: rounds, whom to ask next, what a filesystem that hangs is told as. Does not belong here: which mounts count, df's
 * arithmetic (core/mounts.h), the call that hangs (helper_process.h).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/log.h"
#include "collector/proc_files.h"
#include "collector/sample_sources.h"
#include "collector/samples.h"
#include "collector/ticks.h"
#include "core/mounts.h"

#define ROUND_S       60
#define FULL_ROUND_S  30 /* while a filesystem is fuller than that: */
#define FULL_PERCENT  85
#define ANSWER_MS     2000
#define HANGING_MAX   2      /* then network filesystems are asked no more: a helper is kept for the others */
#define REPEAT_MS     300000 /* what hardly ever changes is sent that often */
#define BYTES_PER_GIB (1024.0 * 1024 * 1024)

enum disk_metric {
	DISK_USED_PERCENT,
	DISK_USED_BYTES,
	DISK_USED_GB,
	DISK_INODE_PERCENT,
	DISK_TOTAL_BYTES, /* from here on: when it changes, or REPEAT_MS after it was sent */
	DISK_READONLY,
	DISK_STALE,
	DISK_METRICS
};

/* disk_used_percent and disk_used_gb are what observ.disk_forecast() reads; a GB is a GiB, as in observ.vps_metrics. */
static const struct sample_metric metrics[DISK_METRICS] = {
	[DISK_USED_PERCENT] = {"disk_used_percent", SAMPLE_GAUGE},
	[DISK_USED_BYTES] = {"disk_used_bytes", SAMPLE_GAUGE},
	[DISK_USED_GB] = {"disk_used_gb", SAMPLE_GAUGE},
	[DISK_INODE_PERCENT] = {"inode_percent", SAMPLE_GAUGE},
	[DISK_TOTAL_BYTES] = {"disk_total_bytes", SAMPLE_GAUGE},
	[DISK_READONLY] = {"disk_readonly", SAMPLE_GAUGE},
	[DISK_STALE] = {"disk_stale", SAMPLE_GAUGE},
};

struct disk {
	struct chosen_mount mount;
	struct desk_ask ask;
	bool seen;                  /* in the list of mounts of this round */
	bool done;                  /* in this round: answered, or given up */
	bool answered;              /* in this round */
	int64_t asked_ms, stale_ms; /* stale_ms: since when it has not answered; 0: it does */
	int error;                  /* of the last answer */
	struct fs_numbers numbers;
	uint32_t sent;
	double last[DISK_METRICS];
	int64_t repeat_ms;
	struct problem hung;
};

struct disks {
	const struct source_env *env;
	struct proc_paths paths;
	struct ticks ticks;
	struct disk *disk[MAX_MOUNTS];
	int count;
	bool round_open;
	int64_t round_us; /* wall clock */
	double fullest;
};

/* ---- mounts come and go */

static void
answered(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	struct disk *d = into;

	problem_over(&d->hung, now_ms, "the filesystem answers again");
	d->stale_ms = 0;
	d->error = error;
	/* An answer of an earlier round says what was true then; the next round asks again. */
	if (d->done || error != 0 || len != sizeof d->numbers) {
		d->done = true;
		return;
	}
	memcpy(&d->numbers, answer, len);
	d->answered = d->done = true;
}

static struct disk *
find_disk(const struct disks *s, const char *path)
{
	for (int i = 0; i < s->count; i++)
		if (strcmp(s->disk[i]->mount.path, path) == 0)
			return s->disk[i];
	return NULL;
}

static int
labels_of(const struct disk *d, struct series_label label[3])
{
	label[0] = (struct series_label){slice_of("mount"), slice_of(d->mount.path)};
	label[1] = (struct series_label){slice_of("fstype"), slice_of(d->mount.type)};
	label[2] = (struct series_label){slice_of("device"), slice_of(d->mount.source)};
	return 3;
}

static void
end_disk(struct disks *s, struct disk *d)
{
	struct samples samples = SAMPLES_INIT;
	struct series_label label[3];

	samples_begin(&samples, s->env->spool, clock_us(CLOCK_REALTIME));
	samples_put_thing(&samples, metrics, DISK_METRICS, NULL, &d->sent, label, labels_of(d, label));
	samples_end(&samples);
}

static void
forget_disk(struct disks *s, struct disk *d)
{
	desk_forget(s->env->desk, &d->ask);
	free(d);
}

static bool
same_disk(const struct disk *d, const struct chosen_mount *m)
{
	return strcmp(d->mount.type, m->type) == 0 && strcmp(d->mount.source, m->source) == 0;
}

static void
add_disk(struct disks *s, const struct chosen_mount *mount)
{
	struct disk *d = s->count < MAX_MOUNTS ? calloc(1, sizeof *d) : NULL;

	if (!d)
		return;
	d->mount = *mount;
	d->seen = true;
	d->ask = (struct desk_ask){
		.question = ASK_FILESYSTEM, .argument = d->mount.path, .answered = answered, .into = d};
	for (int i = 0; i < DISK_METRICS; i++)
		d->last[i] = NAN;
	s->disk[s->count++] = d;
}

static void
read_mounts(struct disks *s)
{
	static struct chosen_mount mounts[MAX_MOUNTS]; /* large */
	struct strbuf text = STRBUF_INIT;
	int n = choose_mounts(proc_mounts(&s->paths, &text), mounts, MAX_MOUNTS), kept = 0;

	strbuf_free(&text);
	for (int i = 0; i < s->count; i++)
		s->disk[i]->seen = false;
	for (int i = 0; i < n; i++) {
		struct disk *d = find_disk(s, mounts[i].path);
		if (d && same_disk(d, &mounts[i])) {
			d->mount.readonly = mounts[i].readonly;
			d->seen = true;
		}
	}
	/* First those that have gone: another one may have taken the path. */
	for (int i = 0; i < s->count; i++)
		if (s->disk[i]->seen)
			s->disk[kept++] = s->disk[i];
		else {
			end_disk(s, s->disk[i]);
			forget_disk(s, s->disk[i]);
		}
	s->count = kept;
	for (int i = 0; i < n; i++)
		if (!find_disk(s, mounts[i].path))
			add_disk(s, &mounts[i]);
}

/* ---- a round */

static void
begin_round(struct disks *s)
{
	read_mounts(s);
	for (int i = 0; i < s->count; i++)
		s->disk[i]->done = s->disk[i]->answered = false;
	s->round_open = true;
	s->round_us = clock_us(CLOCK_REALTIME);
}

static int
hanging(const struct disks *s)
{
	int n = 0;

	for (int i = 0; i < s->count; i++)
		n += s->disk[i]->stale_ms != 0;
	return n;
}

/* One that does not answer is told as stale, and asked no more until it does. */
static void
give_up(struct disk *d, int64_t now_ms)
{
	char path[MOUNT_PATH_MAX];

	d->done = true;
	d->stale_ms = d->asked_ms;
	slice_printable(slice_of(d->mount.path), path, sizeof path);
	problem_occurred(&d->hung, LOG_LEVEL_WARNING, now_ms, "hangs",
					 "the filesystem of %s (%s) does not answer: its numbers are left out until it does",
					 path, d->mount.type);
}

/* Asks one after the other. True when nobody is left. */
static bool
go_on(struct disks *s, int64_t now_ms)
{
	for (int i = 0; i < s->count; i++) {
		struct disk *d = s->disk[i];
		if (d->done)
			continue;
		if (d->stale_ms || (hanging(s) >= HANGING_MAX && mount_is_network(d->mount.type))) {
			d->done = true;
			continue;
		}
		if (!d->ask.waiting) {
			d->asked_ms = 0;
			desk_put(s->env->desk, &d->ask, now_ms);
		}
		/* Waiting for its turn is not its fault. */
		if (d->ask.asked && !d->asked_ms)
			d->asked_ms = now_ms;
		if (d->asked_ms && now_ms - d->asked_ms >= ANSWER_MS) {
			give_up(d, now_ms);
			continue;
		}
		return false;
	}
	return true;
}

static void
values_of(const struct disk *d, double *value)
{
	const struct fs_numbers *fs = &d->numbers;
	bool known = d->answered && !isnan(fs_used_bytes(fs));

	value[DISK_USED_PERCENT] = known ? fs_used_percent(fs) : NAN;
	value[DISK_USED_BYTES] = known ? fs_used_bytes(fs) : NAN;
	value[DISK_USED_GB] = known ? fs_used_bytes(fs) / BYTES_PER_GIB : NAN;
	value[DISK_INODE_PERCENT] = known ? fs_inode_percent(fs) : NAN;
	value[DISK_TOTAL_BYTES] = known ? (double) fs->blocks * (double) fs->fragment_size : NAN;
	value[DISK_READONLY] = d->mount.readonly;
	value[DISK_STALE] = d->stale_ms ? 1 : d->answered ? 0 : NAN;
}

static void
tell(struct disks *s, struct disk *d, struct samples *samples, int64_t now_ms)
{
	struct series_label label[3];
	double value[DISK_METRICS];
	bool repeat = now_ms >= d->repeat_ms;

	values_of(d, value);
	s->fullest = fmax(s->fullest, value[DISK_USED_PERCENT]);
	for (int i = DISK_TOTAL_BYTES; i < DISK_METRICS; i++) {
		double now = value[i];
		if (!repeat && now == d->last[i]) /* NAN equals nothing */
			value[i] = NAN;               /* not now */
		d->last[i] = now;
	}
	if (repeat)
		d->repeat_ms = now_ms + REPEAT_MS;
	samples_put_thing(samples, metrics, DISK_METRICS, value, &d->sent, label, labels_of(d, label));
}

static void
end_round(struct disks *s, int64_t now_ms)
{
	struct samples samples = SAMPLES_INIT;

	s->round_open = false;
	s->fullest = 0;
	samples_begin(&samples, s->env->spool, s->round_us);
	for (int i = 0; i < s->count; i++)
		tell(s, s->disk[i], &samples, now_ms);
	samples_end(&samples);
}

static int
round_s(const struct disks *s)
{
	int period = s->fullest > FULL_PERCENT ? FULL_ROUND_S : ROUND_S;

	return s->env->config->interval_s > period ? s->env->config->interval_s : period;
}

static void
disks_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct disks *s = source;

	if (ticks_due(&s->ticks, s->env->options->vps_name, round_s(s), now_ms) && !s->round_open)
		begin_round(s);
	if (!s->round_open || !go_on(s, now_ms))
		return;
	end_round(s, now_ms);
	ticks_plan(&s->ticks, s->env->options->vps_name, round_s(s), now_ms);
}

static void
disks_wait(const void *source, struct waiting *w)
{
	const struct disks *s = source;

	waiting_until(w, s->ticks.due_ms);
	for (int i = 0; s->round_open && i < s->count; i++)
		if (s->disk[i]->ask.waiting && s->disk[i]->asked_ms && !s->disk[i]->done)
			waiting_until(w, s->disk[i]->asked_ms + ANSWER_MS);
}

static void *
disks_start(const struct source_env *env, int64_t now_ms)
{
	struct disks *s = env->config->disks ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	proc_paths(env->options->proc_root, &s->paths);
	s->ticks.due_ms = now_ms;
	return s;
}

static void
disks_stop(void *source, int64_t now_ms)
{
	struct disks *s = source;

	for (int i = 0; i < s->count; i++)
		forget_disk(s, s->disk[i]);
	free(s);
}

/* What is known stays; the next round begins at once. Switched off, all that was told of ends. */
static void
disks_reload(void *source, int64_t now_ms)
{
	struct disks *s = source;

	s->ticks.due_ms = s->env->config->disks ? now_ms : NEVER;
	if (s->env->config->disks)
		return;
	for (int i = 0; i < s->count; i++) {
		end_disk(s, s->disk[i]);
		forget_disk(s, s->disk[i]);
	}
	s->count = 0;
	s->round_open = false;
}

static void
disks_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct disks *s = source;
	char path[MOUNT_PATH_MAX];

	strbuf_printf(out, "filesystems: %d\n", s->count);
	for (int i = 0; i < s->count; i++) {
		const struct disk *d = s->disk[i];
		slice_printable(slice_of(d->mount.path), path, sizeof path);
		if (d->stale_ms)
			strbuf_printf(out, "problem: %s has not answered for %lld s\n", path,
						  (long long) ((now_ms - d->stale_ms) / 1000));
		else if (d->error)
			strbuf_printf(out, "problem: %s: %s\n", path, strerror(d->error));
	}
}

const struct source_ops disks_source = {
	.name = "disks",
	.start = disks_start,
	.reload = disks_reload,
	.run = disks_run,
	.wait = disks_wait,
	.stop = disks_stop,
	.describe = disks_describe,
};
