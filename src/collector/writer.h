/*
 * writer.h: rows into the database: one connection, one transaction per flush, exactly-once effect.
 *
 * Belongs here: the conversation with the database, its deadlines, what becomes of rows when it fails.
 * Does not belong here: making a connection (connector.h), the order of rows (core/queue.h), what errors mean
 * (core/sqlstate.h), SQL text (statements.h), waiting (agent.c).
 */
#ifndef OBSERV_COLLECTOR_WRITER_H
#define OBSERV_COLLECTOR_WRITER_H

#include "collector/connector.h"
#include "collector/log.h"
#include "common/strbuf.h"
#include "core/queue.h"
#include "core/sqlstate.h"

#define QUEUE_ROWS 1000
#define BATCH_ROWS 100

enum writer_state {
	WRITER_DOWN,       /* no connection; tries again at `wake_ms` */
	WRITER_CONNECTING, /* gives up at `deadline_ms` */
	WRITER_IDLE,       /* connected; may send from `wake_ms` on */
	WRITER_BUSY,       /* a statement is under way; gives up at `deadline_ms` */
};

enum writer_step {
	STEP_GREETING,
	STEP_BEGIN,
	STEP_BATCH,
	STEP_INSERT,
	STEP_QUARANTINE,
	STEP_COMMIT,
	STEP_ROLLBACK
};

struct batch {
	struct row row[BATCH_ROWS];
	int count;
	int64_t seq;
	bool commit_sent;  /* its fate may be unknown: it keeps its number until the database has said */
	char bad_row[300]; /* why its only row goes to quarantine; "" while nothing is wrong */
	/* What this batch reports to the database, and what it adds to the next report. */
	int64_t clamped, quarantined, dropped, duplicates;
	int64_t now_clamped, now_quarantined, now_duplicates;
};

/* The answer of observ.begin_batch(), times in microseconds since 1970. */
struct batch_reply {
	bool accepted;
	int64_t last_seq;
	int64_t server_time_us, accept_from_us,
		accept_until_us; /* INT64_MIN, INT64_MAX where there is no limit */
	int64_t backpressure_ms;
};

struct writer {
	const char *url, *vps_name, *app_name, *agent_id;
	int interval_s;
	enum writer_state state;
	enum writer_step step;
	int64_t wake_ms, deadline_ms;
	struct connector connector;
	PGconn *conn;
	struct row_queue queue;
	struct row *slots;
	struct batch *batch;
	struct batch_reply reply;
	bool catching_up; /* the next batch is the newest row alone */
	bool greeted;     /* the database has told the number of the last batch */
	bool step_failed; /* a result of the statement under way was an error */
	bool gave_up;     /* the last chance was missed */
	bool last_chance; /* the agent is stopping: no pauses, no second try */
	int attempt;      /* failures in a row */
	int64_t sent_at_us, offset_us;
	bool offset_known;
	int64_t clamped, quarantined, duplicates, dropped_reported;
	struct problem problem;
	enum writer_step failed_step;
	char sqlstate[6]; /* of the statement that failed; "" while all is well and for a lost connection */
	char message[300];
	char hint[200]; /* the server's, may be empty */
	struct strbuf insert_sql;
};

/* The strings must live as long as the writer. False when memory runs out. */
bool writer_init(struct writer *w, const char *url, const char *vps_name, const char *app_name,
				 const char *agent_id, int interval_s);

/* Takes a row. It is sent as soon as the state allows. */
void writer_add(struct writer *w, const struct row *row);

/* What to wait for; -1: nothing to poll. */
int writer_fd(const struct writer *w, short *events);

/* When writer_run() is to be called at the latest, INT64_MAX: only when the descriptor is ready. */
int64_t writer_wake_ms(const struct writer *w);

/* Does whatever can be done without waiting. `ready`: the descriptor is. */
void writer_run(struct writer *w, bool ready, int64_t now_ms);

/* Forgets the backoff; with a new connection string (which must live on) also the connection. */
void writer_retry_now(struct writer *w, const char *new_url, int64_t now_ms);

/* From now on: send what there is without pauses and give up at the first failure. */
void writer_last_chance(struct writer *w, int64_t now_ms);

/* Whether nothing is left to do after writer_last_chance(). */
bool writer_finished(const struct writer *w);

/* Says goodbye to the server where that takes no waiting. */
void writer_close(struct writer *w);

/* Rows that the database has not confirmed. */
int writer_pending(const struct writer *w);

#endif
