/* self_metrics.c: One set of samples about the agent. See self_metrics.h for what belongs here. */
#include "collector/self_metrics.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "collector/clock.h"
#include "collector/samples.h"
#include "core/slice.h"

#define P "observ_agent_"

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

/* The agent and its helper, as two series of each metric. */
static void
put_process(struct samples *s, pid_t pid, const char *name)
{
	struct process_memory memory = read_memory(pid);

	samples_put(s, P "rss_bytes", memory.rss, SAMPLE_GAUGE, "process", name, SAMPLES_NO_MORE);
	samples_put(s, P "private_bytes", memory.private, SAMPLE_GAUGE, "process", name, SAMPLES_NO_MORE);
	samples_put(s, P "cpu_seconds_total", cpu_seconds(pid), SAMPLE_COUNTER, "process", name, SAMPLES_NO_MORE);
}

static void
put_spool(struct samples *s, const struct spool_state *spool)
{
	static const char *const reasons[RANKS] = {"metrics", "log_lines", "warnings", "errors_and_events"};

	samples_put(s, P "spool_records", (double) spool->records, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_put(s, P "spool_bytes", (double) spool->bytes, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_put(s, P "spool_on_disk", spool->on_disk, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	for (int i = 0; i < RANKS; i++)
		samples_put(s, P "rows_dropped_total", (double) spool->dropped[i], SAMPLE_COUNTER, "reason",
					reasons[i], SAMPLES_NO_MORE);
	samples_put(s, P "rows_dropped_total", (double) spool->thinned, SAMPLE_COUNTER, "reason", "thinned",
				SAMPLES_NO_MORE);
	samples_put(s, P "rows_dropped_total", (double) spool->damaged, SAMPLE_COUNTER, "reason", "damaged",
				SAMPLES_NO_MORE);
}

void
self_metrics_put(const struct agent_view *a, const struct spool_state *spool, int64_t now_ms)
{
	const struct writer *w = a->writer;
	struct source_hints *hints = a->env->hints;
	struct samples s = SAMPLES_INIT;

	samples_begin(&s, a->env->spool, clock_us(CLOCK_REALTIME));
	put_process(&s, getpid(), "agent");
	if (a->env->desk->helper.fd >= 0)
		put_process(&s, a->env->desk->helper.pid, "helper");
	put_spool(&s, spool);
	samples_put(&s, P "cycle_cpu_ms_max", (double) hints->cycle_cpu_us_max / 1000, SAMPLE_GAUGE,
				SAMPLES_NO_MORE);
	hints->cycle_cpu_us_max = 0;
	samples_put(&s, P "rows_sent_total", (double) w->rows_sent, SAMPLE_COUNTER, SAMPLES_NO_MORE);
	samples_put(&s, P "reconnects_total", (double) w->reconnects, SAMPLE_COUNTER, SAMPLES_NO_MORE);
	samples_put(&s, P "clock_offset_ms", w->offset_known ? (double) w->offset_us / 1000 : NAN, SAMPLE_GAUGE,
				SAMPLES_NO_MORE);
	samples_put(&s, P "stuck_helpers", desk_stuck(a->env->desk, now_ms), SAMPLE_GAUGE, SAMPLES_NO_MORE);
	for (int i = 0; sources[i]; i++)
		if (a->source[i] && sources[i]->measure)
			sources[i]->measure(a->source[i], &s, now_ms);
	samples_end(&s);
}
