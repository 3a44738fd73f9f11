/* health_rows.c: See health_rows.h for what belongs here. */
#include "collector/health_rows.h"

#include <stdio.h>

#include "collector/encode.h"

static const char *const classes[] = {
	[HEALTH_NO_NAME] = "dns",       [HEALTH_NO_CONNECTION] = "connect",
	[HEALTH_NO_TLS] = "tls",        [HEALTH_TOO_LATE] = "timeout",
	[HEALTH_BAD_STATUS] = "status", [HEALTH_BAD_BODY] = "body",
	[HEALTH_SLOW] = "latency",      [HEALTH_LAG] = "lag",
	[HEALTH_BAD_UNIT] = "unit",     [HEALTH_NOT_TRIED] = "agent",
};

void
health_error_text(const struct health_result *r, struct strbuf *out)
{
	if (r->failure != HEALTH_GOOD)
		strbuf_printf(out, "%s: %s", classes[r->failure], r->error);
}

/* Numbers of a row as text, each in a place of its own. */
struct numbers {
	char text[8][32];
	int count;
};

static const char *
as_ms(struct numbers *n, int64_t us)
{
	if (us < 0)
		return NULL;
	snprintf(n->text[n->count], sizeof n->text[0], "%.3f", (double) us / 1000);
	return n->text[n->count++];
}

static const char *
as_status(struct numbers *n, int status)
{
	if (status == 0)
		return NULL;
	snprintf(n->text[n->count], sizeof n->text[0], "%d", status);
	return n->text[n->count++];
}

void
health_row(struct spool *spool, const struct health_target *t, const struct health_result *r,
		   int64_t timestamp_us, bool inconclusive)
{
	bool good = r->failure == HEALTH_GOOD;
	struct strbuf error = STRBUF_INIT, expires = STRBUF_INIT;
	struct numbers n = {.count = 0};
	struct record row;

	health_error_text(r, &error);
	if (r->tls_expires_s != 0)
		encode_timestamp(&expires, r->tls_expires_s * 1000000);
	record_init(&row, RECORD_HEALTH, good ? RANK_METRICS : RANK_KEEP, timestamp_us);
	record_set(&row, HEALTH_URL, t->check->name);
	record_set(&row, HEALTH_STATUS_CODE, as_status(&n, r->status));
	record_set(&row, HEALTH_RESPONSE_TIME_MS, as_ms(&n, r->total_us));
	record_set(&row, HEALTH_SUCCESS, good ? "true" : "false");
	record_set(&row, HEALTH_ERROR_MESSAGE, error.data);
	record_set(&row, HEALTH_DNS_MS, as_ms(&n, r->dns_us));
	record_set(&row, HEALTH_CONNECT_MS, as_ms(&n, r->connect_us));
	record_set(&row, HEALTH_TLS_MS, as_ms(&n, r->tls_us));
	record_set(&row, HEALTH_FIRST_BYTE_MS, as_ms(&n, r->first_byte_us));
	record_set(&row, HEALTH_TLS_EXPIRES_AT, expires.data);
	record_set(&row, HEALTH_BREAKER_STATE, breaker_state_name(t->breaker.state));
	record_set(&row, HEALTH_INCONCLUSIVE, inconclusive ? "true" : "false");
	spool_add(spool, &row, good ? SPOOL_LATER : SPOOL_NOW);
	strbuf_free(&error);
	strbuf_free(&expires);
}

void
health_row_skipped(struct spool *spool, const struct health_target *t, int64_t timestamp_us, int64_t now_ms)
{
	struct record row;
	char error[120];

	snprintf(error, sizeof error, "breaker open: %d failures in a row, next attempt in %lld s",
			 t->breaker.failures, (long long) (t->breaker.probe_ms - now_ms + 999) / 1000);
	record_init(&row, RECORD_HEALTH, RANK_KEEP, timestamp_us);
	record_set(&row, HEALTH_URL, t->check->name);
	record_set(&row, HEALTH_SUCCESS, "false");
	record_set(&row, HEALTH_ERROR_MESSAGE, error);
	record_set(&row, HEALTH_BREAKER_STATE, breaker_state_name(t->breaker.state));
	record_set(&row, HEALTH_INCONCLUSIVE, "false");
	spool_add(spool, &row, SPOOL_LATER);
}

void
health_event(struct spool *spool, int lost, int checks, int64_t timestamp_us, int64_t since_us)
{
	bool begins = since_us == 0;
	struct record event;
	char message[200], data[80], duration[32];

	if (begins)
		snprintf(message, sizeof message,
				 "%d of %d health checks got no answer at once: more likely this machine's network or name "
				 "service than all of their targets",
				 lost, checks);
	else
		snprintf(message, sizeof message, "health checks get answers again");
	snprintf(data, sizeof data, "{\"lost\": %d, \"checks\": %d}", lost, checks);
	snprintf(duration, sizeof duration, "%.3f", (double) (timestamp_us - since_us) / 1000);
	record_init(&event, RECORD_EVENT, RANK_KEEP, timestamp_us);
	record_set(&event, EVENT_KIND, "agent_connectivity");
	record_set(&event, EVENT_MESSAGE, message);
	record_set(&event, EVENT_SUCCESS, begins ? "false" : "true");
	record_set(&event, EVENT_DURATION_MS, begins ? NULL : duration);
	record_set(&event, EVENT_DATA, data);
	spool_add(spool, &event, SPOOL_NOW);
}
