#include "unit.h"

#include <math.h>

#include "core/message_template.h"

/* Alerts of the examples: two that fire, the first of them new, and one that is resolved. */
static const struct {
	const char *name, *team, *severity;
	double value;
	bool firing, fresh;
} alerts[] = {{"Disk", "db", "critical", 97.5, true, true},
			  {"Load", "", "low", NAN, true, false},
			  {"Net", "web", "high", 3, false, false}};

static void
field(void *arg, int alert, enum message_field f, struct slice name, struct template_operand *out)
{
	if (f == MESSAGE_FIRING) {
		out->is_number = true;
		out->number = 2;
	} else if (f == MESSAGE_NAMES) {
		out->is_list = true;
		out->text = slice_of("Disk\x1fLoad\x1fNet");
	} else if (f == MESSAGE_NAME && alert >= 0)
		out->text = slice_of(alerts[alert].name);
	else if (f == MESSAGE_SEVERITY)
		out->text = slice_of(alert < 0 ? "critical" : alerts[alert].severity);
	else if (f == MESSAGE_LABELS && slice_equals(name, "team"))
		out->text = slice_of(alert < 0 ? "all" : alerts[alert].team);
	else if (f == MESSAGE_VALUE || f == MESSAGE_DURATION) {
		out->is_number = true;
		out->number = f == MESSAGE_DURATION ? 3661 : alerts[alert].value;
	}
}

static bool
in_set(void *arg, int alert, enum message_set set)
{
	switch (set) {
	case SET_FIRING:
		return alerts[alert].firing;
	case SET_RESOLVED:
		return !alerts[alert].firing;
	case SET_NEW:
		return alerts[alert].fresh;
	case SET_STILL:
		return alerts[alert].firing && !alerts[alert].fresh;
	default:
		return true;
	}
}

static bool
compare(void *arg, struct slice a, struct slice b, int *order)
{
	static const char *const names[] = {"low", "high", "critical"};
	int x = -1, y = -1;

	for (int i = 0; i < 3; i++) {
		x = slice_equals(a, names[i]) ? i : x;
		y = slice_equals(b, names[i]) ? i : y;
	}
	*order = x - y;
	return x >= 0 && y >= 0;
}

static const char *
render_into(const char *text, size_t size, bool *cut)
{
	static char out[4096];
	struct message_template_values values = {
		.n_alerts = 3, .field = field, .in_set = in_set, .compare = compare};
	struct template_error error = {0};
	size_t length;

	assert_true(size <= sizeof out);
	if (!message_template_check(slice_of(text), &error))
		fail_msg("%s: %s at %zu", text, error.message, error.offset);
	if (!message_template_render(slice_of(text), &values, out, size, &length, cut, &error))
		fail_msg("%s: %s at %zu", text, error.message, error.offset);
	assert_int_equal(length, strlen(out));
	return out;
}

static void
renders(const char *text, const char *expected)
{
	bool cut;

	assert_string_equal(render_into(text, 4096, &cut), expected);
	assert_false(cut);
}

static void
refuses(const char *text, size_t offset, const char *message, const char *nearest)
{
	struct message_template_values values = {
		.n_alerts = 3, .field = field, .in_set = in_set, .compare = compare};
	struct template_error error = {0};
	char out[4096];
	size_t length;
	bool cut;

	if (message_template_check(slice_of(text), &error))
		fail_msg("%s was taken", text);
	assert_string_equal(error.message, message);
	assert_int_equal(error.offset, offset);
	if (nearest == NULL)
		assert_null(error.nearest);
	else
		assert_string_equal(error.nearest, nearest);
	assert_false(message_template_render(slice_of(text), &values, out, sizeof out, &length, &cut, &error));
}

static void
ranges(void **state)
{
	renders("", "");
	renders("a { b }} c", "a { b }} c");
	renders("{{ range alerts }}{{ index }}{{ name }} {{ end }}.", "1Disk 2Load 3Net .");
	renders("{{ range firing }}{{ name }}{{ if not last }}, {{ end }}{{ end }}", "Disk, Load");
	renders("{{ range resolved }}{{ if first }}>{{ end }}{{ name }}{{ end }}", ">Net");
	renders("{{ range new }}{{ name }}{{ end }}|{{ range still }}{{ name }}{{ end }}", "Disk|Load");
	renders("{{ range alerts }}{{ labels.team | default \"-\" }}{{ end }} {{ labels.team }}", "db-web all");
	/* outside of a range: of the first */
	renders("{{ name }} {{ value }}", "Disk 97.5");
	renders("{{ range alerts }}{{ value | default \"?\" }};{{ value }} {{ end }}", "97.5;97.5 ?;n/a 3;3 ");
}

static struct slice
shown(void *arg, struct slice value)
{
	return slice_of(value.p == value.end ? "" : slice_equals(value, "Disk") ? "&Disk;" : "&;");
}

