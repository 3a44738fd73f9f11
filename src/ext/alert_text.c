/*
 * What an alert is called and says, see alert_text.h.
 */
#include "postgres.h"

#include "ext/alert_text.h"

#include <math.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "core/hash.h"
#include "core/template.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* A summary that the rule does not give is no longer than this. */
#define SUMMARY_BYTES 250
/* Of SHA-256; 128 bits are more than chance will ever meet. */
#define FINGERPRINT_BYTES 16

static bool
is_empty(const char *s)
{
	return s == NULL || *s == '\0';
}

uint64
observ_instance_hash(const ObservInstance *instance)
{
	uint64 hash = hash_string(HASH_SEED, is_empty(instance->vps_name) ? "" : instance->vps_name);

	hash = hash_span(hash, "", 1);
	hash = hash_string(hash, is_empty(instance->app_name) ? "" : instance->app_name);
	for (int i = 0; i < instance->n_labels; i++) {
		const struct series_label *label = &instance->labels[i];

		hash = hash_span(hash, "", 1);
		hash = hash_span(hash, label->name.p, label->name.end - label->name.p);
		hash = hash_span(hash, "", 1);
		hash = hash_span(hash, label->value.p, label->value.end - label->value.p);
	}
	return hash_finish(hash);
}

static void
hash_text(pg_cryptohash_ctx *hash, const char *p, size_t size)
{
	uint8 length[4] = {size, size >> 8, size >> 16, size >> 24};

	if (pg_cryptohash_update(hash, length, sizeof(length)) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) p, size) < 0)
		elog(ERROR, "could not compute a fingerprint: %s", pg_cryptohash_error(hash));
}

static void
hash_label(pg_cryptohash_ctx *hash, const char *name, const char *value)
{
	if (is_empty(value))
		return;
	hash_text(hash, name, strlen(name));
	hash_text(hash, value, strlen(value));
}

char *
observ_fingerprint(int64 rule_id, const ObservInstance *instance)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	char rule[32];
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	char *hex = palloc(2 * FINGERPRINT_BYTES + 1);

	if (hash == NULL || pg_cryptohash_init(hash) < 0)
		elog(ERROR, "could not compute a fingerprint");
	snprintf(rule, sizeof(rule), INT64_FORMAT, rule_id);
	hash_text(hash, rule, strlen(rule));
	hash_label(hash, "vps_name", instance->vps_name);
	hash_label(hash, "app_name", instance->app_name);
	for (int i = 0; i < instance->n_labels; i++) {
		const struct series_label *label = &instance->labels[i];

		if (label->value.end == label->value.p)
			continue;
		hash_text(hash, label->name.p, label->name.end - label->name.p);
		hash_text(hash, label->value.p, label->value.end - label->value.p);
	}
	if (pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a fingerprint: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	hex_encode((const char *) digest, FINGERPRINT_BYTES, hex);
	hex[2 * FINGERPRINT_BYTES] = '\0';
	return hex;
}

static void
push_text(JsonbParseState **state, struct slice name, struct slice value)
{
	JsonbValue v = {.type = jbvString};

	v.val.string.val = unconstify(char *, name.p);
	v.val.string.len = name.end - name.p;
	pushJsonbValue(state, WJB_KEY, &v);
	v.val.string.val = unconstify(char *, value.p);
	v.val.string.len = value.end - value.p;
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
push_label(JsonbParseState **state, const char *name, const char *value)
{
	if (!is_empty(value))
		push_text(state, slice_of(name), slice_of(value));
}

static void
push_instance(JsonbParseState **state, const ObservInstance *instance)
{
	push_label(state, "vps_name", instance->vps_name);
	push_label(state, "app_name", instance->app_name);
	for (int i = 0; i < instance->n_labels; i++)
		push_text(state, instance->labels[i].name, instance->labels[i].value);
}

Jsonb *
observ_identity(const ObservInstance *instance)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_instance(&state, instance);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The next pair of an object whose value is a string, number or boolean, as text. */
static bool
next_label(JsonbIterator **it, struct slice *name, struct slice *value)
{
	JsonbValue v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(it, &v, true)) != WJB_DONE) {
		if (token != WJB_KEY)
			continue;
		*name = (struct slice){v.val.string.val, v.val.string.val + v.val.string.len};
		(void) JsonbIteratorNext(it, &v, true);
		if (v.type == jbvString)
			*value = (struct slice){v.val.string.val, v.val.string.val + v.val.string.len};
		else if (v.type == jbvNumeric)
			*value =
				slice_of(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v.val.numeric))));
		else if (v.type == jbvBool)
			*value = slice_of(v.val.boolean ? "true" : "false");
		else
			continue;
		return true;
	}
	return false;
}

