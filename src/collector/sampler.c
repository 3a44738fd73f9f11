/* sampler.c: The order of reading, asking and finishing a row. See sampler.h for what belongs here. */
#include "collector/sampler.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "collector/clock.h"

#define ANSWER_DEADLINE_MS 2000
#define TOPOLOGY_PERIOD_MS 60000

static void
ask_topology(struct sampler *s, int64_t now_ms)
{
	if (!helper_ask(&s->helper, ASK_TOPOLOGY, s->reader.sys, now_ms))
		return;
	s->topology_due = false;
	s->topology_ms = now_ms;
	s->topology_names = s->reader.net_names;
}

static void
ask_root(struct sampler *s, int64_t now_ms)
{
	s->root_asked = helper_ask(&s->helper, ASK_FILESYSTEM, "/", now_ms);
}

bool
sampler_init(struct sampler *s, const char *root, int64_t max_gap_us, int64_t now_ms)
{
	memset(s, 0, sizeof *s);
	s->max_gap_us = max_gap_us;
	s->give_up_ms = now_ms + ANSWER_DEADLINE_MS;
	/* Two runs of the agent in the same second, with the clock set back between, still differ. */
	s->timestamps.era = clock_us(CLOCK_REALTIME) % 1000;
	if (!proc_reader_init(&s->reader, root))
		return false;
	choose_topology(slice_of(""), slice_of(""), &s->topology);
	helper_start(&s->helper, root);
	ask_topology(s, now_ms);
	return true;
}

int
sampler_fd(const struct sampler *s)
{
	return s->helper.fd;
}

int64_t
sampler_wake_ms(const struct sampler *s)
{
	return s->row_open || !s->started ? s->give_up_ms : INT64_MAX;
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
	bool root = s->helper.busy && s->helper.question == ASK_FILESYSTEM;

	problem_occurred(
		&s->hung, LOG_LEVEL_WARNING, now_ms, root ? "root" : "scan",
		root ? "the filesystem of / does not answer: disk_percent, disk_gb and inode_percent are NULL "
			   "until it does"
			 : "the helper process does not answer: disk_percent, disk_gb and inode_percent are NULL "
			   "until it does");
}

static bool
is_silent(const struct sampler *s, int64_t now_ms)
{
	return s->helper.busy && now_ms - s->helper.asked_ms >= ANSWER_DEADLINE_MS;
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
	s->give_up_ms = is_silent(s, now_ms) ? now_ms : now_ms + ANSWER_DEADLINE_MS;
	if (s->reader.net_names != s->topology_names || now_ms - s->topology_ms >= TOPOLOGY_PERIOD_MS)
		s->topology_due = true;
	ask_root(s, now_ms);
}

/* An answer of the helper. True when it completes the row. */
static bool
take_answer(struct sampler *s, const char *answer, size_t len, int error, int64_t now_ms, struct row *row)
{
	struct fs_numbers root = fs_unknown;

	problem_over(&s->hung, now_ms,
				 s->helper.question == ASK_FILESYSTEM ? "the filesystem of / answers again"
													  : "the helper process answers again");
	if (s->helper.question == ASK_TOPOLOGY) {
		take_topology(s, (struct slice){answer, answer + len});
		if (!s->started)
			start(s);
		return false;
	}
	if (!s->row_open || !s->root_asked)
		return false; /* it comes after its row has gone */
	if (error == 0 && len == sizeof root)
		memcpy(&root, answer, sizeof root);
	finish_row(s, &root, row);
	return true;
}

bool
sampler_run(struct sampler *s, bool ready, int64_t now_ms, struct row *row)
{
	static char answer[HELPER_ANSWER_MAX] __attribute__((aligned(8)));
	bool complete = false;
	size_t len;
	int error;

	if (ready)
		switch (helper_receive(&s->helper, answer, sizeof answer, &len, &error)) {
		case HELPER_ANSWER:
			complete = take_answer(s, answer, len, error, now_ms, row);
			break;
		case HELPER_DIED:
			log_line(LOG_LEVEL_WARNING, "the helper process has ended; it is started again");
			s->root_asked = false;
			break;
		case HELPER_NOTHING:
			break;
		}
	if (s->row_open && !s->root_asked && !s->helper.busy)
		ask_root(s, now_ms);
	if (s->topology_due && !s->row_open && !s->helper.busy)
		ask_topology(s, now_ms);
	if (!s->started && now_ms >= s->give_up_ms)
		start(s);
	if (s->row_open && now_ms >= s->give_up_ms) {
		note_silence(s, now_ms);
		complete = sampler_finish(s, row);
	}
	return complete;
}

bool
sampler_finish(struct sampler *s, struct row *row)
{
	if (!s->row_open)
		return false;
	finish_row(s, &fs_unknown, row);
	s->root_asked = false;
	return true;
}