/* Values take the form of the text around them; the text itself, and what conditions ask for, does not. */
static void
values_in_markup(void **state)
{
	struct message_template_values values = {
		.n_alerts = 3, .field = field, .in_set = in_set, .compare = compare, .shown = shown};
	struct template_error error = {0};
	char out[100];
	size_t length;
	bool cut;

	assert_true(message_template_render(
		slice_of("<b>Disk {{ name }}</b>{{ if name == \"Disk\" }} {{ firing }}{{ end }} {{ labels.none }}"),
		&values, out, sizeof out, &length, &cut, &error));
	assert_string_equal(out, "<b>Disk &Disk;</b> &; ");
}

static void
conditions(void **state)
{
	renders("{{ if firing }}a{{ else }}b{{ end }}", "a");
	renders("{{ if not firing }}a{{ else }}b{{ end }}", "b");
	renders("{{ if labels.none }}a{{ else if firing == 2 }}b{{ else }}c{{ end }}", "b");
	renders("{{ if firing }}a{{ else if firing }}b{{ else }}c{{ end }}", "a");
	renders("{{ if firing and labels.none or not labels.none and firing > 1 }}a{{ end }}", "a");
	renders("{{ if severity >= \"high\" }}a{{ end }}{{ if severity < \"low\" }}b{{ end }}", "a");
	renders("{{ if name == \"Disk\" }}a{{ end }}{{ if name != \"Disk\" }}b{{ end }}", "a");
	renders("{{ if \"10\" > \"9\" }}number{{ end }}{{ if \"b\" > \"a\" }} text{{ end }}", "number text");
	/* what is not known compares with nothing */
	renders("{{ range still }}{{ if value > 1 }}a{{ end }}{{ if value <= 1 }}b{{ end }}{{ if value }}c{{ end "
			"}}{{ end }}",
			"");
	renders("{{ if duration | duration == \"1h 1m 1s\" }}a{{ end }}{{ if duration and firing }}b{{ end }}",
			"ab");
	/* what is not chosen is read all the same */
	renders("{{ if labels.none }}{{ range alerts }}{{ if first }}x{{ end }}{{ else }}y{{ end }}{{ end }}",
			"");
}

static void
blanks(void **state)
{
	renders("a \n {{- firing -}} \n b", "a2b");
	renders("a {{- if firing }} b {{- end }} c", "a b c");
	renders("a {{ range alerts -}}\n  x\n{{- end }} b", "a xxx b");
	renders("{{ -1 }}{{-1 }}", "-1-1");
}

static void
filters(void **state)
{
	renders("{{ names }} {{ names | join(\"+\") }} {{ names | join \"\" | upper }}",
			"Disk, Load, Net Disk+Load+Net DISKLOADNET");
	renders("{{ \"aB€\" | upper }}{{ lower \"aB€\" }}", "AB€ab€");
	renders("{{ duration | duration }} {{ duration duration }} {{ duration }}", "1h 1m 1s 1h 1m 1s 3661");
	renders("{{ value | printf \"%.1f%%\" }}", "97.5%");
}

static void
bounds(void **state)
{
	bool cut;

	assert_string_equal(render_into("{{ range alerts }}€{{ end }}", 6, &cut), "€");
	assert_true(cut);
	assert_string_equal(render_into("abc", 1, &cut), "");
	assert_true(cut);
	assert_string_equal(render_into("abc", 4, &cut), "abc");
	assert_false(cut);
}

static void
mistakes(void **state)
{
	refuses("{{ nme }}", 3, "this is no value that templates know", "name");
	refuses("{{ lables.x }}", 3, "this is no value that templates know", "labels");
	refuses("{{ name | uper }}", 10, "this is no filter that templates know", "upper");
	refuses("{{ range fireing }}{{ end }}", 9, "a set of alerts should be here", "firing");
	refuses("x{{ if firing }}", 1, "this is not ended", NULL);
	refuses("{{ range alerts }}{{ else }}", 0, "this is not ended", NULL);
	refuses("{{ if firing }}{{ end }}{{ end }}", 27, "nothing has begun that could end here", NULL);
	refuses("{{ if firing }}{{ else }}{{ else }}{{ end }}", 25, "there was an else already", NULL);
	refuses("{{ range alerts }}{{ range new }}{{ end }}{{ end }}", 18,
			"a range can't be inside of another one", NULL);
	refuses("{{ if labels.none }}{{ oops }}{{ end }}", 23, "this is no value that templates know", NULL);
	refuses("{{ first }}", 3, "this is known inside of a range only", NULL);
	refuses("{{ value", 0, "these braces are not closed", NULL);
	refuses("{{ if firing = 2 }}{{ end }}", 13, "a | or }} should be here", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ranges),     cmocka_unit_test(values_in_markup),
									   cmocka_unit_test(conditions), cmocka_unit_test(blanks),
									   cmocka_unit_test(filters),    cmocka_unit_test(bounds),
									   cmocka_unit_test(mistakes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
