/*
 * session.h: one connection and what is said over it, a transaction per batch.
 *
 * Belongs here: the conversation. Does not belong here: how many there are and when they speak (deliver.h, agents.h).
 */
#ifndef OBSERV_BENCH_SESSION_H
#define OBSERV_BENCH_SESSION_H

#include <libpq-fe.h>

#include "payload.h"

struct delivery {
	const char *conninfo;
	const char *role;    /* SET ROLE; NULL: as connected */
	bool role_of_number; /* the session's number is appended to role */
	bool unprepared;     /* statements are parsed each time, as obs-agent's are */
	int64_t first_seq;   /* number of each agent's first batch */
	bool one_copy;       /* all rows of a session in one COPY instead of one per batch */
};

struct session {
	const struct load *load;
	const struct delivery *delivery;
	int number;
	int64_t clock_ahead_us; /* of the agent's clock, in what it says to begin_batch */
	/* Set while it runs. */
	PGconn *conn;
	struct strbuf insert_sql;
	int agent; /* VPS that seq counts for */
	int64_t seq;
	long rows_inserted, accepted; /* batches that begin_batch took; all of them without begin_batch */
	/* What the next begin_batch is to report. */
	long clamped, quarantined, duplicates;
};

/* All of these end the program with a message when anything goes wrong. */
void session_open(struct session *s);
void session_send(struct session *s, const struct payload *p);
void session_close(struct session *s);

/* As session_send(), and in the same transaction one row that is too old goes to observ.quarantine. */
void session_send_with_bad_row(struct session *s, const struct payload *p);

/* A batch without rows: reports what is still to be reported. */
void session_report(struct session *s, const struct payload *p);

/* The parts of one COPY for all batches. */
void session_start_copy(struct session *s);
void session_send_copy(struct session *s, const struct payload *p);
void session_end_copy(struct session *s);

/* Processor time of the session's backend so far, in seconds; 0 when the server is elsewhere. */
double session_backend_cpu(const struct session *s);

/* Prints a message with libpq's words, if any, and ends the program. */
void die(const char *what, const char *detail) __attribute__((noreturn));

#endif
