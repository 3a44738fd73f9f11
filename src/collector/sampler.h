/*
 * sampler.h: one sample after the other, without ever waiting.
 *
 * Belongs here: what is read and asked for in which order, and what happens when the helper does not answer.
 * Does not belong here: when samples are due (agent.c), formulas (core/rates.h).
 */
#ifndef OBSERV_COLLECTOR_SAMPLER_H
#define OBSERV_COLLECTOR_SAMPLER_H

#include "collector/helper_desk.h"
#include "collector/log.h"
#include "collector/proc_reader.h"
#include "core/schedule.h"

struct sampler {
	struct proc_reader reader;
	struct helper_desk *desk;
	struct desk_ask ask_root, ask_topology;
	struct topology topology;
	bool started;      /* the baseline has been read */
	bool topology_due; /* is to be asked for once the row is finished */
	bool row_open;     /* waits for the numbers of "/" */
	bool root_answered;
	struct fs_numbers root;
	int64_t give_up_ms; /* of what is being waited for */
	int64_t topology_ms;
	uint64_t topology_names;
	int64_t max_gap_us;
	int64_t row_clock_us;
	struct snapshot snapshot[2];
	int current;
	struct timestamps timestamps;
	struct problem hung, scan_problem;
};

/* Asks the first question. `root` as in proc_reader_init(). False when there is no /proc there. */
bool sampler_init(struct sampler *s, struct helper_desk *desk, const char *root, int64_t max_gap_us,
				  int64_t now_ms);

/* Whether there is something to go on with: a row that waits for the helper, the first reading. */
bool sampler_waits(const struct sampler *s);

/* When sampler_run() is to be called at the latest, unless the helper answers before. */
int64_t sampler_wake_ms(const struct sampler *s);

/* Time for a sample. It is finished by sampler_run(), maybe later. */
void sampler_tick(struct sampler *s, int64_t now_ms);

/* Goes on; to be called after desk_run(). True when a row is complete. The baseline is complete once s->started is true. */
bool sampler_run(struct sampler *s, int64_t now_ms, struct row *row);

/* Finishes the row that is open, if any, without what has not been answered yet. */
bool sampler_finish(struct sampler *s, struct row *row);

/* What the last sample was made of. */
static inline const struct snapshot *
sampler_snapshot(const struct sampler *s)
{
	return &s->snapshot[s->current];
}

#endif
