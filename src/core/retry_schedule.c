#include "core/retry_schedule.h"

#include "core/hash.h"

int64_t
retry_delay_ms(int failures, uint64_t chance)
{
	static const int seconds[] = {1, 2, 4, 8, 16, 30, 60, 60, 60, 120, 300};
	const int last = sizeof seconds / sizeof *seconds - 1;
	int i = failures < 1 ? 0 : failures - 1 > last ? last : failures - 1;

	/* 800 to 1200 thousandths of a second. */
	return (int64_t) seconds[i] * (800 + (int64_t) (chance % 401));
}

uint64_t
retry_chance(int64_t notification_id, int attempt)
{
	uint64_t id = (uint64_t) notification_id;
	unsigned char bytes[12];

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char) (id >> 8 * i);
	for (int i = 0; i < 4; i++)
		bytes[8 + i] = (unsigned char) ((uint32_t) attempt >> 8 * i);
	return hash_finish(hash_span(HASH_SEED, bytes, sizeof bytes));
}
