#include "unit.h"

#include "core/nearest.h"
#include "core/rule_metrics.h"

static void
every_name_is_found_and_none_twice(void **state)
{
	for (const struct rule_metric *m = rule_metrics; m->name != NULL; m++) {
		assert_ptr_equal(rule_metric_find(m->name), m);
		assert_in_range(m->source, 0, RULE_QUERY);
		assert_true(m->help != NULL && m->unit != NULL);
		/* what is not a column has nothing to be divided or taken from 100 */
		assert_true(m->column != NULL || (m->divisor == NULL && !m->complement));
	}
	for (const struct rule_metric_alias *a = rule_metric_aliases; a->alias != NULL; a++) {
		assert_non_null(rule_metric_find(a->alias));
		assert_string_equal(rule_metric_find(a->alias)->name, a->name);
	}
	assert_null(rule_metric_find(""));
	assert_null(rule_metric_find("CPU_PERCENT"));
	assert_null(rule_metric_find("requests_total"));
}

static void
the_aliases_of_the_issue(void **state)
{
	assert_string_equal(rule_metric_find("cpu_usage")->column, "cpu_percent");
	assert_string_equal(rule_metric_find("memory_usage")->column, "memory_percent");
	assert_string_equal(rule_metric_find("disk_usage")->column, "disk_percent");
}

static void
derived_metrics(void **state)
{
	const struct rule_metric *load = rule_metric_find("load_avg_5m_per_core");
	const struct rule_metric *available = rule_metric_find("memory_available_percent");

	assert_string_equal(load->column, "load_avg_5m");
	assert_string_equal(load->divisor, "cpu_cores");
	assert_string_equal(available->column, "memory_percent");
	assert_true(available->complement);
}

static void
the_nearest_name(void **state)
{
	static const char *const also[] = {"requests_total", "queue_depth", NULL};

	assert_string_equal(rule_metric_nearest("cpu_percnt", NULL), "cpu_percent");
	assert_string_equal(rule_metric_nearest("cpu_usge", NULL), "cpu_usage");
	assert_string_equal(rule_metric_nearest("disk_persent", NULL), "disk_percent");
	assert_string_equal(rule_metric_nearest("request_total", also), "requests_total");
	assert_string_equal(rule_metric_nearest("queue_dept", also), "queue_depth");
	/* a part of it */
	assert_string_equal(rule_metric_nearest("iowait", NULL), "cpu_iowait_percent");
	assert_string_equal(rule_metric_nearest("steal", NULL), "cpu_steal_percent");
	assert_null(rule_metric_nearest("", NULL));
	assert_null(rule_metric_nearest("qqqq", NULL));
	assert_null(
		rule_metric_nearest("a_very_long_name_that_is_longer_than_any_metric_could_be_and_then_some", NULL));
}

static void
distances(void **state)
{
	assert_int_equal(name_distance("", ""), 0);
	assert_int_equal(name_distance("abc", ""), 3);
	assert_int_equal(name_distance("kitten", "sitting"), 3);
	assert_int_equal(name_distance("ab", "ba"), 2);
	assert_int_equal(
		name_distance("a", "a_very_long_name_that_is_longer_than_any_metric_could_be_and_then_some"),
		NEAREST_NAME_MAX + 1);
}

static void
operators_and_sources_by_name(void **state)
{
	static const struct {
		const char *name;
		enum rule_operator op;
	} cases[] = {{"gt", RULE_GT},       {"GTE", RULE_GTE},       {"lt", RULE_LT},        {"lte", RULE_LTE},
				 {"Eq", RULE_EQ},       {"ne", RULE_NE},         {">", RULE_GT},         {">=", RULE_GTE},
				 {"<", RULE_LT},        {"<=", RULE_LTE},        {"=", RULE_EQ},         {"==", RULE_EQ},
				 {"!=", RULE_NE},       {"<>", RULE_NE},         {"=>", RULE_OPERATORS}, {"", RULE_OPERATORS},
				 {"g", RULE_OPERATORS}, {"gtee", RULE_OPERATORS}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(rule_operator_find(cases[i].name), cases[i].op);
	assert_int_equal(rule_source_find("Log_Entries"), RULE_LOG_ENTRIES);
	assert_int_equal(rule_source_find("query"), RULE_QUERY);
	assert_int_equal(rule_source_find("logs"), RULE_SOURCES);
}

static void
thresholds(void **state)
{
	/* below, at, above */
	static const struct {
		enum rule_operator op;
		bool at[3];
	} cases[] = {{RULE_GT, {false, false, true}}, {RULE_GTE, {false, true, true}},
				 {RULE_LT, {true, false, false}}, {RULE_LTE, {true, true, false}},
				 {RULE_EQ, {false, true, false}}, {RULE_NE, {true, false, true}}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int j = 0; j < 3; j++)
			assert_int_equal(rule_signal(cases[i].op, 80, false, NAN, 79 + j),
							 cases[i].at[j] ? SIGNAL_BREACH : SIGNAL_CLEAR);
	assert_int_equal(rule_signal(RULE_GT, 80, false, NAN, INFINITY), SIGNAL_BREACH);
	assert_int_equal(rule_signal(RULE_GT, 80, false, NAN, -INFINITY), SIGNAL_CLEAR);
}

/* alerting.md 2.1: fire > 90, clear < 85: fires at first, stays through 89 and 86, clears at 84. */
static void
hysteresis(void **state)
{
	static const double values[] = {91, 89, 91, 86, 84};
	static const enum alert_signal signals[] = {SIGNAL_BREACH, SIGNAL_HOLD, SIGNAL_BREACH, SIGNAL_HOLD,
												SIGNAL_CLEAR};

	for (int i = 0; i < 5; i++) {
		assert_int_equal(rule_signal(RULE_GT, 90, true, 85, values[i]), signals[i]);
		assert_int_equal(rule_signal(RULE_LT, -90, true, -85, -values[i]), signals[i]);
	}
	/* the boundary: gt clears when it is not above it, gte when it is below */
	assert_int_equal(rule_signal(RULE_GT, 90, true, 85, 85), SIGNAL_CLEAR);
	assert_int_equal(rule_signal(RULE_GTE, 90, true, 85, 85), SIGNAL_HOLD);
	assert_int_equal(rule_signal(RULE_LT, 10, true, 15, 15), SIGNAL_CLEAR);
	assert_int_equal(rule_signal(RULE_LTE, 10, true, 15, 15), SIGNAL_HOLD);
	/* the same threshold twice is none */
	assert_int_equal(rule_signal(RULE_GT, 90, true, 90, 90), SIGNAL_CLEAR);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_is_found_and_none_twice),
		cmocka_unit_test(the_aliases_of_the_issue),
		cmocka_unit_test(derived_metrics),
		cmocka_unit_test(the_nearest_name),
		cmocka_unit_test(distances),
		cmocka_unit_test(operators_and_sources_by_name),
		cmocka_unit_test(thresholds),
		cmocka_unit_test(hysteresis),
	};

	return TESTS(tests);
}
