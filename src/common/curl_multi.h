/*
 * curl_multi.h: HTTP requests, and mails, that nobody waits for: any number under way, one descriptor to poll.
 *
 * Belongs here: libcurl's multi interface behind one epoll descriptor, how a request went in words, phase times, the
 * certificate. Does not belong here: what an answer means, retries, schedules; anything of the collector or of PostgreSQL.
 *
 * libcurl is loaded with the first transfers_open(): programs and backends without requests don't pay for it and its 25
 * libraries (540 kB of private memory).
 * Whoever uses this must ignore SIGPIPE, and may block all other signals.
 */
#ifndef OBSERV_COMMON_CURL_MULTI_H
#define OBSERV_COMMON_CURL_MULTI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transfers; /* those under way together; their certificate store is read once for all */
struct transfer;

struct sockaddr;

struct transfer_request {
	const char *
		url; /* http:// or https://; smtp:// or smtps:// with a port, and the name to say EHLO with as path */
	const char *method;   /* NULL: GET, or POST when there is a body */
	char *const *headers; /* "Name: value" */
	int header_count;
	const char *body; /* NULL: none */
	size_t body_len;
	const char *user_agent; /* NULL: none */
	const char *ca_file;    /* NULL: the system's certificates */
	int timeout_ms;         /* for all of it */
	int ip_family;          /* 4, 6, or 0: whichever answers first */
	int max_redirects; /* 0: a redirect is the answer. Never from https to http; never to other protocols */
	size_t max_body;   /* what is longer is cut there, and said in `cut` */
	bool verify_tls;
	bool fresh;     /* a look-up and a connection of its own, closed afterwards: phase times of all of it */
	bool use_proxy; /* as the environment says (https_proxy ...) */
	const char *proxy; /* instead: http://, https://, socks5h://; NULL: as use_proxy says */
	/*
	 * For look-up, connection and handshake; 0: timeout_ms. Not for mail: libcurl counts the whole login as part of it, and servers that let
	 * strangers wait for their greeting are many.
	 */
	int connect_timeout_ms;
	const char *user, *password; /* HTTP: Basic; SMTP: AUTH, whatever is offered and safe there. NULL: none */
	/*
	 * Asked before anything goes to an address, with the one behind the name, also when a connection was kept; false: TRANSFER_REFUSED. NULL: any.
	 * With a proxy it is the proxy's address, and that of a URL with an address instead of a name: names are looked up by the proxy.
	 */
	bool (*allow)(void *arg, const struct sockaddr *address);
	void *allow_arg;
	/* Of mail: the envelope; `body` is the message, lines ending in CR LF, dots not doubled. */
	const char *mail_from;
	char *const *mail_to;
	int mail_to_count;
	bool require_tls; /* smtp://: STARTTLS or TRANSFER_TLS; false: when offered */
	/* A header of answers 429 that says in seconds how long to wait, where there is no Retry-After; must last as long as the transfer. NULL: none. */
	const char *wait_header;
	bool
		once; /* written at most once: not again when a kept connection ends without an answer, as libcurl would */
	bool connect_only; /* no request: a TCP connection for http://, a TLS handshake for https:// */
};

/* How it went. */
enum transfer_outcome {
	TRANSFER_ANSWERED, /* with whatever status */
	TRANSFER_DNS,
	TRANSFER_CONNECT,
	TRANSFER_TLS,
	TRANSFER_UNTRUSTED, /* the certificate was refused */
	TRANSFER_TIMEOUT,   /* `phase` says what was waited for */
	TRANSFER_BROKEN,    /* the connection ended in the middle, or what came is no HTTP */
	TRANSFER_REDIRECT,  /* one too many, or one that must not be followed */
	TRANSFER_REFUSED,   /* the address is one that `allow` does not want, or the login was not accepted */
	TRANSFER_UNUSABLE   /* the request itself: address, certificates, memory */
};

enum transfer_phase { PHASE_DNS, PHASE_CONNECT, PHASE_TLS, PHASE_FIRST_BYTE, PHASE_BODY };

struct transfer_response {
	enum transfer_outcome outcome;
	enum transfer_phase phase; /* how far it came */
	char error[256];           /* in words; no user name or password of the URL in it */
	int status;                /* of the last answer; 0: none */
	const char *body;          /* terminated, never NULL */
	size_t body_len;
	bool cut;
	int redirects;
	const char *url; /* the last one, after redirects */
	/* Microseconds of each phase, summed up over redirects; -1: not reached, or no such phase. */
	int64_t dns_us, connect_us, tls_us, first_byte_us;
	int64_t total_us;
	bool sent;               /* the request was written whole, answer or not */
	const char *retry_after; /* that header of the last answer, else its wait_header; NULL */
	int64_t date_s;          /* its header Date, seconds since 1970; 0: none */
	/*
	 * Of mail: `status` and `body` are the reply that ended it, TRANSFER_ANSWERED with 2xx: the reply to the final dot. Recipients that were
	 * refused while others were not, a line "<address> reply" each.
	 */
	int refused;
	const char *refusals;  /* NULL: none */
	char address[64];      /* of the other side; "" */
	int64_t tls_expires_s; /* notAfter of the server's certificate, seconds since 1970; 0: not known */
	int fd;                /* connect_only: the connection; dup() it to keep it. -1: none */
};

/* It is over. `response` is valid during the call only; the transfer is gone. Others may be started and cancelled here. */
typedef void (*transfer_done)(void *arg, const struct transfer_response *response);

/* NULL when that is not possible; `error` says why. */
struct transfers *transfers_open(char *error, size_t size);

/* Cancels what is under way. */
void transfers_close(struct transfers *t);

/* The one descriptor: readable when transfers_run() has something to do, deadlines included. */
int transfers_fd(const struct transfers *t);

/* Goes on with whatever can go on, without waiting, and calls back for what is over. */
void transfers_run(struct transfers *t);

/* What is wrong with a request whoever is asked: line ends in headers or addresses, no recipient. Words for people, NULL: nothing. */
const char *transfer_fault(const struct transfer_request *request);

/*
 * Begins; strings of the request are copied. NULL when memory or descriptors have run out, or when the request has a fault; `done` is not called
 * then.
 */
struct transfer *transfer_start(struct transfers *t, const struct transfer_request *request,
								transfer_done done, void *arg);

/* Ends it without a call. Never waits, not for a name server either. */
void transfer_cancel(struct transfer *transfer);

#endif
