/* health_postgres.c: A connection of its own, one query, the replication lag. See health_probe.h for what belongs here. */
#include "collector/health_probe.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/*
 * Lag of a standby: 0 when everything that it received is replayed; else the age of the last transaction that is. Without a
 * receiver nobody knows what there would be to replay: the age again.
 */
static const char query[] =
	"SELECT 1, CASE WHEN pg_catalog.pg_is_in_recovery() THEN CASE WHEN pg_catalog.pg_last_wal_receive_lsn() "
	"OPERATOR(pg_catalog.=) pg_catalog.pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM "
	"pg_catalog.pg_stat_wal_receiver) "
	"THEN 0 ELSE extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
	"pg_catalog.pg_last_xact_replay_timestamp()) END END";

static void
follow(struct probe *p)
{
	p->fd = connector_fd(&p->connector, &p->events);
}

static void
fail_to_connect(struct probe *p)
{
	const struct connector *c = &p->connector;
	bool answered = c->sqlstate[0] != '\0';
	bool no_name = strncmp(c->message, "host \"", 6) == 0 || strncmp(c->message, "no address", 10) == 0;

	p->result.again = p->result.lost = !answered;
	probe_fail(p,
			   answered  ? HEALTH_BAD_STATUS
			   : no_name ? HEALTH_NO_NAME
						 : HEALTH_NO_CONNECTION,
			   "%s%s%s", c->sqlstate, answered ? " " : "", c->message);
}

static void
ask(struct probe *p)
{
	p->connected_us = clock_us(CLOCK_MONOTONIC);
	p->connected = true;
	p->result.connect_us = p->connected_us - p->start_us - (p->result.dns_us > 0 ? p->result.dns_us : 0);
	if (!PQsendQuery(p->connector.conn, query))
		probe_fail(p, HEALTH_NO_CONNECTION, "%s", PQerrorMessage(p->connector.conn));
	p->fd = PQsocket(p->connector.conn);
	p->events = PQflush(p->connector.conn) == 1 ? POLLIN | POLLOUT : POLLIN;
}

static void
take_state(struct probe *p, enum connector_state state)
{
	if (state == CONNECTOR_FAILED)
		fail_to_connect(p);
	else if (state == CONNECTOR_OPEN)
		ask(p);
	else
		follow(p);
}

static void
start(struct probe *p)
{
	p->connector.attempts = 0;
	p->connector.ip_family = p->check->ip_family;
	take_state(p, connector_start(&p->connector, p->check->url));
}

static void
judge_lag(struct probe *p, const char *lag)
{
	double seconds = strtod(lag, NULL);

	p->result.first_byte_us = clock_us(CLOCK_MONOTONIC) - p->connected_us;
	if (p->check->max_lag_s > 0 && seconds > p->check->max_lag_s)
		probe_fail(p, HEALTH_LAG, "%.0f s behind the primary, more than %d s", seconds, p->check->max_lag_s);
	else
		probe_pass(p);
}

static void
take_result(struct probe *p)
{
	PGconn *conn = p->connector.conn;
	PGresult *result = PQgetResult(conn);

	if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		judge_lag(p, PQgetvalue(result, 0, 1)); /* "" where it is no standby, or nothing was ever replayed */
	else {
		const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
		const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
		if (!message)
			message = PQerrorMessage(conn);
		probe_fail(p, sqlstate ? HEALTH_BAD_STATUS : HEALTH_NO_CONNECTION, "%s%s%s", sqlstate ? sqlstate : "",
				   sqlstate ? " " : "", message[0] ? message : "no answer");
	}
	PQclear(result);
}

static void
ready(struct probe *p)
{
	struct connector *c = &p->connector;

	if (!p->connected) {
		bool looking_up = c->resolver.fd >= 0;
		enum connector_state state = connector_step(c);
		if (looking_up && c->resolver.fd < 0)
			p->result.dns_us = clock_us(CLOCK_MONOTONIC) - p->start_us;
		take_state(p, state);
		return;
	}
	if (PQflush(c->conn) == 0)
		p->events = POLLIN;
	if (!PQconsumeInput(c->conn)) {
		p->result.again = true;
		probe_fail(p, HEALTH_NO_CONNECTION, "%s", PQerrorMessage(c->conn));
	} else if (!PQisBusy(c->conn))
		take_result(p);
}

static void
late(struct probe *p)
{
	bool looking_up = p->connector.resolver.fd >= 0;

	p->result.lost = !p->connected;
	if (looking_up)
		probe_fail(p, HEALTH_NO_NAME, "no answer within %d s", p->check->timeout_s);
	else
		probe_fail(p, HEALTH_TOO_LATE, "no %s within %d s", p->connected ? "answer" : "connection",
				   p->check->timeout_s);
}

static void
stop(struct probe *p)
{
	connector_stop(&p->connector);
}

const struct probe_kind probe_postgres = {.start = start, .ready = ready, .late = late, .stop = stop};