static char *
copy_slice(struct slice s)
{
	return pnstrdup(s.p, s.end - s.p);
}

bool
observ_instance_of(Jsonb *identity, ObservInstance *out)
{
	JsonbIterator *it;
	struct slice name, value;
	struct series_label *labels;

	*out = (ObservInstance){0};
	if (!JB_ROOT_IS_OBJECT(identity))
		return false;
	labels = palloc(sizeof(struct series_label) * Max(JB_ROOT_COUNT(identity), 1));
	it = JsonbIteratorInit(&identity->root);
	while (next_label(&it, &name, &value)) {
		if (slice_equals(name, "vps_name"))
			out->vps_name = copy_slice(value);
		else if (slice_equals(name, "app_name"))
			out->app_name = copy_slice(value);
		else {
			const char *n = copy_slice(name), *v = copy_slice(value);

			labels[out->n_labels++] = (struct series_label){slice_of(n), slice_of(v)};
		}
	}
	series_sort_labels(labels, out->n_labels);
	out->labels = labels;
	out->hash = observ_instance_hash(out);
	return true;
}

/* Copies to where *at points, terminated, and moves it on. */
static const char *
put_string(char **at, const char *from, size_t size)
{
	char *copy = *at;

	memcpy(copy, from, size);
	copy[size] = '\0';
	*at += size + 1;
	return copy;
}

ObservInstance
observ_copy_instance(const ObservInstance *instance)
{
	ObservInstance copy = {.n_labels = instance->n_labels, .hash = instance->hash};
	size_t vps = is_empty(instance->vps_name) ? 0 : strlen(instance->vps_name);
	size_t app = is_empty(instance->app_name) ? 0 : strlen(instance->app_name);
	size_t size = sizeof(struct series_label) * instance->n_labels + vps + app + 2;
	struct series_label *labels;
	char *at;

	for (int i = 0; i < instance->n_labels; i++)
		size += (instance->labels[i].name.end - instance->labels[i].name.p) +
				(instance->labels[i].value.end - instance->labels[i].value.p) + 2;
	labels = palloc(size);
	at = (char *) (labels + instance->n_labels);
	if (vps > 0)
		copy.vps_name = put_string(&at, instance->vps_name, vps);
	if (app > 0)
		copy.app_name = put_string(&at, instance->app_name, app);
	for (int i = 0; i < instance->n_labels; i++) {
		const struct series_label *from = &instance->labels[i];

		labels[i].name.p = put_string(&at, from->name.p, from->name.end - from->name.p);
		labels[i].name.end = at - 1;
		labels[i].value.p = put_string(&at, from->value.p, from->value.end - from->value.p);
		labels[i].value.end = at - 1;
	}
	copy.labels = labels;
	return copy;
}

static void
push_all(JsonbParseState **state, Jsonb *object)
{
	JsonbIterator *it;
	struct slice name, value;

	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return;
	it = JsonbIteratorInit(&object->root);
	while (next_label(&it, &name, &value))
		push_text(state, name, value);
}

Jsonb *
observ_alert_labels(const ObservRule *rule, const ObservInstance *instance, Jsonb *vps_labels)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_all(&state, vps_labels);
	push_all(&state, rule->labels);
	push_instance(&state, instance);
	push_label(&state, "alertname", rule->name);
	push_label(&state, "severity", observ_severity_names[rule->severity]);
	push_label(&state, "category", rule->category);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

char *
observ_key_text(Jsonb *object, const char *name)
{
	JsonbValue v;

	if (object == NULL || !JB_ROOT_IS_OBJECT(object) ||
		getKeyJsonValueFromContainer(&object->root, name, strlen(name), &v) == NULL || v.type != jbvString)
		return NULL;
	return pnstrdup(v.val.string.val, v.val.string.len);
}

/* In place of the rule's annotations, which are about one instance. */
static void
push_overflow(JsonbParseState **state, const ObservLiveAlert *alert)
{
	char *summary = psprintf("%s: %.0f more than can be shown", alert->rule->name, alert->value);
	char *description = psprintf("The rule is true for %.0f instances beyond observ.max_alerts_per_rule. "
								 "They have no alerts of their own; "
								 "those that are farthest from the threshold do.",
								 alert->value);

	push_text(state, slice_of("summary"), slice_of(summary));
	push_text(state, slice_of("description"), slice_of(description));
}

/* What a template asks about. */
typedef struct Asked {
	const ObservRule *rule;
	Jsonb *labels;
} Asked;

static struct slice
label_asked(void *arg, struct slice name)
{
	const Asked *asked = arg;
	JsonbValue v;

	if (getKeyJsonValueFromContainer(&asked->labels->root, name.p, name.end - name.p, &v) == NULL ||
		v.type != jbvString)
		return (struct slice){NULL, NULL};
	return (struct slice){v.val.string.val, v.val.string.val + v.val.string.len};
}

