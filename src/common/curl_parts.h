/*
 * curl_parts.h: what the files behind curl_multi.h share: libcurl itself, a transfer as it runs.
 *
 * Belongs here: that. Does not belong here: anything that others than curl_*.c in this directory need (curl_multi.h).
 */
#ifndef OBSERV_COMMON_CURL_PARTS_H
#define OBSERV_COMMON_CURL_PARTS_H

#ifndef CURL_DISABLE_TYPECHECK
#define CURL_DISABLE_TYPECHECK
#endif
#include <curl/curl.h>

#include "common/curl_multi.h"
#include "common/strbuf.h"

#define MAX_HEADERS 262144 /* bytes, of all answers together: libcurl itself has no limit, and keeps them */

/* What is used of libcurl: one line each. */
#define LIBCURL(X)                                                                                           \
	X(curl_free)                                                                                             \
	X(curl_global_init)                                                                                      \
	X(curl_version_info)                                                                                     \
	X(curl_getdate)                                                                                          \
	X(curl_easy_init)                                                                                        \
	X(curl_easy_setopt)                                                                                      \
	X(curl_easy_getinfo)                                                                                     \
	X(curl_easy_recv)                                                                                        \
	X(curl_easy_send)                                                                                        \
	X(curl_easy_strerror)                                                                                    \
	X(curl_easy_cleanup)                                                                                     \
	X(curl_slist_append)                                                                                     \
	X(curl_slist_free_all)                                                                                   \
	X(curl_multi_init)                                                                                       \
	X(curl_multi_setopt)                                                                                     \
	X(curl_multi_add_handle)                                                                                 \
	X(curl_multi_remove_handle)                                                                              \
	X(curl_multi_socket_action)                                                                              \
	X(curl_multi_info_read)                                                                                  \
	X(curl_multi_cleanup)                                                                                    \
	X(curl_url)                                                                                              \
	X(curl_url_cleanup)                                                                                      \
	X(curl_url_get)                                                                                          \
	X(curl_url_set)

#define AS_MEMBER(name) __typeof__(name) *name;

/* Process-wide, as libcurl itself is. */
extern struct libcurl {
	LIBCURL(AS_MEMBER)
	bool loaded;
} libcurl;

/* Loads it, once. False with the reason in `error` when it is not there or too old. */
bool libcurl_load(char *error, size_t size);

/* A mail as it goes. First libcurl logs in, then the steps, each with a reply. */
struct mail {
	char *from, **to;
	int to_count;
	struct strbuf message;
	int64_t started_us, deadline_us;
	/* Once it is logged in. */
	bool talking;
	int fd, timer_fd;
	enum { MAIL_FROM, MAIL_RCPT, MAIL_DATA, MAIL_DOT } step;
	struct strbuf out, in;
	size_t written, received; /* of out; in all */
	int recipient, accepted;
	/* The last reply, whose text is the transfer's body. */
	int status;
	bool reply_ended;  /* what comes begins another one */
	bool silent;       /* nothing has come since something was said */
	int refused;       /* recipients */
	int refused_later; /* status of the first one that is refused for now (4xx); 0: none */
	struct strbuf refusals;
	enum transfer_outcome outcome;
};

struct transfer {
	struct transfers *all;
	int epoll_fd;
	struct transfer *next, **link; /* all->first ... */
	CURL *easy;
	struct curl_slist *headers;
	transfer_done done;
	void *arg;
	struct strbuf body;
	size_t max_body, body_len /* of the request */, header_bytes;
	bool cut, connect_only, is_mail, once, proxied;
	bool forbidden; /* the URL has an address in it that is refused, so no proxy may be asked for it */
	bool refused;   /* an address was */
	char refused_address[64];
	bool resending; /* `once`: libcurl was about to write it a second time */
	int requests;
	bool (*allow)(void *arg, const struct sockaddr *address);
	void *allow_arg;
	char retry_after[64], wait[64];
	const char *wait_header; /* `wait` is its value */
	int64_t date_s;
	enum transfer_phase phase; /* of the present hop */
	char error[CURL_ERROR_SIZE];
	struct mail mail;
};

/* curl_guard.c: makes `allow` asked before each connection. False when memory runs out. */
bool transfer_set_guard(struct transfer *x, const struct transfer_request *request);

/* Whether the connection that libcurl has chosen for the request, maybe one that it kept, goes where it may. */
bool transfer_address_allowed(struct transfer *x, const char *address);

/* curl_mail.c: whether it is one; login, envelope and message. */
bool is_mail_url(const char *url);
bool transfer_set_mail(struct transfer *x, const struct transfer_request *request);
void transfer_free_mail(struct transfer *x);

/* A line that the server said while libcurl logs in. */
void transfer_mail_line(struct transfer *x, const char *line, size_t len);

/* Logged in: begins to talk. False when descriptors have run out. */
bool transfer_mail_begin(struct transfer *x, int epoll_fd);

/* Goes on with it, if that descriptor is its own: whether it is. It may be over then, and gone. */
bool transfer_mail_event(struct transfer *x, int fd);

/*
 * How it ended; TRANSFER_UNUSABLE when that can be told from `rc` alone. Sets what is different with mail: libcurl knows of the login only.
 */
enum transfer_outcome transfer_mail_outcome(CURLcode rc, const struct transfer *x,
											struct transfer_response *response);

/* curl_multi.c: tells whoever began it, and frees it. */
void transfer_finish(struct transfer *x, CURLcode rc);

/* curl_result.c: how it went, into `response`; the texts live as long as the transfer. */
void transfer_result(struct transfer *x, CURLcode rc, struct transfer_response *response);

#endif
