/*
 * Deliveries of the notifications that are claimed: the channel's configuration with its secrets, the message as it is to be said now. What does
 * not belong here: which are claimed (outbox_claim.c), the request (the kinds).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "ext/subtransaction.h"
#include "utils/memutils.h"

/* A channel's configuration, for all deliveries that use it; the last one that goes takes it along. */
typedef struct Settings {
	MemoryContext context;
	int users;
	ChannelConfig *config;
	MessageTemplates templates;
	int steps;
	const char *error; /* why there is none; in the claim's memory */
} Settings;

typedef struct Work {
	TimestampTz at;
	OutboxRow **rows;
	int n;
	const OutboxChannel *channels;
	MemoryContext parent;
	OutboxClaim *claim;
	Settings **settings; /* by channel; NULL: nothing is sent there */
	List *failures;      /* of DeliveryResult * */
} Work;

/* ---- configurations */

static const char settings_sql[] =
	"SELECT name, config, title_template, body_template FROM observ.notification_channels WHERE name = $1";

typedef struct Reading {
	const OutboxChannel *channel;
	Settings *settings;
} Reading;

static void
read_settings(void *arg)
{
	static const Oid types[] = {TEXTOID};
	Reading *reading = arg;
	Settings *s = reading->settings;
	const char *title, *body;
	MemoryContext before;
	bool isnull;

	if (observ_spi(SPI_OK_SELECT, settings_sql, 1, types,
				   (Datum[]){CStringGetTextDatum(reading->channel->name)}, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the channel is gone")));
	before = MemoryContextSwitchTo(s->context);
	title = observ_spi_text(0, 3);
	body = observ_spi_text(0, 4);
	s->config = observ_channel_config(reading->channel->kind,
									  DatumGetJsonbPCopy(observ_spi_value(0, 2, &isnull)), true);
	s->templates = observ_channel_templates(reading->channel->kind, s->config, title, body);
	s->steps = reading->channel->kind->steps == NULL ? 1 : reading->channel->kind->steps(s->config);
	MemoryContextSwitchTo(before);
}

static Settings *
settings_of(const Work *work, const OutboxChannel *channel)
{
	MemoryContext context = AllocSetContextCreate(work->parent, "observ channel", ALLOCSET_SMALL_SIZES);
	Settings *s = MemoryContextAllocZero(context, sizeof(Settings));
	Reading reading = {channel, s};
	ErrorData *error;

	s->context = context;
	error = observ_in_subtransaction(read_settings, &reading);
	if (error != NULL)
		s->error = error->message;
	return s;
}

static void
release(void *arg)
{
	Settings *s = arg;

	if (--s->users == 0)
		MemoryContextDelete(s->context);
}

/* ---- messages */

static Delivery *
new_delivery(const Work *work, const OutboxRow *r, Settings *s)
{
	MemoryContext context =
		AllocSetContextCreate(work->parent, "observ delivery", ALLOCSET_START_SMALL_SIZES);
	Delivery *delivery = MemoryContextAllocZero(context, sizeof(Delivery));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof *callback);

	*callback = (MemoryContextCallback){.func = release, .arg = s};
	MemoryContextRegisterResetCallback(context, callback);
	s->users++;
	*delivery = (Delivery){.context = context,
						   .notification_id = r->source.notification_id,
						   .attempt = r->source.attempt,
						   .step = r->step,
						   .channel = MemoryContextStrdup(context, r->channel),
						   .kind = work->channels[r->place].kind,
						   .config = s->config,
						   .claimed_at = work->at};
	return delivery;
}

static Jsonb *
copy_jsonb(Jsonb *jsonb)
{
	return memcpy(palloc(VARSIZE(jsonb)), jsonb, VARSIZE(jsonb));
}

static const char *
copy_text(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

/* In memory that lives as long as the delivery: a message points into what it was made of. */
static MessageSource
copy_source(const MessageSource *source, const Settings *s)
{
	MessageSource copy = *source;

	copy.channel = copy_text(source->channel);
	copy.group_key = copy_text(source->group_key);
	copy.route = copy_text(source->route);
	copy.incident_key = copy_text(source->incident_key);
	copy.idempotency_key = copy_text(source->idempotency_key);
	copy.reason = copy_text(source->reason);
	copy.title = copy_text(source->title);
	copy.group_labels = copy_jsonb(source->group_labels);
	copy.alerts = copy_jsonb(source->alerts);
	/* The marks are right already, for whatever was not delivered before it (outbox_group.c). */
	copy.delivered_seq = Max(source->delivered_seq, source->seq - 1);
	copy.templates = s->templates;
	return copy;
}

/*
 * The parts of the row for a channel that has so many now, and the one that is sent. False: those that were left are gone from the channel.
 */
static bool
fit_parts(OutboxRow *r, int steps)
{
	int had = (int) strlen(r->parts);
	char *parts = palloc(steps + 1);

	for (int i = 0; i < steps; i++)
		parts[i] = i < had ? r->parts[i] : OUTBOX_OPEN;
	parts[steps] = '\0';
	r->parts = parts;
	if (r->step < steps && outbox_next_part(parts, r->step - 1) == r->step)
		return true;
	r->step = outbox_next_part(parts, -1);
	return r->step >= 0;
}

typedef struct Making {
	const Work *work;
	int from, to;
	Delivery **made;
} Making;

static void
make_messages(void *arg)
{
	Making *making = arg;

	for (int i = making->from; i < making->to; i++) {
		Delivery *delivery = making->made[i];
		const OutboxRow *r = making->work->rows[i];
		MemoryContext before;
		MessageSource source;

		if (delivery == NULL)
			continue;
		before = MemoryContextSwitchTo(delivery->context);
		source = copy_source(&r->source, making->work->settings[r->place]);
		delivery->message = observ_message(&source);
		MemoryContextSwitchTo(before);
	}
}

/* All in one subtransaction; each in its own when one of them fails. */
static void
make_all(Making *making, const char **errors)
{
	MemoryContext before = CurrentMemoryContext;
	int n = making->to;

	if (observ_in_subtransaction(make_messages, making) == NULL)
		return;
	for (int i = 0; i < n; i++) {
		ErrorData *error;

		if (making->made[i] == NULL)
			continue;
		making->from = i;
		making->to = i + 1;
		error = observ_in_subtransaction(make_messages, making);
		if (error == NULL)
			continue;
		errors[i] = error->message;
		MemoryContextDelete(making->made[i]->context);
		making->made[i] = NULL;
	}
	MemoryContextSwitchTo(before);
}

static void
add_failure(Work *work, const OutboxRow *r, const char *error)
{
	DeliveryResult *result = palloc(sizeof *result);

	*result = (DeliveryResult){.notification_id = r->source.notification_id,
							   .attempt = r->source.attempt,
							   .step = r->step,
							   .channel = r->channel,
							   .kind = work->channels[r->place].kind->name,
							   .verdict = {.outcome = CHANNEL_RETRY, .retry_after_ms = -1, .error = error},
							   .phase = "render",
							   .latency_ms = -1,
							   .ended_at = work->at};
	work->failures = lappend(work->failures, result);
}

/* ---- alerts that were over before the channel heard of them */

static const char forget_sql[] =
	"DELETE FROM observ_data.told t USING unnest($1, $2, $3, $4, $5) n (channel, group_key, delivered, "
	"alerts, "
	"listed) WHERE t.group_key = n.group_key AND t.channel = n.channel AND t.state = 'firing' "
	"AND t.since_seq > n.delivered AND t.alert_id IN (SELECT (a->>'alert_id')::bigint "
	"FROM jsonb_array_elements(n.alerts) a) AND NOT t.alert_id = ANY (n.listed::bigint[])";
static const Oid forget_types[] = {TEXTOID, TEXTOID, INT4OID, JSONBOID, TEXTOID};

static char *
listed_ids(const Message *message)
{
	StringInfoData ids;

	initStringInfo(&ids);
	for (int i = 0; i < message->n_alerts; i++)
		appendStringInfo(&ids, "%c" INT64_FORMAT, i == 0 ? '{' : ',', message->alerts[i].alert_id);
	appendStringInfoString(&ids, message->n_alerts == 0 ? "{}" : "}");
	return ids.data;
}

/* Some of them are over now, and the channel will not hear of them. */
static bool
leaves_out(const OutboxRow *r, const Message *message)
{
	return JB_ROOT_IS_ARRAY(r->source.alerts) && (int) JB_ROOT_COUNT(r->source.alerts) > message->n_alerts;
}

static enum mark
mark_in(const Message *message, int64 alert_id)
{
	for (int i = 0; i < message->n_alerts; i++)
		if (message->alerts[i].alert_id == alert_id)
			return message->alerts[i].mark;
	return MARK_NONE;
}

/* The row says what is sent, without them. */
static void
leave_out(OutboxRow *r, const Message *message)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&r->source.alerts->root);
	JsonbIteratorToken token;
	JsonbValue v;

	(void) JsonbIteratorNext(&it, &v, true);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&it, &v, true)) == WJB_ELEM) {
		enum mark mark =
			v.type == jbvBinary ? mark_in(message, observ_outbox_alert_id(v.val.binary.data)) : MARK_NONE;

		if (mark == MARK_NONE)
			continue;
		JsonbToJsonbValue(observ_outbox_marked(v.val.binary.data, mark, -1), &v);
		pushJsonbValue(&state, WJB_ELEM, &v);
	}
	r->source.alerts = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	r->source.firing = message->n_firing;
	r->source.resolved = message->n_resolved;
	r->source.title = pstrdup(message->usual_title);
	r->rewritten = true;
}

