/*
 * Labels, annotations and other texts of alert rules: what they may be.
 * What does not belong here: the language of templates (src/core/template.c), rendering them (alert_text.c).
 */
#include "postgres.h"

#include "ext/rule_check.h"

#include "catalog/pg_type.h"
#include "core/series.h"
#include "core/template.h"
#include "ext/metric_labels.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define MAX_ANNOTATIONS 64

/* A piece of text for a message. */
static char *
shown(struct slice s)
{
	int length = (int) (s.end - s.p);

	return pnstrdup(s.p, pg_mbcliplen(s.p, length, Min(length, 200)));
}

static bool
is_label_name(struct slice name)
{
	struct matchers *matchers = palloc(sizeof(struct matchers));
	size_t length = (size_t) (name.end - name.p);
	char *text = palloc(length + 3), *memory = palloc(length + 3);
	struct matchers_error error;

	/* What matchers can name without quotes. */
	snprintf(text, length + 3, "%.*s=x", (int) length, name.p);
	return matchers_parse(slice_of(text), matchers, memory, &error) && matchers->n == 1 && *name.p != '"' &&
		   matchers->item[0].name.end - matchers->item[0].name.p == (ptrdiff_t) length;
}

static void
check_label(struct slice name, const JsonbValue *value)
{
	/* Those that every alert gets from its rule and its source. */
	static const char *const reserved[] = {"alertname", "severity", "category",
										   "vps_name",  "app_name", "instance"};
	struct slice text = {value->val.string.val, value->val.string.val + value->val.string.len};

	for (int i = 0; i < (int) lengthof(reserved); i++)
		if (slice_equals(name, reserved[i]))
			ereport(ERROR, (errcode(ERRCODE_RESERVED_NAME),
							errmsg("label \"%s\" of an alert rule is reserved", reserved[i]),
							errdetail("Alerts get it from their rule or from what they are about."),
							errhint("Choose another name.")));
	if (!is_label_name(name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("invalid name of a label of an alert rule"),
						errdetail("Given: \"%s\".", shown(name)),
						errhint("A name is a letter or _, then letters, digits, _ : . - and /.")));
	if (value->type != jbvString)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("label \"%s\" of an alert rule must be a string", shown(name)),
						errhint("For instance '{\"team\": \"infrastructure\"}'.")));
	/* C21 */
	for (const char *p = text.p; p + 1 < text.end; p++)
		if (p[0] == '{' && p[1] == '{')
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label \"%s\" of an alert rule must be constant", shown(name)),
				 errdetail("Given: \"%s\". A label that changes would make another alert of it each time.",
						   shown(text)),
				 errhint("Templates belong to annotations.")));
}

/* The annotation of that name, as the sample alert of a check shows it. */
static void
check_annotation(struct slice name, const JsonbValue *value)
{
	struct slice text = {value->val.string.val, value->val.string.val + value->val.string.len};
	struct template_error error;

	if (name.p == name.end)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("the name of an annotation of an alert rule must not be empty")));
	if (value->type != jbvString)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("annotation \"%s\" of an alert rule must be a string", shown(name)),
			 errhint("For instance '{\"summary\": \"CPU of {{ labels.vps_name }} at {{ value }} %%\"}'.")));
	if (!template_check(text, &error))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("annotation \"%s\" of an alert rule does not render: %s", shown(name), error.message),
				 errdetail("At character %d of: %s", pg_mbstrlen_with_len(text.p, (int) error.offset) + 1,
						   shown(text)),
				 error.nearest != NULL ? errhint("Perhaps you mean %s. %s", error.nearest, error.hint)
				 : error.hint != NULL  ? errhint("%s", error.hint)
									   : 0));
}

/* Calls `check` for each pair of an object. */
static void
for_each_pair(const ObservRuleRow *row, enum ObservRuleColumn column, int max,
			  void (*check)(struct slice name, const JsonbValue *value))
{
	Jsonb *given = DatumGetJsonbP(row->values[column]);
	JsonbIterator *it;
	JsonbIteratorToken token;
	struct slice name = {0};
	JsonbValue v;

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of an alert rule must be an object of strings", observ_rule_column_name(column)),
				 errdetail("Given: %s.", shown(slice_of(JsonbToCString(NULL, &given->root, VARSIZE(given))))),
				 errhint("For instance '{\"team\": \"infrastructure\"}', or '{}'.")));
	if ((int) JB_ROOT_COUNT(given) > max)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("an alert rule has too many %s", observ_rule_column_name(column)),
						errdetail("Given: %d; at most %d are kept.", (int) JB_ROOT_COUNT(given), max)));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token == WJB_KEY)
			name = (struct slice){v.val.string.val, v.val.string.val + v.val.string.len};
		else if (token == WJB_VALUE)
			check(name, &v);
	}
}

static void
check_label_sizes(const ObservRuleRow *row)
{
	ObservLabels *labels = palloc(sizeof(ObservLabels));
	const char *problem = observ_read_labels(DatumGetJsonbP(row->values[RULE_COL_LABELS]), labels);

	if (problem == NULL)
		problem = series_labels_problem(labels->items, labels->n);
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid labels of an alert rule: %s", problem)));
}

static void
check_channels(const ObservRuleRow *row)
{
	ArrayType *array;
	Datum *names;
	bool *nulls;
	int n;

	if (row->nulls[RULE_COL_CHANNELS])
		return;
	array = DatumGetArrayTypeP(row->values[RULE_COL_CHANNELS]);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &n);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("notification_channels of an alert rule must not be empty"),
				 errhint("NULL leaves it to the route; nobody is told of a rule that is not enabled.")));
	for (int i = 0; i < n; i++)
		if (nulls[i] || VARSIZE_ANY_EXHDR(DatumGetPointer(names[i])) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("notification_channels of an alert rule must be names"),
							errdetail("Number %d is %s.", i + 1, nulls[i] ? "NULL" : "empty")));
}

void
observ_check_texts(const ObservRuleRow *row)
{
	char *url = observ_rule_text(row, RULE_COL_RUNBOOK_URL);

	if (strspn(observ_rule_text(row, RULE_COL_NAME), " \t\r\n") ==
		strlen(observ_rule_text(row, RULE_COL_NAME)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("name of an alert rule must not be empty")));
	if (*observ_rule_text(row, RULE_COL_CATEGORY) == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("category of an alert rule must not be empty"),
						errhint("Leave it out for 'custom'.")));
	for_each_pair(row, RULE_COL_LABELS, SERIES_LABELS_MAX, check_label);
	check_label_sizes(row);
	for_each_pair(row, RULE_COL_ANNOTATIONS, MAX_ANNOTATIONS, check_annotation);
	check_channels(row);
	if (url != NULL && pg_strncasecmp(url, "http://", 7) != 0 && pg_strncasecmp(url, "https://", 8) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("runbook_url of an alert rule must begin with http:// or https://"),
						errdetail("Given: %s.", shown(slice_of(url)))));
}
