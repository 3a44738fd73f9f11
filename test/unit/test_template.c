#include "unit.h"

#include "core/template.h"

static struct slice
label(void *arg, struct slice name)
{
	static const char *const labels[][2] = {{"vps_name", "web-1"},
											{"mount", "/var"},
											{"share", "0.931"},
											{"long", NULL},
											{"k8s.io/a-b", "dotted"}};
	static char many[6000];

	for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
		if (slice_equals(name, labels[i][0]) && labels[i][1] != NULL)
			return slice_of(labels[i][1]);
	if (slice_equals(name, "long")) {
		/* three bytes a character */
		for (size_t n = 0; n + 3 < sizeof many; n += 3)
			memcpy(many + n, "€", 4);
		return slice_of(many);
	}
	return (struct slice){0};
}

static struct slice
rule(void *arg, struct slice name)
{
	return slice_equals(name, "name") ? slice_of("CpuHigh") : slice_of("?");
}

static const char *
render_with(const char *text, double value, double threshold)
{
	static char out[TEMPLATE_MAX];
	struct template_values values = {value, threshold, label, rule, NULL};
	size_t length = template_render(slice_of(text), &values, out, sizeof out);

	assert_int_equal(length, strlen(out));
	return out;
}

#define renders(text, value, expected) assert_string_equal(render_with(text, value, 80), expected)

static void
refuses(const char *text, size_t offset, const char *message)
{
	struct template_error error = {0};

	if (template_check(slice_of(text), &error))
		fail_msg("%s was taken", text);
	assert_string_equal(error.message, message);
	assert_int_equal(error.offset, offset);
}

static void
takes(const char *text)
{
	struct template_error error = {0};

	if (!template_check(slice_of(text), &error))
		fail_msg("%s: %s at %zu", text, error.message, error.offset);
}

static void
values_and_labels(void **state)
{
	renders("", 1, "");
	renders("no expression, a single { and a }}", 1, "no expression, a single { and a }}");
	renders("CPU of {{ labels.vps_name }} at {{ value }} (> {{threshold}})", 91.5,
			"CPU of web-1 at 91.5 (> 80)");
	renders("{{labels.mount}}{{ labels.k8s.io/a-b }}", 1, "/vardotted");
	renders("{{ rule.name }}: {{ \"{{\" }} stays", 1, "CpuHigh: {{ stays");
	/* as a float4 comes */
	renders("{{ value }}", (double) 91.2f, "91.2");
	renders("{{ value }}", 1234567890, "1234567890");
	renders("{{ value }}", 123456.789, "123457");
	renders("{{ value }}", 0.000012, "1.2e-05");
	renders("{{ value }}", -0.0, "0");
	renders("{{ value }}", 1e300, "1e+300");
}

static void
the_spelling_of_prometheus(void **state)
{
	renders("{{ $labels.instance }} {{ $value }} {{$threshold}}", 7, "web-1 7 80");
	renders("{{ humanize $value }}", 12345, "12.35k");
	renders("{{ $value | humanizePercentage }}", 0.931, "93.1%");
	renders("{{ humanizeDuration $value }}", 3725, "1h 2m 5s");
	renders("{{ $value | humanize1024 }}B", 3 * 1024.0 * 1024, "3MiB");
	renders("{{ printf \"%.2f\" $value }}|{{ $value | printf \"%.1f%% of it\" }}", 3.14159,
			"3.14|3.1% of it");
	renders("{{ printf \"%d/%%d\" value }}{{ labels.mount | printf \"<%s>\" }}", 3.7, "4/%d</var>");
	renders("{{ printf \"%v\" value }} {{ printf \"%.3g\" value }} {{ printf \"%.1e\" value }}", 1234.5678,
			"1234.57 1.23e+03 1.2e+03");
}

static void
filters_of_our_own(void **state)
{
	renders("{{ value | percent }}", 91.25, "91.3%");
	renders("{{ value | percent }}", 80, "80%");
	renders("{{ value | percent }}", -0.04, "0%");
	renders("{{ value | round(1) }} {{ value | round 2 }} {{ value | round }} {{ round(0) value }}", 2.346,
			"2.3 2.35 2 2");
	renders("{{ value | bytes }}", 1536, "1.5 KiB");
	renders("{{ value | bytes }}", 17, "17 B");
	renders("{{ value | humanize }}", -1500000, "-1.5M");
	renders("{{ labels.share | humanizePercentage }}", 0, "93.1%");
	/* not a number: as it is */
	renders("{{ labels.mount | percent | round(2) }}", 0, "/var");
}