static struct slice
field_asked(void *arg, struct slice name)
{
	const ObservRule *rule = ((const Asked *) arg)->rule;
	const struct {
		const char *name, *value;
	} fields[] = {{"name", rule->name},
				  {"category", rule->category},
				  {"severity", observ_severity_names[rule->severity]},
				  {"metric_name", rule->metric_name},
				  {"aggregate", rule_aggregate_names[rule->aggregate]},
				  {"operator", rule_operator_names[rule->op]}};

	for (int i = 0; i < (int) lengthof(fields); i++)
		if (slice_equals(name, fields[i].name) && fields[i].value != NULL)
			return slice_of(fields[i].value);
	return (struct slice){NULL, NULL};
}

static void
push_rendered(JsonbParseState **state, const ObservLiveAlert *alert, Jsonb *labels)
{
	Asked asked = {alert->rule, labels};
	struct template_values values = {alert->value, alert->rule->threshold, label_asked, field_asked, &asked};
	JsonbIterator *it = JsonbIteratorInit(&alert->rule->annotations->root);
	struct slice name, text;

	while (next_label(&it, &name, &text)) {
		char *rendered = palloc(TEMPLATE_MAX);
		size_t length = template_render(text, &values, rendered, TEMPLATE_MAX);

		push_text(state, name, (struct slice){rendered, rendered + length});
	}
}

/* What the rule compares, in words: cpu_percent, avg of cpu_percent. */
static void
append_subject(StringInfo text, const ObservRule *rule)
{
	const char *metric = rule->metric != NULL ? rule->metric->name : rule->metric_name;

	if (rule->aggregate != RULE_LAST)
		appendStringInfo(text, "%s of ", rule_aggregate_names[rule->aggregate]);
	appendStringInfoString(text, metric == NULL ? "value" : metric);
}

/* What the instance is: its VPS, and the values of its other labels. */
static void
append_instance(StringInfo text, const ObservInstance *instance)
{
	const char *before = is_empty(instance->vps_name) ? " for " : " (";
	bool none = true;

	if (!is_empty(instance->vps_name))
		appendStringInfo(text, " on %s", instance->vps_name);
	if (!is_empty(instance->app_name)) {
		appendStringInfo(text, "%s%s", before, instance->app_name);
		none = false;
	}
	for (int i = 0; i < instance->n_labels; i++) {
		struct slice value = instance->labels[i].value;

		appendStringInfo(text, "%s%.*s", none ? before : ", ", (int) (value.end - value.p), value.p);
		none = false;
	}
	if (!none && !is_empty(instance->vps_name))
		appendStringInfoChar(text, ')');
}

/* As templates write it. */
static void
append_number(StringInfo text, double number)
{
	struct template_values values = {.value = number, .threshold = number};
	char digits[64];

	(void) template_render(slice_of("{{ value }}"), &values, digits, sizeof(digits));
	appendStringInfoString(text, digits);
}

/* High CPU Usage: cpu_percent is 95 (above 80) on vps-1 */
static char *
default_summary(const ObservLiveAlert *alert)
{
	static const char *const relations[RULE_OPERATORS] = {"above",   "at least", "below",
														  "at most", "equal to", "not"};
	const ObservRule *rule = alert->rule;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s: ", rule->name);
	append_subject(&text, rule);
	appendStringInfoString(&text, " is ");
	append_number(&text, alert->value);
	/* A query says itself what is too much. */
	if (rule->query == NULL && !isnan(rule->threshold)) {
		appendStringInfo(&text, " (%s ", relations[rule->op]);
		append_number(&text, rule->threshold);
		appendStringInfoChar(&text, ')');
	}
	append_instance(&text, &alert->instance);
	if (text.len > SUMMARY_BYTES)
		text.data[pg_mbcliplen(text.data, text.len, SUMMARY_BYTES)] = '\0';
	return text.data;
}

/* What the rule does not say itself. */
static void
push_defaults(JsonbParseState **state, const ObservLiveAlert *alert)
{
	const ObservRule *rule = alert->rule;

	if (observ_key_text(rule->annotations, "summary") == NULL)
		push_label(state, "summary", default_summary(alert));
	if (observ_key_text(rule->annotations, "description") == NULL)
		push_label(state, "description", rule->description);
	push_label(state, "runbook_url", rule->runbook_url);
}

Jsonb *
observ_alert_annotations(const ObservLiveAlert *alert, Jsonb *labels)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (alert->overflow)
		push_overflow(&state, alert);
	else {
		/* First: an annotation of the same name goes before it. */
		push_defaults(&state, alert);
		push_rendered(&state, alert, labels);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
