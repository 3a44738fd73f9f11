#include "core/token_bucket.h"

#include <math.h>

#define MINUTE_US 60e6

/* Sums of fractions: what is short of a whole token by less than that is one. */
#define NEARLY 1e-9

static double
tokens_at(const struct token_bucket *b, const struct token_bucket_rules *rules, int64_t now_us)
{
	double burst = rules->burst < 1 ? 1 : rules->burst, tokens = b->tokens;

	if (isnan(tokens))
		return burst;
	if (now_us > b->at_us)
		tokens += ((double) now_us - (double) b->at_us) * rules->per_minute / MINUTE_US;
	return tokens < 0 ? 0 : tokens > burst ? burst : tokens;
}

bool
token_bucket_take(struct token_bucket *b, const struct token_bucket_rules *rules, int64_t now_us)
{
	if (rules->per_minute <= 0)
		return true;
	b->tokens = tokens_at(b, rules, now_us);
	b->at_us = now_us;
	if (b->tokens < 1 - NEARLY)
		return false;
	b->tokens = b->tokens < 1 ? 0 : b->tokens - 1;
	return true;
}

int64_t
token_bucket_wait_us(const struct token_bucket *b, const struct token_bucket_rules *rules, int64_t now_us)
{
	if (rules->per_minute <= 0)
		return 0;
	double missing = 1 - tokens_at(b, rules, now_us);
	return missing <= NEARLY ? 0 : (int64_t) ceil(missing * MINUTE_US / rules->per_minute);
}
