/* template.c: annotations of alerts, with values of one alert. See template.h for what belongs here. */
#include "core/template.h"

#define MEMORY_MAX 1024 /* of one expression: what upper and the like make */

const char *const template_rule_fields[] = {"name",      "category", "severity", "metric_name",
											"aggregate", "operator", NULL};
static const char *const value_names[] = {"value", "threshold", "labels", "rule", NULL};

/* The rest of a word behind one of two prefixes; false when it has neither. */
static bool
after_prefix(struct slice word, const char *prefix, const char *other, struct slice *out)
{
	size_t skip = slice_starts(word, prefix) ? strlen(prefix) : slice_starts(word, other) ? strlen(other) : 0;

	*out = (struct slice){word.p + skip, word.end};
	return skip > 0;
}

static bool
read_label(struct template_reader *r, struct slice word, struct slice name, struct template_operand *out)
{
	const struct template_values *values = r->arg;

	if (name.p == name.end)
		return template_fail(r, word.p, "the name of a label should follow", NULL);
	if (values != NULL) {
		out->text = values->label(values->arg, name);
		if (out->text.p == out->text.end && slice_equals(name, "instance"))
			out->text = values->label(values->arg, slice_of("vps_name"));
	}
	return true;
}

static bool
read_field(struct template_reader *r, struct slice word, struct slice name, struct template_operand *out)
{
	const struct template_values *values = r->arg;

	for (const char *const *field = template_rule_fields; *field != NULL; field++)
		if (slice_equals(name, *field)) {
			if (values != NULL)
				out->text = values->rule(values->arg, name);
			return true;
		}
	(void) template_fail_near(r, name, "a rule has no such field",
							  "There are rule.name, rule.category, rule.severity, rule.metric_name, "
							  "rule.aggregate and rule.operator.",
							  template_rule_fields);
	r->error->offset = (size_t) (word.p - r->start);
	return false;
}

static bool
read_value(struct template_reader *r, struct slice word, struct template_operand *out)
{
	const struct template_values *values = r->arg;
	struct slice name;

	if (after_prefix(word, "labels.", "$labels.", &name))
		return read_label(r, word, name, out);
	if (after_prefix(word, "rule.", "$rule.", &name))
		return read_field(r, word, name, out);
	out->is_number = true;
	if (slice_equals(word, "value") || slice_equals(word, "$value"))
		out->number = values != NULL ? values->value : 0;
	else if (slice_equals(word, "threshold") || slice_equals(word, "$threshold"))
		out->number = values != NULL ? values->threshold : 0;
	else
		return template_fail_near(r, word, "this is no value that templates know",
								  "There are value, threshold, labels.NAME and rule.name.", value_names);
	return true;
}

/* What stands between {{ and }}; the opening braces have been taken, the closing ones are. */
static bool
read_expression(struct template_reader *r, struct template_operand *out)
{
	const char *open = r->rest.p - 2;

	if (!template_expression(r, template_word(r), out))
		return false;
	template_plain(out);
	if (template_take(r, "}}"))
		return true;
	return r->rest.p >= r->rest.end
			   ? template_fail(r, open, "these braces are not closed", "An expression ends with }}.")
			   : template_fail(r, r->rest.p, "a | or }} should be here", NULL);
}

bool
template_check(struct slice text, struct template_error *error)
{
	char memory[MEMORY_MAX] = {0};
	struct template_reader r = {.start = text.p, .rest = text, .error = error, .value = read_value};

	if ((size_t) (text.end - text.p) >= TEMPLATE_MAX)
		return template_fail(&r, text.p + TEMPLATE_MAX - 1, "the text is too long",
							 "A template has at most 4095 bytes.");
	for (;;) {
		struct template_operand operand;

		r.rest.p = template_braces(r.rest);
		if (r.rest.p == r.rest.end)
			return true;
		r.rest.p += 2;
		r.memory = (struct template_memory){memory, memory + sizeof memory};
		if (!read_expression(&r, &operand))
			return false;
	}
}

size_t
template_render(struct slice text, const struct template_values *values, char *out, size_t size)
{
	char memory[MEMORY_MAX] = {0};
	struct template_error error;
	struct template_reader r = {
		.start = text.p, .rest = text, .error = &error, .value = read_value, .arg = (void *) values};
	struct template_sink sink = {out, out + size - 1, false};

	while (r.rest.p < r.rest.end && !sink.full) {
		const char *braces = template_braces(r.rest);
		struct template_operand operand;

		template_put(&sink, (struct slice){r.rest.p, braces});
		r.rest.p = braces;
		if (braces == r.rest.end || sink.full)
			continue;
		r.rest.p += 2;
		r.memory = (struct template_memory){memory, memory + sizeof memory};
		if (read_expression(&r, &operand))
			template_put(&sink, operand.text);
		else {
			template_put(&sink, (struct slice){braces, braces + 2});
			r.rest.p = braces + 2;
		}
	}
	*sink.p = '\0';
	return (size_t) (sink.p - out);
}
