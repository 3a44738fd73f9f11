/*
 * observ.test_channel(): a message through one channel, now, in the session that asks, which waits for the answer. The notifier has no part in it.
 * What does not belong here: how things are sent (delivery.h), what the outbox does with answers (outbox.h).
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "core/nearest.h"
#include "ext/channel_list.h"
#include "ext/compat.h"
#include "ext/delivery.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_test_channel);

#define MAX_STEPS 100 /* what a channel may reasonably have: phone numbers, topics */

typedef struct ChannelTest {
	const char *channel;
	const ChannelKind *kind;
	ChannelConfig *config;
	MessageTemplates templates;
	Message *message;
	int n_steps, n_begun, n_over;
	DeliveryResult *results[MAX_STEPS];
} ChannelTest;

/* Raises 42704 with the nearest name. Needs SPI_connect(). */
static void
raise_unknown(const char *name)
{
	struct nearest nearest;
	bool isnull;
	uint64 n = observ_spi(SPI_OK_SELECT, "SELECT name FROM observ.notification_channels ORDER BY name", 0,
						  NULL, NULL, NULL);

	nearest_begin(&nearest, name, 0);
	for (uint64 row = 0; row < n; row++)
		nearest_consider(&nearest, TextDatumGetCString(observ_spi_value(row, 1, &isnull)));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("channel \"%s\" does not exist", name),
					nearest.name != NULL ? errhint("Perhaps \"%s\" is meant.", nearest.name)
										 : errhint("SELECT name, kind FROM observ.notification_channels.")));
}

/* The channel as it is configured, secrets and all. */
static void
load(ChannelTest *test, MemoryContext context)
{
	static const Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(test->channel)};
	bool no_kind, isnull;
	Datum kind, config;
	const char *title, *body;
	MemoryContext before;

	SPI_connect();
	if (observ_spi(SPI_OK_SELECT,
				   "SELECT kind, config, title_template, body_template FROM observ.notification_channels "
				   "WHERE name = $1",
				   1, types, values, NULL) == 0)
		raise_unknown(test->channel);
	kind = observ_spi_value(0, 1, &no_kind);
	config = observ_spi_value(0, 2, &isnull);
	if (no_kind)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("channel \"%s\" has no kind yet", test->channel),
				 errdetail("Nothing can be sent through it."),
				 errhint("SELECT observ.create_channel('{\"name\": %s, \"kind\": …}'); the kinds are %s.",
						 quote_literal_cstr(test->channel), observ_kind_names())));
	test->kind = observ_require_kind(TextDatumGetCString(kind), test->channel);
	before = MemoryContextSwitchTo(context);
	title = observ_spi_text(0, 3);
	body = observ_spi_text(0, 4);
	test->config = observ_channel_config(test->kind, DatumGetJsonbPCopy(config), true);
	test->templates = observ_channel_templates(test->kind, test->config, title, body);
	MemoryContextSwitchTo(before);
	SPI_finish();
}

/* Different each time: a receiver must not take it for one that it has had. */
static char *
fresh_key(void)
{
	uint8 bytes[16];
	char *text = palloc(2 * sizeof bytes + 1);

	if (!pg_strong_random(bytes, sizeof bytes))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes to be had")));
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text;
}

static void
on_over(void *arg, Delivery *delivery, DeliveryResult *result)
{
	ChannelTest *test = arg;

	test->results[delivery->step] = result;
	test->n_over++;
}

static void
start_step(ChannelTest *test, struct transfers *transfers, int step)
{
	Delivery *delivery = palloc0(sizeof *delivery);

	*delivery = (Delivery){.context = CurrentMemoryContext,
						   .attempt = 1,
						   .step = step,
						   .channel = test->channel,
						   .kind = test->kind,
						   .config = test->config,
						   .message = test->message,
						   .claimed_at = test->message->at};
	observ_delivery_start(transfers, delivery, on_over, test);
}

/* As many as the service takes at a time. What has not begun when the time is up is not begun. */
static void
start_steps(ChannelTest *test, struct transfers *transfers)
{
	TimestampTz until =
		TimestampTzPlusMilliseconds(test->message->at, observ_config_integer(test->config, "timeout") * 1000);

	for (; test->n_begun < test->n_steps && test->n_begun - test->n_over < Max(test->kind->concurrency, 1);
		 test->n_begun++) {
		DeliveryResult late = {.channel = test->channel,
							   .kind = test->kind->name,
							   .step = test->n_begun,
							   .latency_ms = -1,
							   .ended_at = GetCurrentTimestamp()};

		if (late.ended_at < until) {
			start_step(test, transfers, test->n_begun);
			continue;
		}
		late.verdict = (ChannelVerdict){.outcome = CHANNEL_RETRY,
										.retry_after_ms = -1,
										.error = "not tried: those before it took all the time"};
		test->results[test->n_begun] = palloc(sizeof late);
		*test->results[test->n_begun] = late;
		test->n_over++;
	}
}

/* Ends with the answers, or when they have had their time; Ctrl-C and shutdown end it at any moment. */
static void
send_and_wait(ChannelTest *test)
{
	char error[256];
	struct transfers *transfers = transfers_open(error, sizeof error);

	if (transfers == NULL)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not load libcurl"),
						errdetail("%s", error), errhint("Install it: apt-get install libcurl4.")));
	PG_TRY();
	{
		for (start_steps(test, transfers); test->n_over < test->n_steps; start_steps(test, transfers)) {
			WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
							  transfers_fd(transfers), -1, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
			transfers_run(transfers);
		}
	}
	PG_FINALLY();
	{
		transfers_close(transfers);
	}
	PG_END_TRY();
}

