/*
 * Reading long windows of labelled metrics as buckets of 5 minutes. They come out the same whether roll_up() has been there or not, but for
 * late rows that it has not worked in yet.
 * What does not belong here: what rules make of them (core/window_cells.c).
 */
#include "postgres.h"

#include "ext/rule_cells.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/metric_slots.h"
#include "ext/rollup_sources.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/timestamp.h"

/* The buckets of one series. */
typedef struct Line {
	struct window_cell *cells;
	int n, room;
	TimestampTz newest;
} Line;

/* What was read of one set in one range of time. */
typedef struct Range {
	const ObservRuleSeries *first;
	int n;
	TimestampTz start, until;
	Line *lines; /* one per series */
} Range;

/* What was usual for the series of one set at an hour of the day. */
typedef struct Usual {
	const ObservRuleSeries *first;
	int n;
	TimestampTz hour;
	double *days; /* WINDOW_USUAL_DAYS per series */
} Usual;

struct ObservRuleCells {
	MemoryContext context;
	TimestampTz rolled;
	List *ranges; /* of Range */
	List *usual;  /* of Usual */
};

static const char rolled_sql[] =
	"SELECT rolled_5m FROM observ_data.rollup_state WHERE source = 'metric_scrapes'";

/* $1 vps, $2 app, $3 set, $4 <= "timestamp" < $5 */
static const char cells_sql[] = "SELECT \"timestamp\", cells FROM observ.metrics_5m WHERE vps_name = $1 AND "
								"app_name = $2 AND set_no = $3 "
								"AND \"timestamp\" >= $4 AND \"timestamp\" < $5 ORDER BY \"timestamp\"";
static const char rows_sql[] = "SELECT \"timestamp\", \"values\" FROM observ.metric_scrapes WHERE vps_name = "
							   "$1 AND app_name = $2 AND set_no = $3 "
							   "AND \"timestamp\" >= $4 AND \"timestamp\" <= $5 ORDER BY \"timestamp\"";

/* $1 vps, $2 app, $3 set, $4 hours */
static const char hours_sql[] = "SELECT \"timestamp\", cells FROM observ.metrics_1h WHERE vps_name = $1 AND "
								"app_name = $2 AND set_no = $3 "
								"AND \"timestamp\" = ANY ($4)";

TimestampTz
observ_cells_rolled(void)
{
	bool isnull;

	if (SPI_execute(rolled_sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read observ_data.rollup_state");
	return SPI_processed == 1 ? DatumGetTimestampTz(observ_spi_value(0, 1, &isnull)) : DT_NOBEGIN;
}

ObservRuleCells *
observ_rule_cells(TimestampTz rolled)
{
	ObservRuleCells *known = palloc0(sizeof(ObservRuleCells));

	known->context = CurrentMemoryContext;
	known->rolled = rolled;
	return known;
}

/* The bucket of that start at the end of a line, begun when it is not there. */
static struct cell *
bucket_of(ObservRuleCells *known, Line *line, TimestampTz start)
{
	if (line->n > 0 && line->cells[line->n - 1].start_us == start)
		return &line->cells[line->n - 1].cell;
	if (line->n == line->room) {
		line->room = Max(2 * line->room, 32);
		line->cells = line->cells
						  ? repalloc_huge(line->cells, sizeof(struct window_cell) * line->room)
						  : MemoryContextAlloc(known->context, sizeof(struct window_cell) * line->room);
	}
	line->cells[line->n] = (struct window_cell){.start_us = start};
	return &line->cells[line->n++].cell;
}

/* A rolled-up row: its time and its cells. */
static TimestampTz
read_cells(uint64 row, struct cell_row *cells)
{
	bool isnull;
	TimestampTz start = DatumGetTimestampTz(observ_spi_value(row, 1, &isnull));
	bytea *bytes = DatumGetByteaPP(observ_spi_value(row, 2, &isnull));

	if (!cells_decode((const unsigned char *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), cells))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("cells of rolled-up metrics can't be read"),
						errhint("Somebody wrote them by hand: observ.recompute_rollups() makes them anew.")));
	return start;
}

static void
take_cells(ObservRuleCells *known, const Range *range, uint64 row)
{
	struct cell_row cells;
	TimestampTz start = read_cells(row, &cells);

	for (int i = 0; i < range->n; i++) {
		int slot = range->first[i].slot;
		Line *line = &range->lines[i];

		if (slot >= cells.n || cells.cells[slot].count == 0)
			continue;
		*bucket_of(known, line, start) = cells.cells[slot];
		line->newest = start + OBSERV_5M;
	}
}

static void
take_values(ObservRuleCells *known, const Range *range, uint64 row)
{
	bool isnull;
	TimestampTz at = DatumGetTimestampTz(observ_spi_value(row, 1, &isnull));
	ObservSlots slots;

	observ_slots_read(DatumGetArrayTypeP(observ_spi_value(row, 2, &isnull)), &slots);
	for (int i = 0; i < range->n; i++) {
		const ObservRuleSeries *series = &range->first[i];
		Line *line = &range->lines[i];

		if ((slots.known & (UINT64CONST(1) << series->slot)) == 0 || !isfinite(slots.values[series->slot]))
			continue;
		cell_add(bucket_of(known, line, observ_floor_time(at, OBSERV_5M)), slots.values[series->slot], 1,
				 series->counter);
		line->newest = at;
	}
}