/*
 * For the next dispatch the channel was not told of them: if they fire again, they are new. Only a dispatch may write that otherwise, so its lock is
 * needed; while it is at it, the notification waits.
 */
static void
settle(Work *work, Delivery **made)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *forget = observ_row_batch(forget_types, lengthof(forget_types));

	for (int i = 0; i < work->n; i++) {
		OutboxRow *r = work->rows[i];
		const Message *message = made[i] == NULL ? NULL : made[i]->message;
		bool says_nothing = message != NULL && message->n_firing <= 0 && message->n_resolved <= 0;

		if (message == NULL || (!says_nothing && !leaves_out(r, message)))
			continue;
		if (!observ_try_job_lock(OBSERV_LOCK_DISPATCH))
			r->action = ROW_POSTPONED;
		else {
			if (!r->followed)
				observ_row_batch_add(
					forget,
					(Datum[]){CStringGetTextDatum(r->channel), CStringGetTextDatum(r->group_key),
							  Int32GetDatum(r->source.delivered_seq), JsonbPGetDatum(r->source.alerts),
							  CStringGetTextDatum(listed_ids(message))},
					NULL);
			if (says_nothing)
				r->action = ROW_CANCELLED;
			else
				leave_out(r, message);
		}
		if (r->action != ROW_SEND) {
			MemoryContextDelete(made[i]->context);
			made[i] = NULL;
		}
	}
	observ_row_batch_run(forget, &plan, SPI_OK_DELETE, forget_sql);
}

