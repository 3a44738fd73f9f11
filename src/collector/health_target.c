/* health_target.c: See health_target.h for what belongs here. */
#include "collector/health_target.h"

#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "collector/waiting.h"
#include "core/hash.h"
#include "core/schedule.h"

#define BREAKER_SUCCESSES 2
#define SPREAD_MS         500  /* of checks of one round: at most, and a tenth of the interval */
#define FIRST_WITHIN_MS   1000 /* after a start: one round */
#define CONFIRM_MS        5000 /* half-open: from the first success to the second */
#define DOUBTFUL_MS       30000

/* The 1 keeps NULL and "" apart. */
static uint64_t
hash_text(uint64_t h, const char *text)
{
	return text ? hash_span(h ^ 1, text, strlen(text) + 1) : hash_span(h, "", 1);
}

static uint64_t
hash_identity(const struct health_check *c)
{
	return hash_finish(hash_text(hash_text(HASH_SEED + c->kind, c->url), c->name));
}

static uint64_t
hash_settings(const struct health_check *c)
{
	const int numbers[] = {c->interval_s,       c->timeout_s,         c->max_latency_ms,
						   c->follow_redirects, c->verify_tls,        c->ip_family,
						   c->max_lag_s,        c->failure_threshold, c->cooldown_s};
	uint64_t h = hash_span(HASH_SEED, numbers, sizeof numbers);

	h = hash_text(hash_text(h, c->method), c->body);
	h = hash_text(hash_text(h, c->body_contains), c->body_not_contains);
	h = hash_text(hash_text(h, c->body_regex), c->json_path);
	for (int i = 0; i < c->headers.count; i++)
		h = hash_text(h, c->headers.item[i]);
	return hash_span(h, c->expected, (size_t) c->expected_count * sizeof *c->expected);
}

bool
target_is_remote(const struct health_target *t)
{
	return t->check->kind != CHECK_UNIT && strncasecmp(t->check->url, "redis:///", 9) != 0;
}

void
target_init(struct health_target *t, const struct health_check *check)
{
	memset(t, 0, sizeof *t);
	t->check = check;
	t->identity = hash_identity(check);
	t->settings = hash_settings(check);
	t->rules = (struct breaker_rules){check->failure_threshold, BREAKER_SUCCESSES,
									  (int64_t) check->cooldown_s * 1000};
	t->try_ms = NEVER;
	t->last_wall_ms = INT64_MIN;
}

void
target_inherit(struct health_target *t, const struct health_target *old)
{
	t->breaker = old->breaker;
	t->last_wall_ms = old->last_wall_ms;
	t->doubted = old->doubted;
	t->tried = old->tried;
	t->good = old->good;
	t->result = old->result;
	memcpy(t->saved, old->saved, sizeof t->saved);
	if (t->settings != old->settings)
		return;
	t->slot_ms = old->slot_ms;
	t->try_ms = old->probe ? 0 : old->try_ms; /* what was under way begins anew */
}

void
target_plan(struct health_target *t, const char *vps_name, int64_t now_ms)
{
	int64_t interval = (int64_t) t->check->interval_s * 1000, spread = interval / 10;
	int64_t wall = clock_us(CLOCK_REALTIME) / 1000;

	if (spread > SPREAD_MS)
		spread = SPREAD_MS;
	int64_t splay = splay_ms(vps_name, interval) + (int64_t) (t->identity % (uint64_t) spread);
	t->slot_ms = now_ms + next_tick_ms(wall, t->last_wall_ms, interval, splay % interval) - wall;
}

void
target_plan_first(struct health_target *t, const char *vps_name, int64_t now_ms, uint32_t random)
{
	int64_t interval = (int64_t) t->check->interval_s * 1000;
	int64_t since = clock_us(CLOCK_REALTIME) / 1000 - t->last_wall_ms;
	int64_t within = interval < FIRST_WITHIN_MS ? interval : FIRST_WITHIN_MS;

	target_plan(t, vps_name, now_ms);
	if (t->last_wall_ms == INT64_MIN || since < 0 || since >= interval)
		t->slot_ms = now_ms + (int64_t) (random % (uint32_t) within);
}

void
target_plan_retry(struct health_target *t, int64_t now_ms)
{
	t->try_ms = NEVER;
	if (t->breaker.state == BREAKER_OPEN)
		t->try_ms = t->breaker.probe_ms;
	else if (t->breaker.state == BREAKER_HALF_OPEN)
		t->try_ms = now_ms + (t->good ? CONFIRM_MS : DOUBTFUL_MS);
}
