/*
 * Triggers on observ.silences: what may be written, that nothing is lost, who did it. What does not belong here: the functions that people call
 * (silence_calls.c), hiding alerts (suppression.c).
 */
#include "postgres.h"

#include "ext/silences.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/matcher_sets.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/trigger_row.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_check_silence);
OBSERV_SQL_FUNCTION(observ_audit_silence);

#define MAX_MATCHERS_LENGTH 10000 /* bytes */

static TimestampTz acting_at;
static bool acting = false;
static bool forgetting = false;

/* A row of the table; pointers are NULL for NULL. */
typedef struct SilenceRow {
	HeapTuple tuple;
	int64 id;
	char *matchers, *comment;
	TimestampTz starts_at, ends_at;
} SilenceRow;

TimestampTz
observ_silence_time(void)
{
	return acting ? acting_at : GetCurrentTransactionStartTimestamp();
}

void
observ_set_silence_time(TimestampTz at)
{
	acting = true;
	acting_at = at;
}

void
observ_reset_silence_time(void)
{
	acting = false;
}

void
observ_set_silences_forgotten(bool on)
{
	forgetting = on;
}

static TimestampTz
time_of(const TriggerData *data, HeapTuple tuple, const char *column)
{
	bool isnull;
	Datum value = observ_trigger_value(data, tuple, column, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("%s of a silence must not be null", column),
				 errhint("A silence has a beginning and an end; it can be extended later.")));
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s of a silence must be a time", column),
			 errdetail("Given: %s.", timestamptz_to_str(DatumGetTimestampTz(value))),
			 errhint(
				 "Nothing is silenced for ever: give it an end, and extend it when it is needed longer.")));
	return DatumGetTimestampTz(value);
}

static SilenceRow
read_row(const TriggerData *data, HeapTuple tuple)
{
	bool isnull;

	return (SilenceRow){
		.tuple = tuple,
		.id = DatumGetInt64(observ_trigger_value(data, tuple, "silence_id", &isnull)),
		.matchers = observ_trigger_text(data, tuple, "matchers"),
		.comment = observ_trigger_text(data, tuple, "comment"),
		.starts_at = time_of(data, tuple, "starts_at"),
		.ends_at = time_of(data, tuple, "ends_at"),
	};
}

static void
check_texts(const TriggerData *data, const SilenceRow *row)
{
	bool isnull;
	Datum clear = observ_trigger_value(data, row->tuple, "auto_expire_when_clear", &isnull);

	if (row->matchers == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("matchers of a silence must not be null")));
	if (strlen(row->matchers) > MAX_MATCHERS_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("matchers of a silence are too long"),
						errdetail("They have %zu bytes; at most %d are taken.", strlen(row->matchers),
								  MAX_MATCHERS_LENGTH)));
	observ_check_matcher_sets(row->matchers, true, "a silence");
	if (row->comment == NULL || strspn(row->comment, " \t\r\n") == strlen(row->comment))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("comment of a silence must not be empty"),
				 errhint("Say why, for those who wonder later why nobody was told.")));
	if (!isnull && observ_interval_usecs(DatumGetIntervalP(clear)) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("auto_expire_when_clear must be above 0"),
				 errdetail("Given: %s.", DatumGetCString(DirectFunctionCall1(interval_out, clear)))));
}

static void
check_order(TimestampTz starts_at, TimestampTz ends_at)
{
	char *start;

	if (ends_at > starts_at)
		return;
	start = pstrdup(timestamptz_to_str(starts_at));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a silence must end after it begins"),
					errdetail("It would begin at %s and end at %s.", start, timestamptz_to_str(ends_at))));
}

/* How long it may last from its beginning, or from now on. */
static void
check_length(TimestampTz starts_at, TimestampTz ends_at)
{
	Interval most = {.time = observ_silence_max_duration * USECS_PER_SEC};
	char *start;

	if (observ_silence_max_duration == 0 || ends_at - starts_at <= most.time)
		return;
	start = pstrdup(timestamptz_to_str(starts_at));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("a silence must not last longer than %s",
						   DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&most)))),
					errdetail("It would last from %s until %s.", start, timestamptz_to_str(ends_at)),
					errhint("So says observ.silence_max_duration. Extend it before it ends when it is still "
							"needed.")));
}

static Datum
current_role(void)
{
	return DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false)));
}

