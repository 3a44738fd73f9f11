/* self_metrics.c: One set of samples about the agent. See self_metrics.h for what belongs here. */
#include "collector/self_metrics.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/samples.h"
#include "core/slice.h"

#define P                "observ_agent_"
#define EVERYTHING_MS    600000
#define MEMORY_TOLERANCE 0.02

/* Memory of a process, bytes; NAN where the kernel does not say. */
struct process_memory {
	double rss, private;
};

static struct process_memory
read_memory(pid_t pid)
{
	struct process_memory memory = {NAN, NAN};
	char path[64], text[4096];
	struct slice rest, line, word;
	int64_t kb;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int) pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (fd >= 0)
		close(fd);
	rest = (struct slice){text, text + (got > 0 ? got : 0)};
	while (slice_line(&rest, &line)) {
		if (!slice_word(&line, &word) || !slice_next_i64(&line, &kb))
			continue;
		if (slice_equals(word, "Rss:"))
			memory.rss = (double) kb * 1024;
		else if (slice_equals(word, "Private_Clean:") || slice_equals(word, "Private_Dirty:"))
			memory.private = (isnan(memory.private) ? 0 : memory.private) + (double) kb * 1024;
	}
	return memory;
}

static double
cpu_seconds(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return NAN;
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* What is to be said, in an order that stays the same. */
struct report {
	struct samples samples;
	struct self_metrics *self;
	bool everything;
	int count;
};

/*
 * Says the value unless it is what was said last, give or take `tolerance` (a share of it): most of them hardly ever change, and their
 * names would be most of what an idle agent sends.
 */
static void
put(struct report *r, const char *name, const char *reason, double value, enum sample_kind kind,
	double tolerance)
{
	double *said = &r->self->said[r->count++];

	/* Nothing was said: NAN, which compares as false. */
	if (!r->everything && fabs(value - *said) <= tolerance * fabs(*said))
		return;
	*said = value;
	if (reason)
		samples_put(&r->samples, name, value, kind, "reason", reason, SAMPLES_NO_MORE);
	else
		samples_put(&r->samples, name, value, kind, SAMPLES_NO_MORE);
}

/* The agent and the helper that is at work; what they share is the agent's. */
static void
put_processes(struct report *r, const struct helper *helper)
{
	struct process_memory agent = read_memory(getpid());
	double private = agent.private, cpu = cpu_seconds(getpid());

	if (helper->fd >= 0) {
		double more = read_memory(helper->pid).private, spent = cpu_seconds(helper->pid);
		private += isnan(more) ? 0 : more;
		cpu += isnan(spent) ? 0 : spent;
	}
	put(r, P "rss_bytes", NULL, agent.rss, SAMPLE_GAUGE, MEMORY_TOLERANCE);
	put(r, P "private_bytes", NULL, private, SAMPLE_GAUGE, MEMORY_TOLERANCE);
	put(r, P "cpu_seconds_total", NULL, cpu, SAMPLE_COUNTER, 0);
}

static void
put_spool(struct report *r, const struct spool_state *spool)
{
	static const char *const reasons[RANKS] = {"metrics", "log_lines", "warnings", "errors_and_events"};

	put(r, P "spool_records", NULL, (double) spool->records, SAMPLE_GAUGE, 0);
	put(r, P "spool_bytes", NULL, (double) spool->bytes, SAMPLE_GAUGE, 0);
	put(r, P "spool_on_disk", NULL, spool->on_disk, SAMPLE_GAUGE, 0);
	for (int i = 0; i < RANKS; i++)
		put(r, P "rows_dropped_total", reasons[i], (double) spool->dropped[i], SAMPLE_COUNTER, 0);
	put(r, P "rows_dropped_total", "thinned", (double) spool->thinned, SAMPLE_COUNTER, 0);
	put(r, P "rows_dropped_total", "damaged", (double) spool->damaged, SAMPLE_COUNTER, 0);
}

void
self_metrics_put(struct self_metrics *self, const struct agent_view *a, const struct spool_state *spool,
				 int64_t now_ms)
{
	const struct writer *w = a->writer;
	struct source_hints *hints = a->env->hints;
	struct report r = {.samples = SAMPLES_INIT, .self = self, .everything = now_ms >= self->everything_ms};

	if (r.everything)
		self->everything_ms = now_ms + EVERYTHING_MS;
	samples_begin(&r.samples, a->env->spool, clock_us(CLOCK_REALTIME));
	put_processes(&r, &a->env->desk->helper);
	put_spool(&r, spool);
	put(&r, P "cycle_cpu_ms_max", NULL, (double) hints->cycle_cpu_us_max / 1000, SAMPLE_GAUGE, 0);
	hints->cycle_cpu_us_max = 0;
	put(&r, P "rows_sent_total", NULL, (double) w->rows_sent, SAMPLE_COUNTER, 0);
	put(&r, P "reconnects_total", NULL, (double) w->reconnects, SAMPLE_COUNTER, 0);
	put(&r, P "clock_offset_ms", NULL, w->offset_known ? (double) (w->offset_us / 1000) : NAN, SAMPLE_GAUGE,
		0);
	put(&r, P "stuck_helpers", NULL, desk_stuck(a->env->desk, now_ms), SAMPLE_GAUGE, 0);
	for (int i = 0; sources[i]; i++)
		if (a->source[i] && sources[i]->measure)
			sources[i]->measure(a->source[i], &r.samples, now_ms);
	samples_end(&r.samples);
}
