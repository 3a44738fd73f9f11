/*
 * Synthetic samples. CPU and load: a first-order autoregressive process around a daily rhythm, with bursts that die away;
 * memory: a slow random walk; disk: grows, now and then shrinks; rates: heavy-tailed. Rounded as obs-agent's values are, and with at
 * most seven significant digits, so that the text and the binary form of a row are the same numbers.
 */
#include "samples.h"

#include <math.h>

#define DAY_S   86400.0
#define TWO_PI  6.283185307179586
#define MAX_BPS 9999999.0

/* xorshift64*, Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators, scrambled". */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* Between 0 and 1. */
static double
uniform(struct walk *walk)
{
	return (double) (next_random(&walk->random) >> 11) / 9007199254740992.0;
}

/* About normal, mean 0, variance 1: the sum of three uniforms, each of variance 1/12. */
static double
noise(struct walk *walk)
{
	return (uniform(walk) + uniform(walk) + uniform(walk) - 1.5) * 2.0;
}

static double
within(double value, double low, double high)
{
	return fmin(fmax(value, low), high);
}

static double
rounded(double value, int decimals)
{
	double scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1;

	return round(value * scale) / scale;
}

void
walk_start(struct walk *walk, uint64_t seed, int number)
{
	/* The seeds of neighbours are far apart (golden ratio), and the first values, which still look alike, are thrown away. */
	walk->random =
		(seed + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ ((uint64_t) number + 1) * UINT64_C(0xD1B54A32D192ED03);
	if (walk->random == 0)
		walk->random = 1;
	for (int i = 0; i < 8; i++)
		next_random(&walk->random);
	walk->step = 0;
	walk->cores = 1 << (int) (uniform(walk) * 4);
	walk->cpu_mean = 2 + 30 * uniform(walk);
	walk->cpu = walk->cpu_mean;
	walk->burst = 0;
	walk->memory_mb = 512 * pow(2, (int) (uniform(walk) * 7));
	walk->memory_used = walk->memory_mb * (0.2 + 0.5 * uniform(walk));
	walk->disk_gb = 10 * pow(2, (int) (uniform(walk) * 6));
	walk->disk_used = walk->disk_gb * (0.2 + 0.5 * uniform(walk));
	walk->disk_growth = walk->disk_gb * 1e-7 * uniform(walk);
	for (int i = 0; i < 3; i++)
		walk->load[i] = walk->cpu_mean * walk->cores / 100;
	walk->traffic = 1000 * exp(5 * uniform(walk));
	walk->uptime = floor(uniform(walk) * 200 * DAY_S);
}

static void
advance(struct walk *walk, int step_s)
{
	static const double minutes[] = {1, 5, 15};
	double rhythm = 0.4 * walk->cpu_mean * sin(TWO_PI * walk->step * step_s / DAY_S);

	walk->step++;
	walk->uptime += step_s;
	walk->cpu += 0.2 * (walk->cpu_mean + rhythm - walk->cpu) + 1.5 * noise(walk);
	walk->burst = uniform(walk) < 0.005 ? 15 + 60 * uniform(walk) : walk->burst * 0.6;
	walk->memory_used = within(walk->memory_used + walk->memory_mb * 0.001 * noise(walk),
							   walk->memory_mb * 0.1, walk->memory_mb * 0.95);
	walk->disk_used += walk->disk_growth * step_s;
	if (uniform(walk) < 0.0005 || walk->disk_used > walk->disk_gb * 0.95)
		walk->disk_used *= 0.97;
	for (int i = 0; i < 3; i++) {
		double runnable = (walk->cpu + walk->burst) * walk->cores / 100 + 0.1 * uniform(walk);

		walk->load[i] += (runnable - walk->load[i]) * (1 - exp(-step_s / (60 * minutes[i])));
	}
}

/* Bytes per second: many times the usual now and then. */
static double
rate(struct walk *walk, double share)
{
	return rounded(within(walk->traffic * share * exp(0.7 * noise(walk)), 0, MAX_BPS), 0);
}

void
walk_next(struct walk *walk, int step_s, struct row *row)
{
	double *value = row->value;

	advance(walk, step_s);
	for (int i = 0; i < METRICS; i++)
		value[i] = 0;
	value[M_CPU_PERCENT] = rounded(within(walk->cpu + walk->burst, 0.1, 100), 1);
	value[M_CPU_IOWAIT_PERCENT] = rounded(2 * uniform(walk) * uniform(walk), 1);
	value[M_CPU_CORES] = walk->cores;
	for (int i = 0; i < 3; i++)
		value[M_LOAD_AVG_1M + i] = rounded(fmax(walk->load[i], 0), 2);
	value[M_MEMORY_PERCENT] = rounded(100 * walk->memory_used / walk->memory_mb, 1);
	value[M_MEMORY_MB] = rounded(walk->memory_used, 0);
	value[M_MEMORY_AVAILABLE_MB] = rounded(walk->memory_mb - walk->memory_used, 0);
	value[M_SWAP_PERCENT] = walk->cores > 2 ? NAN : rounded(5 * uniform(walk), 1);
	value[M_DISK_PERCENT] = ceil(100 * walk->disk_used / walk->disk_gb);
	value[M_DISK_GB] = rounded(walk->disk_used, 2);
	value[M_INODE_PERCENT] = ceil(40 * walk->disk_used / walk->disk_gb);
	value[M_DISK_READ_BPS] = rate(walk, 0.3);
	value[M_DISK_WRITE_BPS] = rate(walk, 2);
	value[M_DISK_BUSY_PERCENT] = rounded(10 * uniform(walk) * uniform(walk), 1);
	value[M_NET_RX_BPS] = rate(walk, 1);
	value[M_NET_TX_BPS] = rate(walk, 1.5);
	value[M_TCP_RETRANSMIT_PERCENT] = rounded(0.5 * uniform(walk) * uniform(walk), 2);
	value[M_PSI_CPU] = rounded(3 * uniform(walk) * uniform(walk), 2);
	value[M_PSI_IO] = rounded(uniform(walk) * uniform(walk), 2);
	value[M_PROCESSES] = 80 + floor(60 * uniform(walk));
	value[M_OPEN_FILES_PERCENT] = rounded(2 * uniform(walk), 1);
	value[M_CONNTRACK_PERCENT] = NAN;
	value[M_UPTIME_SECONDS] = walk->uptime;
	value[M_CLOCK_OFFSET_MS] = rounded(4 * noise(walk), 0);
	value[M_INTERVAL_MS] = step_s * 1000;
}
