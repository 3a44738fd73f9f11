/* sampler.c: The order of reading, asking and finishing a row. See sampler.h for what belongs here. */
#include "collector/sampler.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/clock.h"

#define ANSWER_DEADLINE_MS 2000
#define TOPOLOGY_PERIOD_MS 60000

static void
ask_topology(struct sampler *s, int64_t now_ms)
{
	s->topology_due = false;
	s->topology_ms = now_ms;
	s->topology_names = s->reader.net_names;
	desk_put(s->desk, &s->ask_topology, now_ms);
}

bool
sampler_waits(const struct sampler *s)
{
	return s->row_open || !s->started;
}

int64_t
sampler_wake_ms(const struct sampler *s)
{
	return sampler_waits(s) ? s->give_up_ms : INT64_MAX;
}

static void
read_snapshot(struct sampler *s)
{
	s->current = !s->current;
	s->row_clock_us = clock_us(CLOCK_REALTIME);
	proc_reader_read(&s->reader, &s->topology, &s->snapshot[s->current]);
}

static void
start(struct sampler *s)
{
	read_snapshot(s);
	s->started = true;
}

static void
take_topology(struct sampler *s, struct slice scan)
{
	/* The route's text lies in the reader's buffer, the scan does not. */
	struct slice route = {"", ""};

	parse_default_route(proc_reader_text(&s->reader, "net/route"), &route);
	choose_topology(scan, route, &s->topology);
	if (s->topology.too_many)
		problem_occurred(&s->scan_problem, LOG_LEVEL_WARNING, monotonic_ms(), "too many",
						 "more network interfaces or disks than can be counted: their totals are NULL");
	else
		problem_over(&s->scan_problem, monotonic_ms(), "network interfaces and disks can be counted again");
}

static void
finish_row(struct sampler *s, const struct fs_numbers *root, struct row *row)
{
	compute_row(&s->snapshot[!s->current], &s->snapshot[s->current], root, s->max_gap_us, row);
	row->timestamp_us = next_timestamp_us(&s->timestamps, s->row_clock_us);
	s->row_open = false;
	/* An interface that was reset may be another one now. */
	if (s->snapshot[s->current].nics_known && isnan(row->value[M_NET_RX_BPS]))
		s->topology_due = true;
}

/* The helper has been silent for too long. Said once; whatever is wanted from it is unknown until it speaks. */
static void
note_silence(struct sampler *s, int64_t now_ms)
{
	bool root = s->ask_root.asked;

	problem_occurred(
		&s->hung, LOG_LEVEL_WARNING, now_ms, root ? "root" : "scan",
		root ? "the filesystem of / does not answer: disk_percent, disk_gb and inode_percent are NULL "
			   "until it does"
			 : "the helper process does not answer: disk_percent, disk_gb and inode_percent are NULL "
			   "until it does");
}

static void
topology_answered(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	struct sampler *s = into;

	if (error == 0)
		take_topology(s, (struct slice){answer, answer + len});
	if (!s->started)
		start(s);
}

static void
root_answered(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	struct sampler *s = into;

	problem_over(&s->hung, now_ms, "the filesystem of / answers again");
	s->root = fs_unknown;
	if (error == 0 && len == sizeof s->root)
		memcpy(&s->root, answer, sizeof s->root);
	s->root_answered = true;
}

bool
sampler_init(struct sampler *s, struct helper_desk *desk, const char *root, int64_t max_gap_us,
			 int64_t now_ms)
{
	memset(s, 0, sizeof *s);
	s->desk = desk;
	s->max_gap_us = max_gap_us;
	s->give_up_ms = now_ms + ANSWER_DEADLINE_MS;
	/* Two runs of the agent in the same second, with the clock set back between, still differ. */
	s->timestamps.era = clock_us(CLOCK_REALTIME) % 1000;
	if (!proc_reader_init(&s->reader, root))
		return false;
	s->ask_root = (struct desk_ask){ASK_FILESYSTEM, "/", root_answered, s};
	s->ask_topology = (struct desk_ask){ASK_TOPOLOGY, s->reader.sys, topology_answered, s};
	choose_topology(slice_of(""), slice_of(""), &s->topology);
	ask_topology(s, now_ms);
	return true;
}

void
sampler_tick(struct sampler *s, int64_t now_ms)
{
	if (!s->started)
		start(s);
	if (s->row_open)
		return;
	read_snapshot(s);
	s->row_open = true;
	s->root_answered = false;
	desk_put(s->desk, &s->ask_root, now_ms);
	s->give_up_ms = now_ms + ANSWER_DEADLINE_MS;
	if (s->ask_root.since_ms < now_ms && now_ms - s->ask_root.since_ms >= ANSWER_DEADLINE_MS)
		s->give_up_ms = now_ms; /* it has been asked with an earlier row, and is known not to answer */
	if (s->reader.net_names != s->topology_names || now_ms - s->topology_ms >= TOPOLOGY_PERIOD_MS)
		s->topology_due = true;
}

bool
sampler_run(struct sampler *s, int64_t now_ms, struct row *row)
{
	if (!s->started && now_ms >= s->give_up_ms)
		start(s);
	if (s->row_open && s->root_answered) {
		finish_row(s, &s->root, row);
	} else if (s->row_open && now_ms >= s->give_up_ms) {
		note_silence(s, now_ms);
		sampler_finish(s, row);
	} else {
		return false;
	}
	if (s->topology_due)
		ask_topology(s, now_ms);
	return true;
}

bool
sampler_finish(struct sampler *s, struct row *row)
{
	if (!s->row_open)
		return false;
	finish_row(s, &fs_unknown, row);
	return true;
}
