/*
 * inhibition.h: whether an alert is kept from people because another one explains it (alerting.md 2.4; contracts C12, C13).
 *
 * Belongs here: one rule, its sources, what they do to one target. Does not belong here: matchers, where alerts come from, silences.
 * Times are microseconds of any epoch. NEUTRAL, pure; memory is the caller's.
 */
#ifndef OBSERV_CORE_INHIBITION_H
#define OBSERV_CORE_INHIBITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/alert_state.h"
#include "core/slice.h"

/* Ranks of severities: 0 info … 6 emergency. */
#define INHIBITION_SEVERITIES 7

/* grace_us: two evaluations of the target. */
#define INHIBITION_GRACE_OF_TARGET INT64_MIN

/* Strongest first. */
enum inhibition_kind {
	INHIBITION_FIRING,  /* a source fires */
	INHIBITION_PENDING, /* a source may fire soon (C13) */
	INHIBITION_GRACE, /* a source was resolved a moment ago, and no newer sample has confirmed the target (C12) */
	INHIBITION_NONE,
};

struct inhibition_rule {
	int n_equal;         /* labels that must be the same on both */
	bool lower_severity; /* only targets of a lower severity than the source's */
	bool hold_on_pending;
	int64_t grace_us;
};

/* An alert that matches the source side of a rule. Filled by the caller up to `values`. */
struct inhibition_source {
	int64_t id;
	enum alert_status status;
	bool is_target; /* it matches the target side, too */
	int severity;
	int64_t active_at, ended_at;
	int64_t for_us, interval_us; /* of its rule */
	const struct slice *values;  /* of the labels in `equal` */
	/* The index's. */
	uint64_t hash;
	enum inhibition_kind kind;
	struct inhibition_source *next;
};

/* An alert that matches the target side. */
struct inhibition_target {
	int64_t id;
	bool is_source; /* it matches the source side, too */
	int severity;
	int64_t starts_at;  /* ALERT_NEVER: has not fired */
	int64_t sampled_at; /* ALERT_NEVER: not known */
	int64_t interval_us;
	const struct slice *values;
};

/* Sources of one rule by their values. */
struct inhibition_index {
	struct inhibition_rule rule;
	int64_t at;
	size_t mask;
	struct inhibition_source **chain;
};

struct inhibition_verdict {
	enum inhibition_kind kind;
	int64_t source_id;
	int64_t until; /* ALERT_NEVER: until the source is resolved */
};

/* Room in chains that an index of n sources needs: a power of two. */
size_t inhibition_chains(size_t n);

/*
 * Indexes the sources at `at`; they and chains, which has inhibition_chains(n) elements, must last as long as the index. Of sources that can't be
 * told apart by any target only the one that does most is kept, so that a decision costs the same however many there are.
 */
void inhibition_build(struct inhibition_index *index, const struct inhibition_rule *rule, int64_t at,
					  struct inhibition_source *sources, size_t n, struct inhibition_source **chains);

/*
 * What the sources do to the target, the strongest. A source mutes while it fires or recovers, muted itself or not. An alert that is on both
 * sides is not muted by another that is (nor by itself), unless the rule compares severities, which settles it. A pending source holds targets
 * that began not much before it, until active_at + for + interval. A resolved one holds those whose newest sample is not newer than its end,
 * until ended_at + grace.
 */
struct inhibition_verdict inhibition_decide(const struct inhibition_index *index,
											const struct inhibition_target *target);

#endif
