#include "unit.h"

#include "core/inhibition.h"

#define S        INT64_C(1000000)
#define INTERVAL (15 * S)

static struct slice values_a[1], values_b[1], none[1];

/* What the rule's sources do to the target at a time, in seconds. */
static struct inhibition_verdict
decide(const struct inhibition_rule *rule, int64_t at, struct inhibition_source *sources, size_t n,
	   const struct inhibition_target *target)
{
	struct inhibition_index index;
	struct inhibition_source *chains[64];

	values_a[0] = slice_of("a");
	values_b[0] = slice_of("b");
	assert_true(inhibition_chains(n) <= 64);
	inhibition_build(&index, rule, at * S, sources, n, chains);
	return inhibition_decide(&index, target);
}

static const struct inhibition_rule by_one_label = {
	.n_equal = 1, .hold_on_pending = true, .grace_us = INHIBITION_GRACE_OF_TARGET};

static struct inhibition_source
source(int64_t id, enum alert_status status)
{
	return (struct inhibition_source){.id = id,
									  .status = status,
									  .severity = 5,
									  .active_at = 0,
									  .ended_at = ALERT_NEVER,
									  .for_us = 60 * S,
									  .interval_us = INTERVAL,
									  .values = values_a};
}

static struct inhibition_target
target(int64_t id)
{
	return (struct inhibition_target){.id = id,
									  .severity = 3,
									  .starts_at = 0,
									  .sampled_at = 0,
									  .interval_us = INTERVAL,
									  .values = values_a};
}

static void
a_source_mutes_while_it_fires(void **state)
{
	struct inhibition_source s = source(1, ALERT_FIRING);
	struct inhibition_target t = target(2);
	struct inhibition_verdict v = decide(&by_one_label, 1000, &s, 1, &t);

	assert_int_equal(v.kind, INHIBITION_FIRING);
	assert_int_equal(v.source_id, 1);
	assert_true(v.until == ALERT_NEVER);
	s = source(1, ALERT_RECOVERING);
	assert_int_equal(decide(&by_one_label, 1000, &s, 1, &t).kind, INHIBITION_FIRING);
	s = source(1, ALERT_INACTIVE);
	assert_int_equal(decide(&by_one_label, 1000, &s, 1, &t).kind, INHIBITION_NONE);
	assert_int_equal(decide(&by_one_label, 1000, NULL, 0, &t).kind, INHIBITION_NONE);
	t.values = values_b;
	s = source(1, ALERT_FIRING);
	assert_int_equal(decide(&by_one_label, 1000, &s, 1, &t).kind, INHIBITION_NONE);
	/* Missing on both is equal; missing on one is not. */
	t.values = none;
	assert_int_equal(decide(&by_one_label, 1000, &s, 1, &t).kind, INHIBITION_NONE);
	s.values = none;
	assert_int_equal(decide(&by_one_label, 1000, &s, 1, &t).kind, INHIBITION_FIRING);
}

static void
equal_labels_are_told_apart(void **state)
{
	struct inhibition_rule rule = {.n_equal = 2};
	struct slice ab_c[2] = {slice_of("ab"), slice_of("c")}, a_bc[2] = {slice_of("a"), slice_of("bc")};
	struct inhibition_source s = source(1, ALERT_FIRING);
	struct inhibition_target t = target(2);

	s.values = ab_c;
	t.values = a_bc;
	assert_int_equal(decide(&rule, 0, &s, 1, &t).kind, INHIBITION_NONE);
	t.values = ab_c;
	assert_int_equal(decide(&rule, 0, &s, 1, &t).kind, INHIBITION_FIRING);
	rule.n_equal = 0;
	t.values = a_bc;
	assert_int_equal(decide(&rule, 0, &s, 1, &t).kind, INHIBITION_FIRING);
}

