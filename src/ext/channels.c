/*
 * The triggers of observ.notification_channels: what can't work is refused when it is written, secrets never reach the table. What does not belong
 * here: what is in a configuration (channel_config.c), making channels out of JSON (channel_create.c).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "core/nearest.h"
#include "ext/channel_kind.h"
#include "ext/channel_list.h"
#include "ext/channel_secrets.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "ext/secrets.h"
#include "ext/spi_util.h"
#include "ext/trigger_row.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

OBSERV_SQL_FUNCTION(observ_check_channel);
OBSERV_SQL_FUNCTION(observ_follow_channel);

static Jsonb *
config_of(const TriggerData *data, HeapTuple row)
{
	bool isnull;
	Datum value = observ_trigger_value(data, row, "config", &isnull);

	return isnull ? NULL : DatumGetJsonbP(value);
}

/* Whether a text column is as it was; of an INSERT nothing is. */
static bool
as_before(const TriggerData *data, HeapTuple row, const char *column)
{
	char *now, *before;

	if (!TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return false;
	now = observ_trigger_text(data, row, column);
	before = observ_trigger_text(data, data->tg_trigtuple, column);
	return now == NULL || before == NULL ? now == before : strcmp(now, before) == 0;
}

static bool
config_as_before(const TriggerData *data, Jsonb *config)
{
	Jsonb *before = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? config_of(data, data->tg_trigtuple) : NULL;

	return before != NULL && compareJsonbContainers(&before->root, &config->root) == 0;
}

/*
 * Of sessions that write the same channel, or channels that fall back to each other, the second must see what the first has done: a chain would become
 * a circle, a secret that of the other row.
 */
static void
wait_for_others(void)
{
	observ_wait_for_lock(OBSERV_LOCK_CHANNELS);
}

/* Whether there is a row of that name; it stays there until we are through. */
static bool
is_there(const char *channel)
{
	return observ_spi(SPI_OK_SELECT, "SELECT FROM observ.notification_channels WHERE name = $1 FOR KEY SHARE",
					  1, (Oid[]){TEXTOID}, (Datum[]){CStringGetTextDatum(channel)}, NULL) > 0;
}

/* ---- kind and configuration */

static void
name_channel(void *arg)
{
	errcontext("channel \"%s\"", (const char *) arg);
}

/* The row with its secrets taken out. */
static HeapTuple
check_config(const TriggerData *data, HeapTuple row, const char *channel)
{
	static const char *const columns[] = {"config"};
	const char *kind_name = observ_trigger_text(data, row, "kind");
	const char *old_name = TRIGGER_FIRED_BY_UPDATE(data->tg_event) && !as_before(data, row, "name")
							   ? observ_trigger_text(data, data->tg_trigtuple, "name")
							   : NULL;
	Jsonb *config = config_of(data, row);
	ErrorContextCallback context = {
		.previous = error_context_stack, .callback = name_channel, .arg = unconstify(char *, channel)};
	const ChannelKind *kind;

	if (config == NULL ||
		(old_name == NULL && as_before(data, row, "kind") && config_as_before(data, config)))
		return row;
	/* What is in there may be secret. */
	observ_hide_statement();
	if (kind_name == NULL) {
		if (!JB_ROOT_IS_OBJECT(config) || JB_ROOT_COUNT(config) > 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("channel \"%s\" has a config, but no kind", channel),
							errdetail("Kinds are: %s.", observ_kind_names()),
							errhint("SELECT * FROM observ.channel_kinds explains them.")));
		return row;
	}
	kind = observ_require_kind(kind_name, channel);
	wait_for_others();
	error_context_stack = &context;
	/* What is to be inserted is a mistake then, or becomes an UPDATE (ON CONFLICT), and must not change the secrets of the row that there is. */
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event) && is_there(channel))
		(void) observ_channel_config(kind, config, false);
	else {
		Datum value;
		bool isnull = false;

		config = observ_keep_secrets(kind, channel, old_name, config);
		(void) observ_channel_config(kind, config, true);
		value = JsonbPGetDatum(config);
		row = observ_trigger_modify(data, row, 1, columns, &value, &isnull);
	}
	error_context_stack = context.previous;
	return row;
}

/* ---- templates */

static void
check_template(const TriggerData *data, HeapTuple row, const char *column, const char *channel)
{
	ErrorContextCallback context = {
		.previous = error_context_stack, .callback = name_channel, .arg = unconstify(char *, channel)};
	const char *text = observ_trigger_text(data, row, column);

	if (text == NULL || as_before(data, row, column))
		return;
	error_context_stack = &context;
	observ_check_message_template(column, text);
	error_context_stack = context.previous;
}

/* ---- fallback */

