/* schedule.c: Arithmetic on moments. See schedule.h for what belongs here. */
#include "core/schedule.h"

#include "core/hash.h"

int64_t
splay_ms(const char *vps_name, int64_t interval_ms)
{
	uint64_t h = hash_string(HASH_SEED, vps_name);

	/* FNV's low bits of similar names are similar: fold the high ones in. */
	return (int64_t) ((h ^ (h >> 32)) % (uint64_t) interval_ms);
}

int64_t
next_tick_ms(int64_t now_ms, int64_t last_ms, int64_t interval_ms, int64_t splay)
{
	int64_t phase = (now_ms - splay) % interval_ms;

	if (phase < 0)
		phase += interval_ms;
	int64_t tick = now_ms - phase + interval_ms;
	if (last_ms != INT64_MIN && last_ms <= now_ms && tick - last_ms < interval_ms / 2)
		tick += interval_ms;
	return tick;
}

int64_t
backoff_ms(int attempt, int64_t floor_ms, int64_t ceiling_ms, uint32_t random)
{
	int64_t wait = floor_ms;

	while (attempt-- > 0 && wait < ceiling_ms)
		wait *= 2;
	if (wait > ceiling_ms)
		wait = ceiling_ms;
	return wait / 2 + (int64_t) (random % (uint32_t) (wait / 2 + 1));
}

int64_t
next_timestamp_us(struct timestamps *t, int64_t clock_us)
{
	int64_t ms = clock_us / 1000;

	if (ms <= t->last_ms)
		t->era = (t->era + 1) % 1000;
	t->last_ms = ms;
	return ms * 1000 + t->era;
}