/* On both sides: not by itself, not by its peers, but by a source that is only that. */
static void
peers_do_not_mute_each_other(void **state)
{
	struct inhibition_source s[2] = {source(1, ALERT_FIRING), source(2, ALERT_FIRING)};
	struct inhibition_target t = target(2);

	s[0].is_target = s[1].is_target = true;
	t.is_source = true;
	assert_int_equal(decide(&by_one_label, 0, s, 2, &t).kind, INHIBITION_NONE);
	s[0].is_target = false;
	assert_int_equal(decide(&by_one_label, 0, s, 2, &t).kind, INHIBITION_FIRING);
	/* A target that is no source is muted by those that are both. */
	s[0].is_target = true;
	t.is_source = false;
	t.id = 3;
	assert_int_equal(decide(&by_one_label, 0, s, 2, &t).source_id, 1);
}

static void
severities_settle_who_mutes_whom(void **state)
{
	struct inhibition_rule rule = {.n_equal = 1, .lower_severity = true};
	struct inhibition_source s[3] = {source(1, ALERT_FIRING), source(2, ALERT_FIRING),
									 source(3, ALERT_FIRING)};
	struct inhibition_target t = target(1);

	for (int i = 0; i < 3; i++) {
		s[i].is_target = true;
		s[i].severity = 3 + i;
	}
	t.is_source = true;
	assert_int_equal(decide(&rule, 0, s, 3, &t).source_id, 2);
	t.id = 2;
	t.severity = 4;
	assert_int_equal(decide(&rule, 0, s, 3, &t).source_id, 3);
	t.id = 3;
	t.severity = 5;
	assert_int_equal(decide(&rule, 0, s, 3, &t).kind, INHIBITION_NONE);
	t.id = 4; /* as high as the highest */
	assert_int_equal(decide(&rule, 0, s, 3, &t).kind, INHIBITION_NONE);
}

/* CpuHigh and ServerDown (for 60 s, evaluated each 15 s) begin at 0. */
static void
C13_a_pending_source_holds(void **state)
{
	struct inhibition_rule rule = by_one_label;
	struct inhibition_source s = source(1, ALERT_PENDING);
	struct inhibition_target t = target(2);

	assert_int_equal(decide(&rule, 0, &s, 1, &t).kind, INHIBITION_PENDING);
	assert_int_equal(decide(&rule, 74, &s, 1, &t).kind, INHIBITION_PENDING);
	assert_int_equal(decide(&rule, 74, &s, 1, &t).until, 75 * S);
	assert_int_equal(decide(&rule, 75, &s, 1, &t).kind, INHIBITION_NONE);
	s.status = ALERT_FIRING;
	assert_int_equal(decide(&rule, 75, &s, 1, &t).kind, INHIBITION_FIRING);
	/* It died pending: its row is gone. */
	assert_int_equal(decide(&rule, 30, NULL, 0, &t).kind, INHIBITION_NONE);
	/* What went on long before is no consequence. */
	s = source(1, ALERT_PENDING);
	t.starts_at = -150 * S;
	assert_int_equal(decide(&rule, 30, &s, 1, &t).kind, INHIBITION_PENDING);
	t.starts_at = -151 * S;
	assert_int_equal(decide(&rule, 30, &s, 1, &t).kind, INHIBITION_NONE);
	t.starts_at = ALERT_NEVER;
	assert_int_equal(decide(&rule, 30, &s, 1, &t).kind, INHIBITION_PENDING);
	rule.hold_on_pending = false;
	assert_int_equal(decide(&rule, 30, &s, 1, &t).kind, INHIBITION_NONE);
}

/* ServerDown ends at 100; the check shows the old failure until 130. */
static void
C12_recovery_grace(void **state)
{
	struct inhibition_rule rule = by_one_label;
	struct inhibition_source s = source(1, ALERT_RESOLVED);
	struct inhibition_target t = target(2);

	s.ended_at = 100 * S;
	t.interval_us = 30 * S;
	t.sampled_at = 70 * S;
	assert_int_equal(decide(&rule, 100, &s, 1, &t).kind, INHIBITION_GRACE);
	assert_int_equal(decide(&rule, 129, &s, 1, &t).until, 160 * S);
	t.sampled_at = 100 * S; /* not newer */
	assert_int_equal(decide(&rule, 129, &s, 1, &t).kind, INHIBITION_GRACE);
	t.sampled_at = 100 * S + 1;
	assert_int_equal(decide(&rule, 130, &s, 1, &t).kind, INHIBITION_NONE);
	t.sampled_at = ALERT_NEVER;
	assert_int_equal(decide(&rule, 159, &s, 1, &t).kind, INHIBITION_GRACE);
	assert_int_equal(decide(&rule, 160, &s, 1, &t).kind, INHIBITION_NONE);
	rule.grace_us = 40 * S;
	assert_int_equal(decide(&rule, 139, &s, 1, &t).kind, INHIBITION_GRACE);
	assert_int_equal(decide(&rule, 140, &s, 1, &t).kind, INHIBITION_NONE);
	rule.grace_us = 0;
	assert_int_equal(decide(&rule, 100, &s, 1, &t).kind, INHIBITION_NONE);
	/* One that never fired muted nothing. */
	rule.grace_us = INHIBITION_GRACE_OF_TARGET;
	s.ended_at = ALERT_NEVER;
	assert_int_equal(decide(&rule, 100, &s, 1, &t).kind, INHIBITION_NONE);
}

