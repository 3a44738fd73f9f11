/* inhibition.c: A hash of sources by the values of the equal labels. See inhibition.h for what belongs here. */
#include "core/inhibition.h"

#include "core/hash.h"

static uint64_t
hash_values(const struct slice *values, int n)
{
	uint64_t hash = HASH_SEED;

	for (int i = 0; i < n; i++) {
		uint32_t length = (uint32_t) (values[i].end - values[i].p);

		hash = hash_span(hash, &length, sizeof length);
		if (length > 0)
			hash = hash_span(hash, values[i].p, length);
	}
	return hash_finish(hash);
}

static bool
same_values(const struct slice *a, const struct slice *b, int n)
{
	for (int i = 0; i < n; i++)
		if (slice_compare(a[i], b[i]) != 0)
			return false;
	return true;
}

/* Sum of two times of which the second may be as long as an interval can be. */
static int64_t
later(int64_t at, int64_t by)
{
	int64_t sum;

	return __builtin_add_overflow(at, by, &sum) ? INT64_MAX : sum;
}

/* How long a pending source may hold: until it has fired, or was evaluated once more. */
static int64_t
hold_span(const struct inhibition_source *s)
{
	return later(s->for_us, s->interval_us);
}

static int64_t
hold_end(const struct inhibition_source *s)
{
	return later(s->active_at, hold_span(s));
}

/*
 * Targets that began before this are not held: what has been going on for long is no consequence of what the source is about to find, and people may
 * know of it already. Sources notice later than their consequences do, hence twice the span.
 */
static int64_t
hold_from(const struct inhibition_source *s)
{
	int64_t span = hold_span(s), from;

	if (__builtin_sub_overflow(s->active_at, span, &from) || __builtin_sub_overflow(from, span, &from))
		return INT64_MIN;
	return from;
}

/* What a source can do at that time at most. */
static enum inhibition_kind
kind_of(const struct inhibition_rule *rule, const struct inhibition_source *s, int64_t at)
{
	switch (s->status) {
	case ALERT_FIRING:
	case ALERT_RECOVERING:
		return INHIBITION_FIRING;
	case ALERT_PENDING:
		return rule->hold_on_pending && at < hold_end(s) ? INHIBITION_PENDING : INHIBITION_NONE;
	case ALERT_RESOLVED:
		return rule->grace_us != 0 && s->ended_at <= at ? INHIBITION_GRACE : INHIBITION_NONE;
	case ALERT_INACTIVE:
		break;
	}
	return INHIBITION_NONE;
}

/* Whether `a` mutes every target that `b` does; both of the same values, kind, side and severity. */
static bool
does_more(const struct inhibition_source *a, const struct inhibition_source *b)
{
	switch (a->kind) {
	case INHIBITION_PENDING:
		return hold_from(a) < hold_from(b);
	case INHIBITION_GRACE:
		return a->ended_at > b->ended_at;
	default:
		return a->id < b->id;
	}
}

size_t
inhibition_chains(size_t n)
{
	size_t size = 1;

	while (size < n)
		size *= 2;
	return size;
}

static void
insert(struct inhibition_index *index, struct inhibition_source *source)
{
	struct inhibition_source **at = &index->chain[source->hash & index->mask];

	for (; *at != NULL; at = &(*at)->next) {
		struct inhibition_source *other = *at;

		if (other->hash != source->hash || other->kind != source->kind ||
			other->is_target != source->is_target || other->severity != source->severity ||
			!same_values(other->values, source->values, index->rule.n_equal))
			continue;
		if (does_more(source, other)) {
			source->next = other->next;
			*at = source;
		}
		return;
	}
	source->next = NULL;
	*at = source;
}

void
inhibition_build(struct inhibition_index *index, const struct inhibition_rule *rule, int64_t at,
				 struct inhibition_source *sources, size_t n, struct inhibition_source **chains)
{
	index->rule = *rule;
	index->at = at;
	index->mask = inhibition_chains(n) - 1;
	index->chain = chains;
	for (size_t i = 0; i <= index->mask; i++)
		chains[i] = NULL;
	for (size_t i = 0; i < n; i++) {
		sources[i].kind = kind_of(rule, &sources[i], at);
		sources[i].hash = hash_values(sources[i].values, rule->n_equal);
		if (sources[i].kind != INHIBITION_NONE)
			insert(index, &sources[i]);
	}
}

static int64_t
grace_end(const struct inhibition_rule *rule, const struct inhibition_source *s,
		  const struct inhibition_target *target)
{
	return later(s->ended_at, rule->grace_us == INHIBITION_GRACE_OF_TARGET
								  ? later(target->interval_us, target->interval_us)
								  : rule->grace_us);
}

/* Whether that source mutes the target, values apart; *until as in the verdict. */
static bool
mutes(const struct inhibition_index *index, const struct inhibition_source *s,
	  const struct inhibition_target *target, int64_t *until)
{
	*until = ALERT_NEVER;
	if (s->id == target->id)
		return false;
	if (index->rule.lower_severity ? s->severity <= target->severity : s->is_target && target->is_source)
		return false;
	switch (s->kind) {
	case INHIBITION_PENDING:
		*until = hold_end(s);
		return target->starts_at == ALERT_NEVER || target->starts_at >= hold_from(s);
	case INHIBITION_GRACE:
		*until = grace_end(&index->rule, s, target);
		return index->at < *until && (target->sampled_at == ALERT_NEVER || target->sampled_at <= s->ended_at);
	default:
		return true;
	}
}

struct inhibition_verdict
inhibition_decide(const struct inhibition_index *index, const struct inhibition_target *target)
{
	struct inhibition_verdict verdict = {.kind = INHIBITION_NONE, .until = ALERT_NEVER};
	uint64_t hash = hash_values(target->values, index->rule.n_equal);

	for (const struct inhibition_source *s = index->chain[hash & index->mask]; s != NULL; s = s->next) {
		int64_t until;

		if (s->hash != hash || s->kind > verdict.kind ||
			(s->kind == verdict.kind && s->id > verdict.source_id) ||
			!same_values(s->values, target->values, index->rule.n_equal) || !mutes(index, s, target, &until))
			continue;
		verdict = (struct inhibition_verdict){s->kind, s->id, until};
	}
	return verdict;
}
