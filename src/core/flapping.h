/*
 * flapping.h: whether something changes so often that its changes say nothing any more.
 *
 * Belongs here: the measure, as Icinga has it: the last 20 evaluations, a bit each, the newest lowest; a change weighs from 0.80 (oldest) to
 * 1.18 (newest); flapping begins above 30 % and ends below 25 % (alerting.md 2.12). Does not belong here: what a change is.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_FLAPPING_H
#define OBSERV_CORE_FLAPPING_H

#include <stdbool.h>
#include <stdint.h>

#define FLAPPING_SLOTS 20

/* The history after `evaluations` more, the last of which was a change or not. */
uint32_t flapping_record(uint32_t history, int64_t evaluations, bool changed);

/* The measure, in percent. */
double flapping_percent(uint32_t history);

/* Whether it flaps now, given whether it did before. */
bool flapping_decide(uint32_t history, bool before);

#endif
