/* adaptive.c: Steps of the interval and what an hour looked like. See adaptive.h for what belongs here. */
#include "core/adaptive.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define QUIET_MS        (5 * 60 * 1000) /* before each step that is slower */
#define DEAR_CPU_US     10000
#define DEAR_FOR_MS     60000
#define FLOOR_WHEN_DEAR 15000
#define BUCKET_MS       (5 * 60 * 1000)
#define SIGMAS          4
#define HISTORY_S       600 /* less is no history to be surprised by */
#define BUSY_PERCENT    80
#define STALLED_PERCENT 10

static const int64_t steps_ms[] = {ADAPTIVE_FASTEST_MS, 10000, 15000, ADAPTIVE_SLOWEST_MS};
#define STEPS ((int) (sizeof steps_ms / sizeof *steps_ms))

/* Levels that call for fast samples by themselves. */
static const struct {
	enum metric metric;
	double above;
	const char *reason;
} levels[] = {
	{M_DISK_BUSY_PERCENT, BUSY_PERCENT, "a disk is busy"},
	{M_PSI_CPU, STALLED_PERCENT, "tasks wait for CPU"},
	{M_PSI_MEMORY, STALLED_PERCENT, "tasks wait for memory"},
	{M_PSI_IO, STALLED_PERCENT, "tasks wait for I/O"},
};

/* Metrics whose jumps do. A jump below `least` is none, however quiet the hour was. */
static const struct {
	enum metric metric;
	double least;
	const char *reason;
} watched[ADAPTIVE_WATCHED] = {
	{M_CPU_PERCENT, 10, "CPU use has jumped"},
	{M_MEMORY_PERCENT, 3, "memory use has jumped"},
	{M_SWAP_IO_PER_S, 100, "swapping has jumped"},
	{M_DISK_BUSY_PERCENT, 20, "disk use has jumped"},
	{M_NET_RX_BPS, 262144, "received traffic has jumped"},
	{M_NET_TX_BPS, 262144, "sent traffic has jumped"},
	{M_NET_ERRORS_PER_S, 2, "network errors have jumped"},
	{M_TCP_RETRANSMIT_PERCENT, 5, "TCP retransmissions have jumped"},
};

void
adaptive_init(struct adaptive *a, int64_t now_ms)
{
	memset(a, 0, sizeof *a);
	a->quiet_since_ms = now_ms;
	for (int i = 0; i < ADAPTIVE_WATCHED; i++)
		a->last[i] = NAN;
}

/* Standard deviation of what the hour holds, NAN while that is too little. */
static double
deviation(const struct adaptive_bucket *hour, int64_t number)
{
	double weight = 0, mean = 0, squares = 0;

	/* Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979. */
	for (int i = 0; i < ADAPTIVE_BUCKETS; i++) {
		const struct adaptive_bucket *b = &hour[i];
		if (b->weight <= 0 || b->number <= number - ADAPTIVE_BUCKETS)
			continue;
		double delta = b->mean - mean, sum = weight + b->weight;
		squares += b->squares + delta * delta * weight * b->weight / sum;
		mean += delta * b->weight / sum;
		weight = sum;
	}
	return weight < HISTORY_S ? NAN : sqrt(squares / weight);
}

/* West: Updating mean and variance estimates, 1979. */
static void
remember(struct adaptive_bucket *hour, int64_t number, double value, double seconds)
{
	struct adaptive_bucket *b = &hour[number % ADAPTIVE_BUCKETS];

	if (b->number != number)
		*b = (struct adaptive_bucket){.number = number};
	double delta = value - b->mean;
	b->weight += seconds;
	b->mean += delta * seconds / b->weight;
	b->squares += seconds * delta * (value - b->mean);
}

/* Whether a watched metric has moved further than its last hour explains; then keeps the value. */
static const char *
jump(struct adaptive *a, const struct row *row, int64_t now_ms)
{
	int64_t number = now_ms / BUCKET_MS + 1;
	double seconds = row->value[M_INTERVAL_MS] / 1000;
	const char *reason = NULL;

	for (int i = 0; i < ADAPTIVE_WATCHED; i++) {
		double value = row->value[watched[i].metric], moved = fabs(value - a->last[i]);
		double sigma = deviation(a->hour[i], number);
		/* What is not known compares as false. */
		if (!reason && moved > SIGMAS * sigma && moved >= watched[i].least)
			reason = watched[i].reason;
		if (isfinite(value) && seconds > 0)
			remember(a->hour[i], number, value, seconds);
		a->last[i] = value;
	}
	return reason;
}

static const char *
level(const struct row *row)
{
	double steal = row->value[M_CPU_STEAL_PERCENT];

	if (row->value[M_CPU_PERCENT] + (isfinite(steal) ? steal : 0) > BUSY_PERCENT)
		return "the CPU is busy";
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (row->value[levels[i].metric] > levels[i].above)
			return levels[i].reason;
	return NULL;
}

int64_t
adaptive_interval_ms(const struct adaptive *a, bool spool_filling, int64_t now_ms)
{
	bool dear = spool_filling || now_ms < a->dear_until_ms;
	int64_t interval = steps_ms[a->step];

	return dear && interval < FLOOR_WHEN_DEAR ? FLOOR_WHEN_DEAR : interval;
}

void
adaptive_hurry(struct adaptive *a, const char *what, int64_t now_ms)
{
	a->step = 0;
	a->quiet_since_ms = now_ms;
	a->reason = what;
}

int64_t
adaptive_sample(struct adaptive *a, const struct row *row, const struct adaptive_hints *hints, int64_t now_ms)
{
	const char *jumped = jump(a, row, now_ms), *reason = level(row);

	if (hints->cpu_us > DEAR_CPU_US)
		a->dear_until_ms = now_ms + DEAR_FOR_MS;
	if (!reason)
		reason = hints->boost ? "the database asks for it" : hints->check_failed ? "a check failed" : jumped;
	if (reason)
		adaptive_hurry(a, reason, now_ms);
	else if (now_ms - a->quiet_since_ms >= QUIET_MS && a->step < STEPS - 1) {
		a->step++;
		a->quiet_since_ms = now_ms;
		a->reason = NULL;
	}
	return adaptive_interval_ms(a, hints->spool_filling, now_ms);
}
