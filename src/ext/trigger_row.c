/* The row that a trigger is called for. What does not belong here: what triggers check. */
#include "postgres.h"

#include "ext/trigger_row.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/rls.h"

TriggerData *
observ_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function is for triggers on the rows of a table")));
	return data;
}

bool
observ_restores_a_dump(const TriggerData *data)
{
	/* What CREATE EXTENSION inserts in such a session is as new as ever. */
	return !row_security && !creating_extension && TRIGGER_FIRED_BY_INSERT(data->tg_event) &&
		   has_privs_of_role(GetUserId(), data->tg_relation->rd_rel->relowner);
}

HeapTuple
observ_trigger_row(const TriggerData *data)
{
	return TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
}

static int
column_number(const TriggerData *data, const char *column)
{
	int number = SPI_fnumber(RelationGetDescr(data->tg_relation), column);

	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("table \"%s\" has no column \"%s\"",
							   RelationGetRelationName(data->tg_relation), column)));
	return number;
}

Datum
observ_trigger_value(const TriggerData *data, HeapTuple row, const char *column, bool *isnull)
{
	return SPI_getbinval(row, RelationGetDescr(data->tg_relation), column_number(data, column), isnull);
}

char *
observ_trigger_text(const TriggerData *data, HeapTuple row, const char *column)
{
	bool isnull;
	Datum value = observ_trigger_value(data, row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

int
observ_check_names(Datum array, const char *what)
{
	Datum *names;
	bool *nulls;
	int n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (nulls[i] || VARSIZE_ANY_EXHDR(DatumGetPointer(names[i])) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("name of %s must not be empty", what),
					 errdetail("It is element %d.", i + 1)));
	return n;
}

HeapTuple
observ_trigger_modify(const TriggerData *data, HeapTuple row, int n, const char *const *columns,
					  const Datum *values, const bool *nulls)
{
	int *numbers = palloc(n * sizeof *numbers);

	for (int i = 0; i < n; i++)
		numbers[i] = column_number(data, columns[i]);
	return heap_modify_tuple_by_cols(row, RelationGetDescr(data->tg_relation), n, numbers, (Datum *) values,
									 (bool *) nulls);
}
