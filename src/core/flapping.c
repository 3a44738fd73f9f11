/*
 * flapping.c: see flapping.h. NEUTRAL, pure.
 */
#include "core/flapping.h"

#define WEIGHT_NEWEST 1.18
#define WEIGHT_STEP   0.02
#define BEGINS_ABOVE  30.0
#define ENDS_BELOW    25.0

uint32_t
flapping_record(uint32_t history, int64_t evaluations, bool changed)
{
	history = evaluations >= FLAPPING_SLOTS ? 0 : history << evaluations;
	history |= changed;
	return history & ((UINT32_C(1) << FLAPPING_SLOTS) - 1);
}

double
flapping_percent(uint32_t history)
{
	double sum = 0;

	for (int slot = 0; slot < FLAPPING_SLOTS; slot++)
		if (history >> slot & 1)
			sum += WEIGHT_NEWEST - WEIGHT_STEP * slot;
	return 100 * sum / FLAPPING_SLOTS;
}

bool
flapping_decide(uint32_t history, bool before)
{
	double percent = flapping_percent(history);

	return before ? percent >= ENDS_BELOW : percent > BEGINS_ABOVE;
}
