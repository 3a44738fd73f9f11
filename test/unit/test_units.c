/* test_units.c: units.h: what systemctl prints. */
#include "unit.h"

#include "core/units.h"

static void
lines_of_list_units(void **state)
{
	struct slice rest =
		slice_of("dbus.service loaded active running D-Bus System Message Bus\n"
				 "\xe2\x97\x8f nginx.service loaded failed failed A web server\n"
				 "  ghost.service  not-found inactive dead ghost.service\n"
				 "\nx.service loaded nonsense dead\ny.service loaded\n\n12 loaded units listed.\n"
				 "late.mount loaded activating mounting");
	static const struct {
		const char *name, *load;
		enum unit_state state;
	} expected[] = {{"dbus.service", "loaded", UNIT_ACTIVE},
					{"nginx.service", "loaded", UNIT_FAILED},
					{"ghost.service", "not-found", UNIT_INACTIVE},
					{"late.mount", "loaded", UNIT_ACTIVATING}};
	struct unit_line line;

	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		assert_true(next_unit(&rest, &line));
		assert_true(slice_equals(line.name, expected[i].name));
		assert_true(slice_equals(line.load, expected[i].load));
		assert_int_equal(unit_state(line.active), expected[i].state);
	}
	assert_false(next_unit(&rest, &line));
}

static void
blocks_of_show(void **state)
{
	struct slice rest = slice_of("Id=a.service\nUnitFileState=enabled\nNRestarts=3\n\n\n"
								 "UnitFileState=\nNRestarts=x\nId=b.service\n\nnonsense\nId=c.service");
	struct unit_properties p;

	assert_true(next_unit_properties(&rest, &p));
	assert_true(slice_equals(p.id, "a.service") && slice_equals(p.file_state, "enabled"));
	assert_int_equal(p.restarts, 3);
	assert_true(next_unit_properties(&rest, &p));
	assert_true(slice_equals(p.id, "b.service") && slice_equals(p.file_state, ""));
	assert_int_equal(p.restarts, -1);
	assert_true(next_unit_properties(&rest, &p));
	assert_true(slice_equals(p.id, "c.service"));
	assert_false(next_unit_properties(&rest, &p));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_list_units),
		cmocka_unit_test(blocks_of_show),
	};
	return TESTS(tests);
}
