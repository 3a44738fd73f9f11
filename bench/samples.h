/*
 * samples.h: made-up measurements of made-up VPSs, the same on every run.
 *
 * Belongs here: what the values look like. Does not belong here: names, times and encodings (payload.h).
 */
#ifndef OBSERV_BENCH_SAMPLES_H
#define OBSERV_BENCH_SAMPLES_H

#include <stdint.h>

#include "core/row.h"

/* One VPS between two samples. */
struct walk {
	uint64_t random;
	int step;
	int cores;
	double cpu_mean, cpu, burst;
	double memory_mb, memory_used;
	double disk_gb, disk_used, disk_growth;
	double load[3];
	double traffic;
	double uptime;
};

/* The VPS with this number; equal seed and number give equal samples, whatever other VPSs are asked for. */
void walk_start(struct walk *walk, uint64_t seed, int number);

/* The sample after step_s seconds: every metric of the row, the timestamp is left alone. */
void walk_next(struct walk *walk, int step_s, struct row *row);

#endif
