/* breaker.c: See breaker.h for what belongs here. The three states are those of Nygard, "Release It!". */
#include "core/breaker.h"

#include <inttypes.h>
#include <stdio.h>

#define MAX_COUNT 1000000000

static const char *const state_names[] = {"closed", "open", "half-open"};

bool
breaker_allows(struct breaker *b, int64_t now_ms)
{
	if (b->state != BREAKER_OPEN)
		return true;
	if (now_ms < b->probe_ms)
		return false;
	b->state = BREAKER_HALF_OPEN;
	b->successes = 0;
	return true;
}

void
breaker_succeeded(struct breaker *b, const struct breaker_rules *rules)
{
	if (b->state != BREAKER_CLOSED && ++b->successes < rules->successes) {
		b->state = BREAKER_HALF_OPEN;
		return;
	}
	*b = (struct breaker){.state = BREAKER_CLOSED};
}

static int64_t
pause_ms(const struct breaker *b, const struct breaker_rules *rules, uint32_t random)
{
	int64_t pause = rules->pause_ms;

	for (int i = 0; i < b->openings && i < 2; i++)
		pause *= 2;
	if (pause > BREAKER_MAX_PAUSE_MS)
		pause = BREAKER_MAX_PAUSE_MS;
	return pause - pause / 10 * (int64_t) (random % 1024) / 1024;
}

void
breaker_failed(struct breaker *b, const struct breaker_rules *rules, int64_t now_ms, uint32_t random)
{
	if (b->failures < MAX_COUNT)
		b->failures++;
	b->successes = 0;
	if (b->state == BREAKER_CLOSED && b->failures < rules->failures)
		return;
	b->state = BREAKER_OPEN;
	b->probe_ms = now_ms + pause_ms(b, rules, random);
	if (b->openings < MAX_COUNT)
		b->openings++;
}

const char *
breaker_state_name(enum breaker_state state)
{
	return state_names[state];
}

void
breaker_write(const struct breaker *b, int64_t now_ms, char out[BREAKER_TEXT_SIZE])
{
	int64_t left = b->state == BREAKER_OPEN && b->probe_ms > now_ms ? b->probe_ms - now_ms : 0;

	if (left > BREAKER_MAX_PAUSE_MS)
		left = BREAKER_MAX_PAUSE_MS;
	snprintf(out, BREAKER_TEXT_SIZE, "%s %d %d %d %" PRId64, state_names[b->state], b->failures, b->successes,
			 b->openings, left);
}

bool
breaker_read(struct slice text, int64_t now_ms, struct breaker *out)
{
	struct slice word, rest = text;
	int64_t number[4];

	*out = (struct breaker){.state = BREAKER_CLOSED};
	if (!slice_word(&rest, &word))
		return false;
	for (int i = 0; i < 4; i++)
		if (!slice_next_i64(&rest, &number[i]) || number[i] > MAX_COUNT)
			return false;
	if (slice_word(&rest, &(struct slice){NULL, NULL}))
		return false;
	for (enum breaker_state state = BREAKER_CLOSED; state <= BREAKER_HALF_OPEN; state++)
		if (slice_equals(word, state_names[state])) {
			int64_t left = number[3] > BREAKER_MAX_PAUSE_MS ? BREAKER_MAX_PAUSE_MS : number[3];
			*out = (struct breaker){state, (int) number[0], (int) number[1], (int) number[2], now_ms + left};
			return true;
		}
	return false;
}
