/*
 * Which series of labelled metrics rules are about. What does not belong here: their samples (rule_samples.c).
 *
 * Matchers on labels are tried once per metric, rule and set of labels: the 10,000 VPSs of a fleet have the same few sets of labels.
 */
#include "postgres.h"

#include "ext/rule_series.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "ext/label_matchers.h"
#include "ext/metric_labels.h"
#include "ext/metric_series.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "ext/vps_key.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

typedef struct LabelsKey {
	const ObservRuleMetric *metric;
	const char *bytes; /* of the jsonb */
	uint32 length;
} LabelsKey;

typedef struct LabelsEntry {
	LabelsKey key;
	ObservRuleLabels *labels;
	uint32 hash;
	char status;
} LabelsEntry;

static inline uint32
hash_key(LabelsKey key)
{
	return hash_combine(hash_bytes((const unsigned char *) key.bytes, (int) key.length),
						(uint32) (uintptr_t) key.metric);
}

static inline bool
same_key(LabelsKey a, LabelsKey b)
{
	return a.metric == b.metric && a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

#define SH_PREFIX            labelstable
#define SH_ELEMENT_TYPE      LabelsEntry
#define SH_KEY_TYPE          LabelsKey
#define SH_KEY               key
#define SH_HASH_KEY(tb, key) hash_key(key)
#define SH_EQUAL(tb, a, b)   same_key(a, b)
#define SH_SCOPE             static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Finding {
	ObservRuleMetric *metrics; /* by name */
	int n_metrics;
	labelstable_hash *labels;
	HTAB *owners;       /* of Owner */
	struct Owner *last; /* that was asked for; NULL: none */
	ObservRuleSeries *series;
	int n, room;
} Finding;

static const char series_sql[] =
	"SELECT vps_name, app_name, metric_name, labels, kind, set_no, slot FROM observ.metric_series "
	"WHERE metric_name = ANY ($1) AND expired_at IS NULL AND last_seen >= $2 AND first_seen <= $3";

/* ---- metrics */

static int
compare_rules(const void *a, const void *b)
{
	const ObservRule *left = *(ObservRule *const *) a, *right = *(ObservRule *const *) b;
	int order = strcmp(left->metric_name, right->metric_name);

	return order != 0 ? order : (left->rule_id > right->rule_id) - (left->rule_id < right->rule_id);
}

static void
note_window(ObservRuleMetric *metric, const ObservRule *rule)
{
	if (rule->window_us == 0)
		metric->looks_back = true;
	else if (rule->window_us > OBSERV_LONG_WINDOW)
		metric->long_us = Max(metric->long_us, rule->window_us);
	else
		metric->window_us = Max(metric->window_us, rule->window_us);
}

static void
group_rules(Finding *finding, ObservRule **rules, int n)
{
	ObservRule **sorted = palloc(sizeof(ObservRule *) * n);

	memcpy(sorted, rules, sizeof(ObservRule *) * n);
	qsort(sorted, n, sizeof(ObservRule *), compare_rules);
	finding->metrics = palloc0(sizeof(ObservRuleMetric) * n);
	for (int i = 0; i < n; i++) {
		if (i == 0 || strcmp(sorted[i]->metric_name, sorted[i - 1]->metric_name) != 0)
			finding->metrics[finding->n_metrics++] =
				(ObservRuleMetric){.name = sorted[i]->metric_name, .rules = &sorted[i], .first = i};
		finding->metrics[finding->n_metrics - 1].n++;
		note_window(&finding->metrics[finding->n_metrics - 1], sorted[i]);
	}
}