static void
durations(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {{0, "0s"},        {0.25, "250ms"}, {1.5, "1.5s"},       {59, "59s"},
				 {60, "1m"},       {3600, "1h"},    {86400, "1d"},       {90061, "1d 1h 1m 1s"},
				 {-90, "-1m 30s"}, {86399.7, "1d"}, {1e15, "1.157e+10d"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		renders("{{ value | duration }}", cases[i].seconds, cases[i].text);
}

/* C15: what is not there never stops a message. */
static void
c15_missing_things_render(void **state)
{
	renders("on {{ labels.nothing }}!", 1, "on !");
	assert_string_equal(
		render_with("{{ value }} {{ value | percent }} {{ threshold | duration | round(1) }}", NAN, NAN),
		"n/a n/a n/a");
	assert_string_equal(render_with("{{ value | bytes }} {{ value | percent }}", INFINITY, 0), "+Inf +Inf");
	assert_string_equal(render_with("{{ value }}", -INFINITY, 0), "-Inf");
	/* broken ones: as they are, with what is right beside them */
	renders("{{ nonsense }} {{ value }} {{ value | nonsense }} {{ \"open", 5,
			"{{ nonsense }} 5 {{ value | nonsense }} {{ \"open");
	renders("{{", 1, "{{");
	renders("{{ {{ value }}", 4, "{{ 4");
}

static void
c15_long_texts_are_cut_at_a_character(void **state)
{
	char out[12];
	struct template_values values = {1, 1, label, rule, NULL};
	const char *text = render_with("{{ labels.long }}", 1, 1);

	assert_int_equal(strlen(text) % 3, 0);
	assert_in_range(strlen(text), TEMPLATE_MAX - 4, TEMPLATE_MAX - 1);
	assert_int_equal(template_render(slice_of("ab{{ labels.long }}"), &values, out, sizeof out), 11);
	assert_string_equal(out, "ab€€€");
	assert_int_equal(template_render(slice_of("abc{{ labels.long }}"), &values, out, sizeof out), 9);
	assert_int_equal(template_render(slice_of("abc{{ labels.long }}"), &values, out, 1), 0);
	assert_string_equal(out, "");
	/* what printf prints has an end of its own */
	text = render_with("{{ labels.long | printf \"a%s\" }}", 1, 1);
	assert_int_equal((strlen(text) - 1) % 3, 0);
	text = render_with("{{ labels.long | printf \"%s\" }}", 1, 1);
	assert_int_equal(strlen(text) % 3, 0);
	text = render_with(
		"{{ value | printf \"€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€%s\" }}", 1, 1);
	assert_int_equal(strlen(text) % 3, 0);
}

static void
mistakes_are_found_where_they_are(void **state)
{
	char text[TEMPLATE_MAX + 10];

	refuses("a {{ value", 2, "these braces are not closed");
	refuses("{{ }}", 3, "an expression should be here");
	refuses("{{ valeu }}", 3, "this is no value that templates know");
	refuses("ok {{ value }} {{ $labels }}", 18, "this is no value that templates know");
	refuses("{{ labels. }}", 3, "the name of a label should follow");
	refuses("{{ rule.threshold }}", 3, "a rule has no such field");
	refuses("{{ value | precent }}", 11, "this is no filter that templates know");
	refuses("{{ value | }}", 11, "this is no filter that templates know");
	refuses("{{ value | round(12) }}", 17, "a number of digits from 0 to 9 should be here");
	refuses("{{ value | round(1 }}", 19, "a closing parenthesis should be here");
	refuses("{{ value | percent(1) }}", 19, "this filter has no argument");
	refuses("{{ value value }}", 9, "a | or }} should be here");
	refuses("{{ \"x }}", 3, "this quote is not closed");
	refuses("{{ value | printf }}", 18, "a text in double quotes should be here");
	refuses("{{ value | printf \"%\" }}", 18,
			"printf knows %f, %g, %e, %d, %s and %v, with one digit of precision");
	refuses("{{ value | printf \"%n\" }}", 18,
			"printf knows %f, %g, %e, %d, %s and %v, with one digit of precision");
	refuses("{{ value | printf \"%.f\" }}", 18, "a digit should follow the point");
	refuses("{{ value | printf \"%f %f\" }}", 18, "printf has one value only");
	refuses("{{ value | printf \"\" }}", 18, "printf needs a place for the value, like %.1f");
	refuses("{{ if gt $value 3 }}x{{ end }}", 3, "this is no value that templates know");
	refuses("{{ value|round|round|round|round|round|round|round|round|round }}", 57,
			"there are more than 8 filters");
	memset(text, 'a', sizeof text);
	text[TEMPLATE_MAX] = '\0';
	refuses(text, TEMPLATE_MAX - 1, "the text is too long");
	text[TEMPLATE_MAX - 1] = '\0';
	takes(text);
	takes("{{ value | round(9) | printf \"%s\" }} {{ \"}}\" }} }} {");
	takes("{{ $labels.x }}\n{{\tvalue\n}}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_and_labels),
		cmocka_unit_test(the_spelling_of_prometheus),
		cmocka_unit_test(filters_of_our_own),
		cmocka_unit_test(durations),
		cmocka_unit_test(c15_missing_things_render),
		cmocka_unit_test(c15_long_texts_are_cut_at_a_character),
		cmocka_unit_test(mistakes_are_found_where_they_are),
	};

	return TESTS(tests);
}