/* Who made it and when is the database's word; what has begun already can't be silenced any more. */
static HeapTuple
new_silence(const TriggerData *data, const SilenceRow *row, TimestampTz now)
{
	static const char *const columns[] = {"starts_at",  "created_by",  "created_at",
										  "updated_at", "replaced_by", "clear_since"};
	TimestampTz starts_at = Max(row->starts_at, now);
	Datum values[] = {TimestampTzGetDatum(starts_at), current_role(), TimestampTzGetDatum(now),
					  TimestampTzGetDatum(now),       (Datum) 0,      (Datum) 0};
	bool nulls[] = {false, false, false, false, true, true};

	check_texts(data, row);
	check_order(starts_at, row->ends_at);
	check_length(starts_at, row->ends_at);
	return observ_trigger_modify(data, row->tuple, lengthof(columns), columns, values, nulls);
}

static bool
same_value(const TriggerData *data, HeapTuple a, HeapTuple b, const char *column)
{
	int number = SPI_fnumber(RelationGetDescr(data->tg_relation), column);
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(data->tg_relation), number - 1);
	bool a_null, b_null;
	Datum a_value = observ_trigger_value(data, a, column, &a_null);
	Datum b_value = observ_trigger_value(data, b, column, &b_null);

	return a_null == b_null &&
		   (a_null || datum_image_eq(a_value, b_value, attribute->attbyval, attribute->attlen));
}

/* What the edit makes of an active silence, as a silence of its own; returns its id. */
static Datum
insert_successor(const TriggerData *data, const SilenceRow *new)
{
	static const char *const columns[] = {"matchers", "starts_at",  "ends_at",
										  "comment",  "ticket_url", "auto_expire_when_clear"};
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INTERVALOID};
	Datum values[lengthof(columns)], id;
	char nulls[lengthof(columns)];
	bool isnull;

	for (size_t i = 0; i < lengthof(columns); i++) {
		values[i] = observ_trigger_value(data, new->tuple, columns[i], &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	SPI_connect();
	observ_spi(SPI_OK_INSERT_RETURNING,
			   "INSERT INTO observ.silences (matchers, starts_at, ends_at, comment, ticket_url, "
			   "auto_expire_when_clear) VALUES ($1, $2, $3, $4, $5, $6) RETURNING silence_id",
			   lengthof(columns), types, values, nulls);
	id = observ_spi_value(0, 1, &isnull);
	SPI_finish();
	return id;
}

/* Matchers and start of a silence that is active stay what they were: history is not rewritten. */
static HeapTuple
replaced_silence(const TriggerData *data, const SilenceRow *old, const SilenceRow *new, TimestampTz now)
{
	static const char *const columns[] = {"ends_at", "updated_at", "replaced_by"};
	Datum values[] = {TimestampTzGetDatum(now), TimestampTzGetDatum(now), insert_successor(data, new)};
	bool nulls[] = {false, false, false};

	return observ_trigger_modify(data, old->tuple, lengthof(columns), columns, values, nulls);
}

static HeapTuple
edited_silence(const TriggerData *data, const SilenceRow *old, const SilenceRow *new, TimestampTz now)
{
	static const char *const columns[] = {"starts_at", "ends_at", "created_by", "created_at", "updated_at"};
	bool isnull, nulls[lengthof(columns)] = {false}, ends = new->ends_at <= now;
	TimestampTz starts_at = new->starts_at, ends_at = new->ends_at;
	Datum values[lengthof(columns)];

	if (old->ends_at > now) {
		/* To end it is to end it now, whatever earlier time was given; one that has not begun never does. */
		starts_at = ends ? Min(old->starts_at, now) : Max(starts_at, Min(old->starts_at, now));
		ends_at = Max(ends_at, now);
		if (!ends)
			check_order(starts_at, ends_at);
		if (ends_at > old->ends_at || starts_at != old->starts_at)
			check_length(Max(starts_at, now), ends_at);
		check_texts(data, new);
	}
	values[0] = TimestampTzGetDatum(starts_at);
	values[1] = TimestampTzGetDatum(ends_at);
	values[2] = observ_trigger_value(data, old->tuple, "created_by", &isnull);
	values[3] = observ_trigger_value(data, old->tuple, "created_at", &isnull);
	values[4] = TimestampTzGetDatum(now);
	return observ_trigger_modify(data, new->tuple, lengthof(columns), columns, values, nulls);
}

static HeapTuple
updated_silence(const TriggerData *data, const SilenceRow *old, const SilenceRow *new, TimestampTz now)
{
	bool moved = !same_value(data, old->tuple, new->tuple, "matchers") || old->starts_at != new->starts_at;

	if (old->id != new->id)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("silence_id can't be changed")));
	if (old->ends_at <= now && (moved || old->ends_at != new->ends_at))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("silence " INT64_FORMAT " is over", old->id),
						errdetail("It ended at %s.", timestamptz_to_str(old->ends_at)),
						errhint("Make a new one: SELECT observ.silence(…).")));
	if (moved && old->starts_at <= now)
		return replaced_silence(data, old, new, now);
	return edited_silence(data, old, new, now);
}

