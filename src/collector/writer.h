/*
 * writer.h: what waits in the spool into the database: one connection, one transaction per flush, exactly-once effect.
 *
 * Belongs here: the conversation with the database, its deadlines, when to speak, what becomes of records when it fails.
 * Does not belong here: making a connection (connector.h), the order of records (spool.h), where they go (sinks.h), what errors
 * mean (core/sqlstate.h), SQL text (statements.h), waiting (agent.c).
 */
#ifndef OBSERV_COLLECTOR_WRITER_H
#define OBSERV_COLLECTOR_WRITER_H

#include "collector/connector.h"
#include "collector/log.h"
#include "collector/shapes.h"
#include "collector/sinks.h"
#include "collector/spool.h"
#include "collector/writer_batch.h"
#include "core/sqlstate.h"

#define FRESH_MAX 32

enum writer_state {
	WRITER_DOWN,       /* no connection; tries again at `wake_ms` */
	WRITER_CONNECTING, /* gives up at `deadline_ms` */
	WRITER_IDLE,       /* connected; may send from `wake_ms` on */
	WRITER_BUSY,       /* statements are under way; gives up at `deadline_ms` */
};

/*
 * A small flush is one step, any other takes all that follow but the positions; a greeting begins with BEGIN only when there is a fresh
 * sample to bring.
 */
enum writer_step {
	STEP_PUT,
	STEP_BEGIN,
	STEP_BATCH,
	STEP_ROWS, /* of writer.kind */
	STEP_QUARANTINE,
	STEP_POSITIONS,
	STEP_COMMIT,
	STEP_ROLLBACK,
	STEP_DONE
};

#define SENT_MAX (RECORD_KINDS + 4) /* BEGIN and _begin_batch(), or all that follows it */

/* A statement that is under way. */
struct sent {
	enum writer_step step;
	enum record_kind kind; /* of STEP_ROWS */
	int rows;
};

/* The answer of observ._begin_batch(), times in microseconds since 1970. */
struct batch_reply {
	bool accepted;
	int64_t last_seq;
	int64_t server_time_us, accept_from_us,
		accept_until_us;    /* INT64_MIN, INT64_MAX where there is no limit */
	int64_t boost_until_us; /* 0: none */
	int64_t backpressure_ms;
};

/* What observ.collectors is told. */
struct batch_counts {
	int64_t clamped, quarantined, dropped, duplicates;
};

struct writer {
	const char *url, *vps_name, *app_name, *agent_id;
	int interval_s;
	struct spool *spool;
	enum writer_state state;
	enum writer_step step; /* the last that was sent; then that whose answer is awaited, or was an error */
	enum record_kind kind;
	struct sent sent[SENT_MAX]; /* in one packet, and answered one after the other */
	int sent_count, answered;
	bool in_transaction; /* BEGIN was sent */
	int64_t wake_ms, deadline_ms;
	struct connector connector;
	PGconn *conn;
	struct batch batch;
	struct sink_params params;
	struct shape_table shapes;
	struct batch_reply reply;
	bool greeting;    /* what is under way is a greeting, not a flush */
	bool greeted;     /* this connection has told the number of the last batch */
	bool known;       /* some connection has: positions of log files are final */
	bool step_failed; /* a result of a statement under way was an error */
	bool put_done;    /* the answer of STEP_PUT was that something was done */
	int put_refusals; /* times that the database did not take this batch in one statement */
	bool gave_up;     /* the last chance was missed */
	bool last_chance; /* the agent is stopping: no pauses, no second try */
	int attempt;      /* failures in a row */
	int unreadable;   /* times in a row that nothing of what waits could be read */

	/* When to speak. */
	int64_t flush_ms;    /* the next regular flush */
	int64_t target;      /* number up to which a flush goes on without waiting */
	int64_t backlog_end; /* up to here the rate is capped; 0: no backlog */
	int64_t mine;        /* the highest number that this agent can have sent */

	/* Fresh samples that went ahead of their turn. */
	int64_t fresh[FRESH_MAX];
	int fresh_count;
	bool fresh_refused;

	/* Search for a bad record. */
	int limit;         /* records that a batch takes */
	int suspects;      /* records at the head of the spool among which is a bad one */
	char bad_row[300]; /* why the only record of the batch goes to quarantine; "" while nothing is wrong */
	bool bare;         /* without the record itself, which quarantine does not take either */

	int64_t sent_at_us, offset_us;
	int64_t replied_us; /* when w->reply came, monotonic */
	bool offset_known;
	struct batch_counts unreported, reported; /* for the next batch; what the one under way says */
	struct batch_counts now;                  /* of the batch under way */
	int64_t dropped_reported;
	int64_t rows_sent, reconnects; /* ever, by this process */
	int64_t delivered_ms;          /* the last batch, monotonic; 0: none yet */
	struct problem problem, twin;
	enum writer_step failed_step;
	char sqlstate[6]; /* of the statement that failed; "" while all is well and for a lost connection */
	char message[300];
	char hint[200]; /* the server's, may be empty */
};

/* The strings and the spool must live as long as the writer; nothing has been put into the spool yet since it was opened. */
void writer_init(struct writer *w, struct spool *spool, const char *url, const char *vps_name,
				 const char *app_name, const char *agent_id, int interval_s);

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

/* Says goodbye to the server where that takes no waiting, and frees. */
void writer_close(struct writer *w);

/* Whether there are records that the database has not confirmed. */
bool writer_pending(const struct writer *w);

/* Whether the database has answered once: what the spool knows of positions of log files is final. */
bool writer_database_known(const struct writer *w);

/* Until when the database wants fast samples, microseconds since 1970 by this machine's clock; 0: it doesn't. */
int64_t writer_boost_until_us(const struct writer *w);

#endif
