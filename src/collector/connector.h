/*
 * connector.h: from a connection string to an open connection, without ever waiting.
 *
 * Belongs here: parameters, looking up hosts, PQconnectPoll(). Does not belong here: SQL, when to try again (writer.h).
 */
#ifndef OBSERV_COLLECTOR_CONNECTOR_H
#define OBSERV_COLLECTOR_CONNECTOR_H

#include <libpq-fe.h>

#include "collector/resolver.h"

enum connector_state { CONNECTOR_WORKING, CONNECTOR_OPEN, CONNECTOR_FAILED };

struct connector {
	const char *url;
	PGconn *conn;
	struct resolver resolver;
	short events; /* what conn's socket is to be polled for */
	unsigned attempts;
	int ip_family;    /* of addresses that are looked up: 4, 6, or 0 for both; set by the caller */
	char sqlstate[6]; /* after CONNECTOR_FAILED; "" when the server did not answer */
	char message[300];
};

/* Begins. The deadline is the caller's. */
enum connector_state connector_start(struct connector *c, const char *url);

/* Goes on when the descriptor is ready. After CONNECTOR_OPEN the caller owns c->conn. */
enum connector_state connector_step(struct connector *c);

/* What to wait for; -1: nothing. */
int connector_fd(const struct connector *c, short *events);

/* Gives up and closes everything. */
void connector_stop(struct connector *c);

/* The line of a libpq message that says most, without decoration, and the SQLSTATE in it, "" when there is none. */
void clean_message(const char *raw, char *message, size_t size, char sqlstate[6]);

#endif
