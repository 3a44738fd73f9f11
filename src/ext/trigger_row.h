/* The row that a trigger is called for. What does not belong here: what triggers check. */
#ifndef OBSERV_EXT_TRIGGER_ROW_H
#define OBSERV_EXT_TRIGGER_ROW_H

#include "commands/trigger.h"

/* The trigger's data. Raises 39P01 when the function is called as anything else than a trigger on rows. */
extern TriggerData *observ_trigger(FunctionCallInfo fcinfo);

/* The row as it is to be, or is, written; of DELETE the row that goes. */
extern HeapTuple observ_trigger_row(const TriggerData *data);

/*
 * Whether the row comes out of a dump, and is to be taken as it was: pg_dump's sessions begin with row_security = off. Only for who can act as
 * the owner of the table, so that nobody gets around the checks that way.
 */
extern bool observ_restores_a_dump(const TriggerData *data);

/* A column by its name. Raises 42703 when there is none. */
extern Datum observ_trigger_value(const TriggerData *data, HeapTuple row, const char *column, bool *isnull);

/* The same of a text column, as a C string; NULL for NULL. */
extern char *observ_trigger_text(const TriggerData *data, HeapTuple row, const char *column);

/* How many names an array of text holds. Raises 22023 when one of them is NULL or empty; what: "a label in equal". */
extern int observ_check_names(Datum array, const char *what);

/* The row with other values in some columns. */
extern HeapTuple observ_trigger_modify(const TriggerData *data, HeapTuple row, int n,
									   const char *const *columns, const Datum *values, const bool *nulls);

#endif