static ObservRuleMetric *
metric_of(Finding *finding, struct slice name)
{
	int low = 0, high = finding->n_metrics - 1;

	while (low <= high) {
		int middle = (low + high) / 2;
		int order = slice_compare(slice_of(finding->metrics[middle].name), name);

		if (order == 0)
			return &finding->metrics[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	elog(ERROR, "a series came that was not asked for");
}

/* ---- matchers */

static bool
is_owner(struct slice name)
{
	return slice_equals(name, "vps_name") || slice_equals(name, "app_name");
}

/* Those of the matchers that are about VPS and application, or the others. */
static void
part_of(const struct matchers *all, bool owner, struct matchers *part)
{
	part->n = 0;
	for (int i = 0; all != NULL && i < all->n; i++)
		if (is_owner(all->item[i].name) == owner)
			part->item[part->n++] = all->item[i];
}

static struct slice
label_of(void *arg, struct slice name)
{
	return observ_label_value(arg, name);
}

static struct slice
owner_label(void *arg, struct slice name)
{
	const char *const *owner = arg;

	return slice_of(slice_equals(name, "vps_name") ? owner[0] : owner[1]);
}

bool
observ_rule_takes_owner(const ObservRule *rule, const char *vps_name, const char *app_name)
{
	const char *owner[] = {vps_name, app_name};
	struct matchers part;

	part_of(rule->matchers, true, &part);
	return part.n == 0 || observ_matchers_accept(&part, owner_label, owner);
}

/* ---- labels */

/* VPS and application are what an instance is about; labels of these names are of what the sample is about. As Prometheus has it. */
static struct slice
instance_name(struct slice name)
{
	if (!is_owner(name))
		return name;
	return slice_of(psprintf("exported_%.*s", (int) (name.end - name.p), name.p));
}

static ObservRuleLabels *
new_labels(const ObservRuleMetric *metric, Jsonb *json)
{
	ObservRuleLabels *labels = palloc0(sizeof(ObservRuleLabels));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	struct matchers part;
	int room = (int) JB_ROOT_COUNT(json);

	labels->items = palloc0(sizeof(struct series_label) * (room + 1));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE) {
		struct slice bytes = {value.val.string.val, value.val.string.val + value.val.string.len};

		if (token == WJB_KEY)
			labels->items[labels->n].name = instance_name(bytes);
		else if (token == WJB_VALUE && value.type == jbvString)
			labels->items[labels->n++].value = bytes;
	}
	series_sort_labels(labels->items, labels->n);
	labels->accepted = palloc(sizeof(bool) * metric->n);
	for (int i = 0; i < metric->n; i++) {
		part_of(metric->rules[i]->matchers, false, &part);
		labels->accepted[i] = observ_matchers_accept(&part, label_of, json);
	}
	return labels;
}

static ObservRuleLabels *
labels_of(Finding *finding, const ObservRuleMetric *metric, Jsonb *json)
{
	LabelsKey key = {metric, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json)};
	bool found;
	LabelsEntry *entry = labelstable_insert(finding->labels, key, &found);

	if (!found) {
		Jsonb *kept = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(json));

		entry->key.bytes = VARDATA_ANY(kept);
		entry->labels = new_labels(metric, kept);
	}
	return entry->labels;
}

/* ---- owners */

/* A VPS and application, kept once. */
typedef struct Owner {
	ObservVpsKey key; /* the names end with a null byte */
	const char *vps;  /* the same pointer for all applications of a VPS */
	int number;       /* in the order of names */
} Owner;

static Owner *
owner_of(Finding *finding, Datum vps_name, Datum app_name)
{
	ObservVpsKey key = observ_vps_key(vps_name, app_name);
	Owner *owner = finding->last;
	bool found;

	/* Series that were made together lie together. */
	if (owner != NULL && owner->key.vps_len == key.vps_len && owner->key.app_len == key.app_len &&
		memcmp(owner->key.vps, key.vps, key.vps_len) == 0 &&
		memcmp(owner->key.app, key.app, key.app_len) == 0)
		return owner;
	owner = finding->last = hash_search(finding->owners, &key, HASH_ENTER, &found);
	if (!found) {
		owner->key.vps = pnstrdup(key.vps, key.vps_len);
		owner->key.app = pnstrdup(key.app, key.app_len);
	}
	return owner;
}

static int
compare_owners(const void *a, const void *b)
{
	const Owner *left = *(Owner *const *) a, *right = *(Owner *const *) b;
	int order = strcmp(left->key.vps, right->key.vps);

	return order != 0 ? order : strcmp(left->key.app, right->key.app);
}

