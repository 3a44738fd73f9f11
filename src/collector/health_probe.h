/*
 * health_probe.h: one attempt at one health check: begins, goes on when its descriptor is ready, ends with a result or its deadline.
 *
 * Belongs here: what every kind of target has in common. One file per kind: health_http.c, health_tcp.c (tcp, redis),
 * health_postgres.c, health_unit.c. Does not belong here: schedules, breakers, rows (health.c and its parts).
 */
#ifndef OBSERV_COLLECTOR_HEALTH_PROBE_H
#define OBSERV_COLLECTOR_HEALTH_PROBE_H

#include "collector/config.h"
#include "collector/connector.h"
#include "common/curl_multi.h"

/* The class of a failure: the first word of error_message. */
enum health_failure {
	HEALTH_GOOD,
	HEALTH_NO_NAME,
	HEALTH_NO_CONNECTION,
	HEALTH_NO_TLS,
	HEALTH_TOO_LATE,
	HEALTH_BAD_STATUS,
	HEALTH_BAD_BODY,
	HEALTH_SLOW,
	HEALTH_LAG,
	HEALTH_BAD_UNIT,
	HEALTH_NOT_TRIED /* this agent can't: nothing is known about the target */
};

struct health_result {
	enum health_failure failure;
	bool lost;       /* no answer at all: may be the fault of this machine */
	bool again;      /* a moment later it may be different: worth one more attempt at once */
	char error[400]; /* what follows the class */
	int status;      /* 0: none */
	int64_t dns_us, connect_us, tls_us, first_byte_us, total_us; /* -1: not known */
	int64_t tls_expires_s;                                       /* 0: not known */
};

/* What probes share. */
struct probe_tools {
	struct transfers *transfers; /* NULL: libcurl is not there (or not wanted by any check) */
	char no_transfers[200];      /* why */
	const char *systemd_dir;     /* exists where systemd runs */
};

#define PROBE_ANSWER_MAX 512

struct probe {
	const struct health_check *check; /* NULL: the probe is free */
	struct probe_tools *tools;
	const struct probe_kind *kind;
	bool over; /* the result is there */
	struct health_result result;
	int64_t start_us, connected_us; /* monotonic */
	int64_t deadline_ms;
	int fd; /* what is waited for beside libcurl's; -1: nothing */
	short events;

	struct transfer *transfer;      /* http, tcp, redis */
	struct health_result untrusted; /* http: what is said when the certificate has been looked at */
	struct connector connector;     /* postgres */
	bool connected;
	int pid;                       /* unit; http: of the process that looks for body_regex */
	char answer[PROBE_ANSWER_MAX]; /* redis, unit */
	size_t answer_len;
};

struct probe_kind {
	void (*start)(struct probe *p);
	void (*ready)(struct probe *p); /* p->fd is; NULL: never has one */
	void (*late)(struct probe *p);  /* the deadline has come, and libcurl is not at it; NULL: it always is */
	void (*stop)(struct probe *p);  /* frees what the kind holds */
};

extern const struct probe_kind probe_http, probe_tcp, probe_redis, probe_postgres, probe_unit;

/* Begins. The check must stay where it is until the probe is over or cancelled. */
void probe_start(struct probe *p, struct probe_tools *tools, const struct health_check *check);

/* Goes on; `ready` when p->fd is. Afterwards p->over says whether there is a result. */
void probe_run(struct probe *p, bool ready, int64_t now_ms);

/* Frees everything, whether it is over or not. */
void probe_end(struct probe *p);

/* --- for the kinds */

/* The result is a failure; the probe is over. */
void probe_fail(struct probe *p, enum health_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The target is well, unless it took longer than it may; the probe is over. */
void probe_pass(struct probe *p);

/* Begins a request; false when libcurl is missing or memory has run out (said in the result). */
bool probe_transfer(struct probe *p, const struct transfer_request *request, transfer_done done);

/* Takes times and certificate over; false, and the result is a failure, when there was no answer. */
bool probe_take(struct probe *p, const struct transfer_response *response);

#endif