/* ---- the row of the attempt */

static const char *
outcome_name(const DeliveryResult *result)
{
	return result->verdict.outcome == CHANNEL_SENT   ? "sent"
		   : result->verdict.outcome == CHANNEL_DEAD ? "dead"
													 : "retry";
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
write_attempt(const DeliveryResult *result)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID,   TEXTOID,   INT4OID,
								TEXTOID,        TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, TEXTOID};
	char nulls[lengthof(types)];
	Datum values[lengthof(types)];

	memset(nulls, ' ', sizeof nulls);
	values[0] = TimestampTzGetDatum(result->ended_at);
	values[1] = CStringGetTextDatum(result->channel);
	values[2] = CStringGetTextDatum(result->kind);
	values[3] = Int32GetDatum(result->step);
	values[4] = CStringGetTextDatum(outcome_name(result));
	values[5] = Int32GetDatum(result->status_code);
	nulls[5] = result->status_code == 0 ? 'n' : ' ';
	values[6] = text_or_null(result->phase, &nulls[6]);
	values[7] = text_or_null(result->verdict.error, &nulls[7]);
	values[8] = text_or_null(result->excerpt, &nulls[8]);
	values[9] = Float8GetDatum(result->latency_ms);
	nulls[9] = result->latency_ms < 0 ? 'n' : ' ';
	values[10] = Float8GetDatum(result->verdict.retry_after_ms / 1000.0);
	nulls[10] = result->verdict.retry_after_ms < 0 ? 'n' : ' ';
	values[11] = text_or_null(result->address, &nulls[11]);
	observ_spi(
		SPI_OK_INSERT,
		"INSERT INTO observ.notification_attempts (\"timestamp\", channel, kind, attempt, step, outcome, "
		"status_code, phase, error, excerpt, latency_ms, retry_after, address) "
		"VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, make_interval(secs => $11), $12)",
		lengthof(types), types, values, nulls);
}

static void
write_attempts(void *arg)
{
	ChannelTest *test = arg;

	SPI_connect();
	for (int step = 0; step < test->n_steps; step++)
		write_attempt(test->results[step]);
	SPI_finish();
}

/* What was sent was sent, whether there is a place for the row or not: while observ is paused partitions may be missing. */
static void
keep(ChannelTest *test)
{
	ErrorData *error;

	if (XactReadOnly || RecoveryInProgress())
		return;
	error = observ_in_subtransaction(write_attempts, test);
	if (error != NULL)
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("the result of the test is not in observ.notification_attempts"),
						  errdetail("%s", error->message)));
	/* What got through may lift a block (outbox_channels.c). */
	observ_wake_notifier_at_commit();
}

/* The first step that failed, else the last one. */
static const DeliveryResult *
verdict_of(const ChannelTest *test)
{
	for (int step = 0; step < test->n_steps; step++)
		if (test->results[step]->verdict.outcome != CHANNEL_SENT)
			return test->results[step];
	return test->results[test->n_steps - 1];
}

static Datum
answer_row(FunctionCallInfo fcinfo, const DeliveryResult *result)
{
	enum { COL_OK, COL_STATUS_CODE, COL_LATENCY_MS, COL_PHASE, COL_ERROR, COL_ANSWER, N_COLUMNS };
	Datum values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS] = {0};
	const char *error = result->verdict.error;

	values[COL_OK] = BoolGetDatum(result->verdict.outcome == CHANNEL_SENT);
	values[COL_STATUS_CODE] = Int32GetDatum(result->status_code);
	nulls[COL_STATUS_CODE] = result->status_code == 0;
	values[COL_LATENCY_MS] = Float8GetDatum(result->latency_ms);
	nulls[COL_LATENCY_MS] = result->latency_ms < 0;
	nulls[COL_PHASE] = result->phase == NULL;
	values[COL_PHASE] = result->phase == NULL ? (Datum) 0 : CStringGetTextDatum(result->phase);
	nulls[COL_ERROR] = error == NULL;
	values[COL_ERROR] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	nulls[COL_ANSWER] = result->excerpt == NULL;
	values[COL_ANSWER] = result->excerpt == NULL ? (Datum) 0 : CStringGetTextDatum(result->excerpt);
	return observ_row(fcinfo, values, nulls);
}

Datum
observ_test_channel(PG_FUNCTION_ARGS)
{
	ChannelTest test = {.channel = text_to_cstring(PG_GETARG_TEXT_PP(0))};
	ObservIdentity caller;

	observ_require_versions();
	caller = observ_as_owner_begin();
	load(&test, CurrentMemoryContext);
	test.message = observ_test_message(test.channel, fresh_key(), GetCurrentTimestamp(), &test.templates);
	test.n_steps = test.kind->steps != NULL ? test.kind->steps(test.config) : 1;
	test.n_steps = Min(Max(test.n_steps, 1), MAX_STEPS);
	send_and_wait(&test);
	keep(&test);
	observ_as_owner_end(&caller);
	return answer_row(fcinfo, verdict_of(&test));
}