/* observ_data._check_silence(): BEFORE INSERT OR UPDATE OR DELETE on observ.silences */
Datum
observ_check_silence(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	TimestampTz now = observ_silence_time();
	SilenceRow row, old;

	if (observ_restores_a_dump(data) || (forgetting && TRIGGER_FIRED_BY_DELETE(data->tg_event)))
		return PointerGetDatum(observ_trigger_row(data));
	row = read_row(data, observ_trigger_row(data));
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION), errmsg("silences are not deleted"),
				 errdetail("Silence " INT64_FORMAT " says why people were not told of something.", row.id),
				 errhint("To end it: SELECT observ.expire_silence(" INT64_FORMAT ").", row.id)));
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		return PointerGetDatum(new_silence(data, &row, now));
	old = read_row(data, data->tg_trigtuple);
	return PointerGetDatum(updated_silence(data, &old, &row, now));
}

/* What was done, as in observ.silence_audit.action; NULL: nothing that is to be kept. */
static const char *
action_of(const TriggerData *data, const SilenceRow *old, const SilenceRow *new, TimestampTz now)
{
	if (!same_value(data, old->tuple, new->tuple, "replaced_by"))
		return "replaced";
	if (old->ends_at > now && new->ends_at <= now)
		return "expired";
	if (!same_value(data, old->tuple, new->tuple, "matchers") || old->starts_at != new->starts_at)
		return "edited";
	if (old->ends_at != new->ends_at)
		return new->ends_at > old->ends_at ? "extended" : "shortened";
	if (!same_value(data, old->tuple, new->tuple, "comment") ||
		!same_value(data, old->tuple, new->tuple, "ticket_url") ||
		!same_value(data, old->tuple, new->tuple, "auto_expire_when_clear"))
		return "edited";
	return NULL;
}

/* As the owner of the table, which nobody else may write. */
static void
write_audit(const TriggerData *data, const SilenceRow *old, const SilenceRow *new, const char *action)
{
	TupleDesc desc = RelationGetDescr(data->tg_relation);
	Oid types[] = {INT8OID, TEXTOID, NAMEOID, desc->tdtypeid, desc->tdtypeid};
	Datum values[] = {Int64GetDatum(new->id), CStringGetTextDatum(action), current_role(), (Datum) 0,
					  heap_copy_tuple_as_datum(new->tuple, desc)};
	char nulls[] = {' ', ' ', ' ', 'n', ' '};
	ObservIdentity saved;

	if (old != NULL) {
		values[3] = heap_copy_tuple_as_datum(old->tuple, desc);
		nulls[3] = ' ';
	}
	saved = observ_as_owner_begin();
	SPI_connect();
	observ_spi(SPI_OK_INSERT,
			   "INSERT INTO observ.silence_audit (silence_id, action, acting_as, before, after) "
			   "VALUES ($1, $2, $3, to_jsonb($4), to_jsonb($5))",
			   lengthof(types), types, values, nulls);
	SPI_finish();
	observ_as_owner_end(&saved);
}

/* observ_data._audit_silence(): AFTER INSERT OR UPDATE on observ.silences */
Datum
observ_audit_silence(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	SilenceRow row, old;

	if (observ_restores_a_dump(data))
		return PointerGetDatum(NULL);
	row = read_row(data, observ_trigger_row(data));
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		write_audit(data, NULL, &row, "created");
	else {
		const char *action;

		old = read_row(data, data->tg_trigtuple);
		action = action_of(data, &old, &row, observ_silence_time());
		if (action != NULL)
			write_audit(data, &old, &row, action);
	}
	return PointerGetDatum(NULL);
}
