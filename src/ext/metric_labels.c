/*
 * Labels between JSON and C. What does not belong here: their bounds and their hash (src/core/series.c).
 */
#include "postgres.h"

#include "ext/metric_labels.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

static struct slice
value_slice(const JsonbValue *v)
{
	return (struct slice){v->val.string.val, v->val.string.val + v->val.string.len};
}

/* A scalar as the value of a label; an empty slice for what is none. False for an object or array. */
static bool
label_text(const JsonbValue *v, struct slice *out)
{
	switch (v->type) {
	case jbvString:
		*out = value_slice(v);
		return true;
	case jbvNumeric:
		*out = slice_of(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric))));
		return true;
	case jbvBool:
		*out = slice_of(v->val.boolean ? "true" : "false");
		return true;
	case jbvNull:
		*out = (struct slice){0};
		return true;
	default:
		return false;
	}
}

static JsonbValue
json_string(struct slice s)
{
	return (JsonbValue){.type = jbvString, .val.string = {.val = (char *) s.p, .len = (int) (s.end - s.p)}};
}

static Jsonb *
make_json(const ObservLabels *labels)
{
	JsonbParseState *state = NULL;
	JsonbValue *object;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < labels->n; i++) {
		JsonbValue name = json_string(labels->items[i].name);
		JsonbValue value = json_string(labels->items[i].value);

		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(object);
}

/* Goes through an object; *as_given stays true when it can be kept as it is. */
static const char *
read_object(Jsonb *given, ObservLabels *out, bool *as_given)
{
	JsonbIterator *it = JsonbIteratorInit(&given->root);
	struct series_label label = {0};
	JsonbIteratorToken token;
	JsonbValue v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY)
			label.name = value_slice(&v);
		if (token != WJB_VALUE)
			continue;
		if (!label_text(&v, &label.value))
			return psprintf("the value of label \"%.*s\" must be a string",
							pg_mbcliplen(label.name.p, (int) (label.name.end - label.name.p), 64),
							label.name.p);
		*as_given = *as_given && v.type == jbvString && label.value.p < label.value.end;
		if (label.value.p == label.value.end)
			continue;
		if (out->n == SERIES_LABELS_MAX)
			return series_labels_problem(out->items, out->n + 1);
		out->items[out->n++] = label;
	}
	return series_labels_problem(out->items, out->n);
}

const char *
observ_read_labels(Jsonb *given, ObservLabels *out)
{
	bool as_given = given != NULL;
	const char *problem = NULL;

	out->n = 0;
	if (given != NULL) {
		if (!JB_ROOT_IS_OBJECT(given))
			return "labels must be an object";
		problem = read_object(given, out, &as_given);
	}
	if (problem != NULL)
		return problem;
	out->json = as_given ? given : make_json(out);
	series_sort_labels(out->items, out->n);
	return NULL;
}

struct slice
observ_label_value(Jsonb *labels, struct slice name)
{
	JsonbValue found;

	if (getKeyJsonValueFromContainer(&labels->root, name.p, (int) (name.end - name.p), &found) == NULL ||
		found.type != jbvString)
		return (struct slice){0};
	return value_slice(&found);
}