static void
number_owners(Finding *finding)
{
	int n = (int) hash_get_num_entries(finding->owners);
	Owner **all = palloc_extended(sizeof(Owner *) * Max(n, 1), MCXT_ALLOC_HUGE);
	HASH_SEQ_STATUS seq;

	hash_seq_init(&seq, finding->owners);
	for (int i = 0; i < n; i++)
		all[i] = hash_seq_search(&seq);
	hash_seq_term(&seq);
	qsort(all, n, sizeof(Owner *), compare_owners);
	for (int i = 0; i < n; i++) {
		bool same = i > 0 && strcmp(all[i - 1]->key.vps, all[i]->key.vps) == 0;

		all[i]->number = i;
		all[i]->vps = same ? all[i - 1]->vps : all[i]->key.vps;
	}
	pfree(all);
}

/* ---- series */

static void
take_series(void *arg, uint64 row)
{
	Finding *finding = arg;
	ObservRuleSeries *series;
	bool isnull;

	if (finding->n == finding->room) {
		finding->room = Max(2 * finding->room, 256);
		finding->series = finding->series ? repalloc_huge(finding->series, sizeof(*series) * finding->room)
										  : palloc_extended(sizeof(*series) * finding->room, MCXT_ALLOC_HUGE);
	}
	series = &finding->series[finding->n++];
	*series = (ObservRuleSeries){
		.owner = owner_of(finding, observ_spi_value(row, 1, &isnull), observ_spi_value(row, 2, &isnull)),
		.metric = metric_of(finding, observ_text_slice(DatumGetTextPP(observ_spi_value(row, 3, &isnull)))),
		.counter =
			slice_equals(observ_text_slice(DatumGetTextPP(observ_spi_value(row, 5, &isnull))), "counter"),
		.set_no = DatumGetInt32(observ_spi_value(row, 6, &isnull)),
		.slot = DatumGetInt16(observ_spi_value(row, 7, &isnull)) - 1,
	};
	series->labels = labels_of(finding, series->metric, DatumGetJsonbP(observ_spi_value(row, 4, &isnull)));
}

static int
compare_series(const void *a, const void *b)
{
	const ObservRuleSeries *left = a, *right = b;
	int order = left->owner->number - right->owner->number;

	if (order == 0)
		order = (left->set_no > right->set_no) - (left->set_no < right->set_no);
	return order != 0 ? order : left->slot - right->slot;
}

/* In the order of VPS, application, set and slot: cheaper here than in the query, which would compare names of all series. */
static void
arrange(Finding *finding)
{
	number_owners(finding);
	if (finding->n > 1)
		qsort(finding->series, finding->n, sizeof(ObservRuleSeries), compare_series);
	for (int i = 0; i < finding->n; i++) {
		ObservRuleSeries *series = &finding->series[i];

		series->vps_name = series->owner->vps;
		series->app_name = series->owner->key.app;
	}
}

ObservRuleSeries *
observ_find_rule_series(ObservRule **rules, int n_rules, TimestampTz since, TimestampTz until, int *n)
{
	Finding finding = {.labels = labelstable_create(CurrentMemoryContext, 64, NULL),
					   .owners = observ_vps_table_create("observ owners of series", sizeof(Owner), 256)};
	Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[3];
	Datum *names;

	group_rules(&finding, rules, n_rules);
	names = palloc(sizeof(Datum) * finding.n_metrics);
	for (int i = 0; i < finding.n_metrics; i++)
		names[i] = CStringGetTextDatum(finding.metrics[i].name);
	values[0] = observ_array(names, finding.n_metrics, TEXTOID);
	values[1] = TimestampTzGetDatum(since - OBSERV_LAST_SEEN_LAG);
	values[2] = TimestampTzGetDatum(until);
	observ_spi_each(series_sql, lengthof(types), types, values, NULL, take_series, &finding);
	arrange(&finding);
	*n = finding.n;
	return finding.series;
}