static void
the_strongest_is_told(void **state)
{
	struct inhibition_source s[3] = {source(1, ALERT_RESOLVED), source(2, ALERT_PENDING),
									 source(3, ALERT_FIRING)};
	struct inhibition_target t = target(9);

	assert_int_equal(decide(&by_one_label, 10, s, 3, &t).source_id, 3);
	s[0].ended_at = 5 * S;
	assert_int_equal(decide(&by_one_label, 10, s, 2, &t).source_id, 2);
	assert_int_equal(decide(&by_one_label, 10, s, 1, &t).source_id, 1);
}

/* The index keeps few; no decision may differ from that over all sources one by one. */
static void
the_index_decides_as_all_would(void **state)
{
	static const enum alert_status statuses[] = {ALERT_PENDING, ALERT_FIRING, ALERT_RECOVERING,
												 ALERT_RESOLVED};
	unsigned seed = 7;

	for (int round = 0; round < 20000; round++) {
		struct inhibition_source s[12];
		struct inhibition_rule rule = {.n_equal = rand_r(&seed) % 2,
									   .lower_severity = rand_r(&seed) % 2,
									   .hold_on_pending = rand_r(&seed) % 4 > 0,
									   .grace_us = rand_r(&seed) % 2 ? INHIBITION_GRACE_OF_TARGET : 40 * S};
		struct inhibition_target t = target(rand_r(&seed) % 16);
		int n = rand_r(&seed) % 12;
		enum inhibition_kind best = INHIBITION_NONE;

		t.is_source = t.id < n && rand_r(&seed) % 2;
		t.severity = rand_r(&seed) % 7;
		t.starts_at = (rand_r(&seed) % 400 - 300) * S;
		t.sampled_at = rand_r(&seed) % 200 * S;
		for (int i = 0; i < n; i++) {
			s[i] = source(i, statuses[rand_r(&seed) % 4]);
			s[i].is_target = rand_r(&seed) % 2;
			s[i].severity = rand_r(&seed) % 7;
			s[i].active_at = rand_r(&seed) % 100 * S;
			s[i].ended_at = s[i].status == ALERT_RESOLVED ? rand_r(&seed) % 120 * S : ALERT_NEVER;
			s[i].for_us = rand_r(&seed) % 100 * S;
			s[i].values = rand_r(&seed) % 3 ? values_a : values_b;
			if (s[i].id == t.id) {
				s[i].is_target = t.is_source = true;
				s[i].severity = t.severity;
				s[i].values = t.values;
			}
		}
		for (int i = 0; i < n; i++) {
			struct inhibition_source copy = s[i];
			struct inhibition_verdict one = decide(&rule, 100, &copy, 1, &t);

			if (one.kind < best)
				best = one.kind;
		}
		assert_int_equal(decide(&rule, 100, s, (size_t) n, &t).kind, best);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_mutes_while_it_fires), cmocka_unit_test(equal_labels_are_told_apart),
		cmocka_unit_test(peers_do_not_mute_each_other),  cmocka_unit_test(severities_settle_who_mutes_whom),
		cmocka_unit_test(C13_a_pending_source_holds),    cmocka_unit_test(C12_recovery_grace),
		cmocka_unit_test(the_strongest_is_told),         cmocka_unit_test(the_index_decides_as_all_would),
	};
	return TESTS(tests);
}