static void
no_such_fallback(const char *channel, const char *fallback)
{
	struct nearest nearest;

	nearest_begin(&nearest, fallback, 0);
	observ_spi(SPI_OK_SELECT, "SELECT name FROM observ.notification_channels ORDER BY name", 0, NULL, NULL,
			   NULL);
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++)
		nearest_consider(&nearest, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION), errmsg("invalid fallback of channel \"%s\"", channel),
			 errdetail("There is no channel \"%s\".", fallback),
			 nearest.name != NULL ? errhint("Perhaps \"%s\" is meant.", nearest.name)
								  : errhint("Make it first: see observ.create_channel().")));
}

/* Whether whoever falls back to a channel ends at another: as channels are now, of which the transaction's snapshot may not know. */
static bool
leads_to(const char *fallback, const char *channel)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(fallback), CStringGetTextDatum(channel)};

	return observ_spi_read_now(
			   &plan,
			   "WITH RECURSIVE chain AS (SELECT name, fallback FROM observ.notification_channels WHERE name "
			   "= $1 "
			   "UNION SELECT c.name, c.fallback FROM chain JOIN observ.notification_channels c "
			   "ON c.name = chain.fallback) SELECT FROM chain WHERE name = $2",
			   lengthof(types), types, values, NULL) > 0;
}

static void
check_fallback(const TriggerData *data, HeapTuple row, const char *channel)
{
	const char *fallback = observ_trigger_text(data, row, "fallback");

	if (fallback == NULL || (as_before(data, row, "fallback") && as_before(data, row, "name")))
		return;
	if (strcmp(fallback, channel) != 0 && !is_there(fallback))
		no_such_fallback(channel, fallback);
	wait_for_others();
	if (strcmp(fallback, channel) == 0 || leads_to(fallback, channel))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid fallback of channel \"%s\"", channel),
						errdetail("\"%s\" falls back to it, directly or through others.", fallback),
						errhint("A chain of fallbacks must end somewhere.")));
}

/* Who falls back to a channel goes on doing so under its new name; to one that is gone nobody does. A foreign key would make pg_dump warn. */
static void
follow_fallback(const TriggerData *data)
{
	bool gone = TRIGGER_FIRED_BY_DELETE(data->tg_event);
	char *now = gone ? NULL : observ_trigger_text(data, data->tg_newtuple, "name");
	Datum values[] = {CStringGetTextDatum(observ_trigger_text(data, data->tg_trigtuple, "name")),
					  gone ? (Datum) 0 : CStringGetTextDatum(now)};

	if (gone || !as_before(data, data->tg_newtuple, "name"))
		observ_spi(SPI_OK_UPDATE, "UPDATE observ.notification_channels SET fallback = $2 WHERE fallback = $1",
				   2, (Oid[]){TEXTOID, TEXTOID}, values, gone ? " n" : NULL);
}

/* ---- triggers */

static HeapTuple
check(const TriggerData *data)
{
	HeapTuple row = observ_trigger_row(data);
	const char *channel = observ_trigger_text(data, row, "name");

	/* The constraints of the table would show the whole row. */
	if (channel == NULL || channel[0] == '\0') {
		observ_hide_statement();
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("a channel must have a name"),
						errhint("Rules and routes name it then, for instance \"ops-chat\".")));
	}
	check_fallback(data, row, channel);
	check_template(data, row, "title_template", channel);
	check_template(data, row, "body_template", channel);
	return check_config(data, row, channel);
}

/* observ_data._check_channel(): BEFORE INSERT OR UPDATE on observ.notification_channels, for each row. */
Datum
observ_check_channel(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	MemoryContext context = CurrentMemoryContext;
	ObservIdentity saved;
	HeapTuple row;

	/* Secrets were moved before it was dumped; their key may come later. */
	if (observ_restores_a_dump(data))
		return PointerGetDatum(data->tg_trigtuple);
	saved = observ_as_owner_begin();
	SPI_connect();
	row = check(data);
	if (row != data->tg_trigtuple && row != data->tg_newtuple) {
		/* It was made in memory that goes with SPI. */
		MemoryContext before = MemoryContextSwitchTo(context);

		row = heap_copytuple(row);
		MemoryContextSwitchTo(before);
	}
	SPI_finish();
	observ_as_owner_end(&saved);
	return PointerGetDatum(row);
}

/* observ_data._follow_channel(): AFTER INSERT OR UPDATE OR DELETE on observ.notification_channels, for each row. */
Datum
observ_follow_channel(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	ObservIdentity saved;

	if (observ_restores_a_dump(data))
		return PointerGetDatum(NULL);
	observ_wake_notifier_at_commit();
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		return PointerGetDatum(NULL);
	saved = observ_as_owner_begin();
	SPI_connect();
	follow_fallback(data);
	observ_sweep_secrets(observ_trigger_text(data, data->tg_trigtuple, "name"),
						 config_of(data, data->tg_trigtuple));
	SPI_finish();
	observ_as_owner_end(&saved);
	return PointerGetDatum(NULL);
}