/* Thousands of sets are read one after the other, so the plans are kept. */
static void
read_rows(ObservRuleCells *known, const Range *range, bool rolled, TimestampTz from, TimestampTz to)
{
	static SPIPlanPtr cells_plan, rows_plan;
	Oid types[] = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(range->first->vps_name),
					  CStringGetTextDatum(range->first->app_name), Int32GetDatum(range->first->set_no),
					  TimestampTzGetDatum(from), TimestampTzGetDatum(to)};
	int nest_level = observ_few_rows_begin();
	uint64 n = observ_spi_read(rolled ? &cells_plan : &rows_plan, rolled ? cells_sql : rows_sql,
							   lengthof(types), types, values, NULL);

	for (uint64 row = 0; row < n; row++) {
		if (rolled)
			take_cells(known, range, row);
		else
			take_values(known, range, row);
	}
	SPI_freetuptable(SPI_tuptable);
	observ_few_rows_end(nest_level);
}

static void
read_range(ObservRuleCells *known, const Range *range)
{
	/* Buckets that are rolled up and over. */
	TimestampTz whole = Min(known->rolled, observ_floor_time(range->until, OBSERV_5M));
	TimestampTz start = observ_floor_time(range->start, OBSERV_5M);

	if (start < whole)
		read_rows(known, range, true, start, whole);
	read_rows(known, range, false, Max(start, whole), range->until);
}

static Range *
range_of(ObservRuleCells *known, const ObservRuleSeries *first, int n, TimestampTz start, TimestampTz until)
{
	MemoryContext caller;
	Range *range;
	ListCell *cell;

	foreach (cell, known->ranges) {
		range = lfirst(cell);
		if (range->first == first && range->start == start && range->until == until)
			return range;
	}
	caller = MemoryContextSwitchTo(known->context);
	range = palloc0(sizeof(Range));
	*range = (Range){.first = first, .n = n, .start = start, .until = until};
	range->lines = palloc0(sizeof(Line) * n);
	known->ranges = lappend(known->ranges, range);
	read_range(known, range);
	MemoryContextSwitchTo(caller);
	return range;
}

const struct window_cell *
observ_series_cells(ObservRuleCells *known, const ObservRuleSeries *series, const ObservRuleSeries *first,
					const ObservRuleSeries *past, TimestampTz start, TimestampTz until, int *n,
					TimestampTz *newest)
{
	Range *range = range_of(known, first, (int) (past - first), start, until);
	const Line *line = &range->lines[series - first];

	*n = line->n;
	*newest = line->n > 0 ? line->newest : DT_NOBEGIN;
	return line->cells;
}

/* ---- what is usual */

static void
take_hour(const Usual *usual, uint64 row)
{
	struct cell_row cells;
	TimestampTz start = read_cells(row, &cells);
	int day = (int) ((usual->hour - start) / USECS_PER_DAY) - 1;

	for (int i = 0; i < usual->n; i++) {
		int slot = usual->first[i].slot;

		if (slot < cells.n && cells.cells[slot].count > 0)
			usual->days[i * WINDOW_USUAL_DAYS + day] = cell_average(&cells.cells[slot]);
	}
}

static void
read_usual(const Usual *usual)
{
	static SPIPlanPtr plan;
	Oid types[] = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZARRAYOID};
	Datum hours[WINDOW_USUAL_DAYS];
	Datum values[] = {CStringGetTextDatum(usual->first->vps_name),
					  CStringGetTextDatum(usual->first->app_name), Int32GetDatum(usual->first->set_no), 0};
	int nest_level = observ_few_rows_begin();
	uint64 n;

	for (int i = 0; i < WINDOW_USUAL_DAYS; i++)
		hours[i] = TimestampTzGetDatum(usual->hour - (i + 1) * USECS_PER_DAY);
	values[3] = observ_array(hours, WINDOW_USUAL_DAYS, TIMESTAMPTZOID);
	n = observ_spi_read(&plan, hours_sql, lengthof(types), types, values, NULL);
	for (uint64 row = 0; row < n; row++)
		take_hour(usual, row);
	SPI_freetuptable(SPI_tuptable);
	observ_few_rows_end(nest_level);
}

const double *
observ_series_usual(ObservRuleCells *known, const ObservRuleSeries *series, const ObservRuleSeries *first,
					const ObservRuleSeries *past, TimestampTz hour)
{
	MemoryContext caller;
	Usual *usual;
	ListCell *cell;
	int n = (int) (past - first);

	foreach (cell, known->usual) {
		usual = lfirst(cell);
		if (usual->first == first && usual->hour == hour)
			return usual->days + (series - first) * WINDOW_USUAL_DAYS;
	}
	caller = MemoryContextSwitchTo(known->context);
	usual = palloc(sizeof(Usual));
	*usual = (Usual){first, n, hour, palloc(sizeof(double) * WINDOW_USUAL_DAYS * n)};
	for (int i = 0; i < n * WINDOW_USUAL_DAYS; i++)
		usual->days[i] = get_float8_nan();
	known->usual = lappend(known->usual, usual);
	read_usual(usual);
	MemoryContextSwitchTo(caller);
	return usual->days + (series - first) * WINDOW_USUAL_DAYS;
}