List *
observ_outbox_messages(TimestampTz at, OutboxRow **rows, int n, const OutboxChannel *channels, int n_channels,
					   MemoryContext parent, OutboxClaim *claim)
{
	Work work = {at, rows, n, channels, parent, claim, palloc0(sizeof(Settings *) * Max(n_channels, 1)), NIL};
	Delivery **made = palloc0(sizeof(Delivery *) * Max(n, 1));
	const char **errors = palloc0(sizeof(char *) * Max(n, 1));
	Making making = {&work, 0, n, made};

	for (int i = 0; i < n; i++) {
		Settings **s = &work.settings[rows[i]->place];

		if (*s == NULL)
			*s = settings_of(&work, &channels[rows[i]->place]);
		if ((*s)->error != NULL)
			errors[i] = (*s)->error;
		else if (fit_parts(rows[i], (*s)->steps))
			made[i] = new_delivery(&work, rows[i], *s);
		else {
			rows[i]->step = 0;
			rows[i]->action = ROW_CANCELLED;
			rows[i]->error = "the channel has nobody any more whom it was still to be sent to";
		}
	}
	make_all(&making, errors);
	settle(&work, made);
	for (int i = 0; i < n; i++)
		if (made[i] != NULL) {
			MemoryContext before = MemoryContextSwitchTo(parent);

			claim->deliveries = lappend(claim->deliveries, made[i]);
			MemoryContextSwitchTo(before);
		} else if (errors[i] != NULL)
			add_failure(&work, rows[i], errors[i]);
	for (int c = 0; c < n_channels; c++)
		if (work.settings[c] != NULL && work.settings[c]->error != NULL)
			MemoryContextDelete(work.settings[c]->context);
	return work.failures;
}
