/*
 * token_bucket.h: how much may be sent to a receiver, in bursts and on average.
 *
 * Belongs here: counting. Does not belong here: clocks, where the state is kept. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_TOKEN_BUCKET_H
#define OBSERV_CORE_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct token_bucket_rules {
	double per_minute; /* what flows in; 0 or less: no limit */
	double burst;      /* what it holds; less than 1 counts as 1 */
};

struct token_bucket {
	double tokens; /* NaN: full */
	int64_t
		at_us; /* when that was so, by the caller's clock. A clock that steps back adds nothing and takes nothing */
};

/* Takes one token, when there is one at `now_us`. The state is brought up to date in any case. */
bool token_bucket_take(struct token_bucket *bucket, const struct token_bucket_rules *rules, int64_t now_us);

/* Microseconds from `now_us` until there is one, 0: there is. Changes nothing. */
int64_t token_bucket_wait_us(const struct token_bucket *bucket, const struct token_bucket_rules *rules,
							 int64_t now_us);

#endif
