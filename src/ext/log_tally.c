/*
 * Counting log entries in memory and adding the counts to observ.log_templates, observ.log_template_counts and observ.log_counts.
 * What does not belong here: which entries are new (log_templates.c), what a template is (core/log_template.c).
 */
#include "postgres.h"

#include "ext/log_tally.h"

#include "catalog/pg_type.h"
#include "core/log_template.h"
#include "ext/log_vector.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Bytes of a message that are kept as an example. */
#define SAMPLE_MAX 1000

typedef struct Template {
	uint64 fingerprint; /* the key */
	const char *app, *level, *text, *sample;
	TimestampTz first_seen, last_seen;
	int64 count;
} Template;

typedef struct HourKey {
	TimestampTz hour;
	uint64 fingerprint;
} HourKey;

typedef struct Hour {
	HourKey key;
	int64 count;
} Hour;

typedef struct CountKey {
	TimestampTz bucket;
	uint64 source; /* fingerprint of level, or of level and application */
} CountKey;

typedef struct Count {
	CountKey key;
	const char *app; /* NULL: all applications together */
	const char *level;
	int64 count;
} Count;

static HTAB *
table_of(ObservLogTally *tally, const char *name, Size key, Size entry)
{
	HASHCTL ctl = {.keysize = key, .entrysize = entry, .hcxt = tally->context};

	return hash_create(name, 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
start(ObservLogTally *tally)
{
	tally->entries = tally->others = 0;
	tally->templates = table_of(tally, "observ log templates", sizeof(uint64), sizeof(Template));
	tally->hours = table_of(tally, "observ log hours", sizeof(HourKey), sizeof(Hour));
	tally->counts = table_of(tally, "observ log counts", sizeof(CountKey), sizeof(Count));
}

void
observ_log_tally_begin(ObservLogTally *tally, int max_templates)
{
	*tally = (ObservLogTally){.max_templates = max_templates};
	tally->context = AllocSetContextCreate(CurrentMemoryContext, "observ log tally", ALLOCSET_DEFAULT_SIZES);
	start(tally);
}

void
observ_log_tally_discard(ObservLogTally *tally)
{
	MemoryContextReset(tally->context);
	start(tally);
}

/* Outlives the writes of a pass, so that each fingerprint is read once. */
static void
load_known(ObservLogTally *tally)
{
	HASHCTL ctl = {.keysize = sizeof(uint64),
				   .entrysize = sizeof(uint64),
				   .hcxt = MemoryContextGetParent(tally->context)};
	uint64 n = observ_spi(SPI_OK_SELECT, "SELECT fingerprint FROM observ.log_templates", 0, NULL, NULL, NULL);
	bool isnull;

	tally->known =
		hash_create("observ known log templates", n + 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (uint64 i = 0; i < n; i++) {
		int64 fingerprint = DatumGetInt64(observ_spi_value(i, 1, &isnull));

		hash_search(tally->known, &fingerprint, HASH_ENTER, NULL);
	}
	SPI_freetuptable(SPI_tuptable);
}

static char *
copy(struct slice s)
{
	return pnstrdup(s.p, s.end - s.p);
}

/* What identifies an entry, cut to what fits into an index. */
typedef struct Source {
	struct slice app, level;
	char level_bytes[OBSERV_LOG_MARKED_MAX];
} Source;

static void
read_source(Source *source, Datum app_name, Datum level)
{
	size_t len = observ_log_marked(OBSERV_LOG_LEVEL_MARK, observ_log_text(level), source->level_bytes);

	source->level = (struct slice){source->level_bytes + 1, source->level_bytes + len};
	source->app = log_cut(observ_log_text(app_name));
}

/* The fingerprint to count under: a new template takes one of the places that are left. */
static uint64
place_of(ObservLogTally *tally, uint64 fingerprint)
{
	bool known;

	hash_search(tally->known, &fingerprint, HASH_FIND, &known);
	if (known)
		return fingerprint;
	if (hash_get_num_entries(tally->known) >= tally->max_templates) {
		tally->others++;
		return (uint64) OBSERV_LOG_OTHER;
	}
	hash_search(tally->known, &fingerprint, HASH_ENTER, NULL);
	tally->new_templates++;
	return fingerprint;
}

static uint64
count_template(ObservLogTally *tally, TimestampTz timestamp, const Source *source, struct slice message)
{
	char text[LOG_TEMPLATE_MAX + 1];
	struct slice parts[] = {source->app, source->level, {text, text + log_template(message, text)}};
	uint64 fingerprint = place_of(tally, log_fingerprint(parts, lengthof(parts)));
	bool found;
	Template *t = hash_search(tally->templates, &fingerprint, HASH_ENTER, &found);

	if (!found) {
		bool other = fingerprint == (uint64) OBSERV_LOG_OTHER;

		t->app = other ? "" : copy(source->app);
		t->level = other ? "" : copy(source->level);
		t->text = other ? "(other)" : pstrdup(text);
		if (message.end - message.p > SAMPLE_MAX)
			message.end = message.p + pg_mbcliplen(message.p, SAMPLE_MAX, SAMPLE_MAX);
		t->sample = copy(message);
		t->first_seen = t->last_seen = timestamp;
		t->count = 0;
	}
	t->first_seen = Min(t->first_seen, timestamp);
	t->last_seen = Max(t->last_seen, timestamp);
	t->count++;
	return fingerprint;
}

/* Adds one to the count of a level in the 5 minutes of `timestamp`: of the application, or of all together. */
static void
count_level(ObservLogTally *tally, TimestampTz timestamp, const Source *source, bool by_app)
{
	struct slice parts[] = {source->level, source->app};
	CountKey key = {observ_floor_time(timestamp, OBSERV_LOG_BUCKET), log_fingerprint(parts, by_app ? 2 : 1)};
	bool found;
	Count *count = hash_search(tally->counts, &key, HASH_ENTER, &found);

	if (!found) {
		count->app = by_app ? copy(source->app) : NULL;
		count->level = copy(source->level);
		count->count = 0;
	}
	count->count++;
}

void
observ_log_tally_add(ObservLogTally *tally, TimestampTz timestamp, Datum app_name, Datum level, Datum message)
{
	MemoryContext old;
	Source source;
	HourKey key = {observ_floor_time(timestamp, USECS_PER_HOUR)};
	Hour *hour;
	bool found;

	if (tally->known == NULL)
		load_known(tally);
	old = MemoryContextSwitchTo(tally->context);
	read_source(&source, app_name, level);
	key.fingerprint = count_template(tally, timestamp, &source, observ_log_text(message));
	hour = hash_search(tally->hours, &key, HASH_ENTER, &found);
	hour->count = found ? hour->count + 1 : 1;
	count_level(tally, timestamp, &source, false);
	count_level(tally, timestamp, &source, true);
	tally->entries++;
	MemoryContextSwitchTo(old);
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static const char templates_sql[] =
	"INSERT INTO observ.log_templates AS t (fingerprint, app_name, level, template, sample_message, "
	"first_seen, last_seen, "
	"  count) "
	"SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) u (fingerprint) ORDER BY fingerprint "
	"ON CONFLICT (fingerprint) DO UPDATE SET first_seen = least(t.first_seen, excluded.first_seen), "
	"  last_seen = greatest(t.last_seen, excluded.last_seen), count = t.count + excluded.count";

static const char hours_sql[] =
	"INSERT INTO observ.log_template_counts AS t (\"timestamp\", fingerprint, count) "
	"SELECT * FROM unnest($1, $2, $3) u (hour, fingerprint) ORDER BY hour, fingerprint "
	"ON CONFLICT (\"timestamp\", fingerprint) DO UPDATE SET count = t.count + excluded.count";

static const char counts_sql[] =
	"INSERT INTO observ.log_counts AS t (\"timestamp\", app_name, level, count) "
	"SELECT bucket, CASE WHEN by_app THEN app_name END, level, count "
	"FROM unnest($1, $2, $3, $4, $5) u (bucket, by_app, app_name, level, count) "
	"ORDER BY by_app, app_name COLLATE \"C\", bucket, level COLLATE \"C\" "
	"ON CONFLICT (app_name, \"timestamp\", level) DO UPDATE SET count = t.count + excluded.count";

#define MAX_COLUMNS 8

/* A statement whose parameters are arrays of as many elements as the table has entries. */
typedef struct Statement {
	const char *sql;
	int n_columns;
	Oid elements[MAX_COLUMNS];
	Oid arrays[MAX_COLUMNS];
	void (*fill)(const void *entry, Datum *column);
} Statement;

static void
fill_template(const void *entry, Datum *column)
{
	const Template *t = entry;

	column[0] = Int64GetDatum((int64) t->fingerprint);
	column[1] = CStringGetTextDatum(t->app);
	column[2] = CStringGetTextDatum(t->level);
	column[3] = CStringGetTextDatum(t->text);
	column[4] = CStringGetTextDatum(t->sample);
	column[5] = TimestampTzGetDatum(t->first_seen);
	column[6] = TimestampTzGetDatum(t->last_seen);
	column[7] = Int64GetDatum(t->count);
}

static void
fill_hour(const void *entry, Datum *column)
{
	const Hour *hour = entry;

	column[0] = TimestampTzGetDatum(hour->key.hour);
	column[1] = Int64GetDatum((int64) hour->key.fingerprint);
	column[2] = Int64GetDatum(hour->count);
}

static void
fill_count(const void *entry, Datum *column)
{
	const Count *count = entry;

	column[0] = TimestampTzGetDatum(count->key.bucket);
	column[1] = BoolGetDatum(count->app != NULL);
	column[2] = CStringGetTextDatum(count->app == NULL ? "" : count->app);
	column[3] = CStringGetTextDatum(count->level);
	column[4] = Int64GetDatum(count->count);
}

static const Statement statements[] = {
	{templates_sql,
	 8,
	 {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID},
	 {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	  TIMESTAMPTZARRAYOID, INT8ARRAYOID},
	 fill_template},
	{hours_sql,
	 3,
	 {TIMESTAMPTZOID, INT8OID, INT8OID},
	 {TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
	 fill_hour},
	{counts_sql,
	 5,
	 {TIMESTAMPTZOID, BOOLOID, TEXTOID, TEXTOID, INT8OID},
	 {TIMESTAMPTZARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID},
	 fill_count},
};

static void
write_table(const Statement *statement, HTAB *table)
{
	long n = hash_get_num_entries(table), i = 0;
	Datum *columns[MAX_COLUMNS], arrays[MAX_COLUMNS];
	HASH_SEQ_STATUS seq;
	void *entry;

	for (int c = 0; c < statement->n_columns; c++)
		columns[c] = palloc(sizeof(Datum) * n);
	hash_seq_init(&seq, table);
	while ((entry = hash_seq_search(&seq)) != NULL) {
		Datum row[MAX_COLUMNS];

		statement->fill(entry, row);
		for (int c = 0; c < statement->n_columns; c++)
			columns[c][i] = row[c];
		i++;
	}
	for (int c = 0; c < statement->n_columns; c++)
		arrays[c] = observ_array(columns[c], (int) n, statement->elements[c]);
	observ_spi(SPI_OK_INSERT, statement->sql, statement->n_columns, statement->arrays, arrays, NULL);
}

void
observ_log_tally_write(ObservLogTally *tally)
{
	HTAB *tables[] = {tally->templates, tally->hours, tally->counts};
	MemoryContext old = MemoryContextSwitchTo(tally->context);

	for (size_t i = 0; i < lengthof(statements); i++)
		if (hash_get_num_entries(tables[i]) > 0)
			write_table(&statements[i], tables[i]);
	MemoryContextSwitchTo(old);
	observ_log_tally_discard(tally);
}
