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

/* A mail as it goes: which command waits for its reply, and what was refused. */
struct mail {
	struct curl_slist *to;
	struct strbuf message;
	size_t read;       /* of message: handed to libcurl, which does that after the reply to DATA */
	bool new_reply;    /* something was said since the last line that came */
	int recipient;     /* number of RCPT commands so far */
	bool rcpt;         /* the last command was one */
	int refused;       /* recipients */
	int refused_later; /* of these, status of the first one that is refused for now (4xx); 0: none */
	struct strbuf refusals;
};

struct transfer {
	struct transfers *all;
	struct transfer *next, **link; /* all->first ... */
	CURL *easy;
	struct curl_slist *headers;
	transfer_done done;
	void *arg;
	struct strbuf body;
	size_t max_body, body_len /* of the request */, header_bytes;
	bool cut, connect_only, is_mail, once, proxied;
	bool refused;   /* an address was refused; `error` says which */
	bool resending; /* `once`: libcurl was about to write it a second time */
	int requests;
	bool (*allow)(void *arg, const struct sockaddr *address);
	void *allow_arg;
	char retry_after[64];
	int64_t date_s;
	enum transfer_phase phase; /* of the present hop */
	char error[CURL_ERROR_SIZE];
	struct mail mail;
};

/* curl_guard.c: makes `allow` asked before each connection. False when memory runs out. */
bool transfer_set_guard(struct transfer *x, const struct transfer_request *request);

/* Whether the connection that libcurl has chosen for the request, maybe one that it kept, goes where it may. */
bool transfer_address_allowed(struct transfer *x, const char *address);

/* curl_mail.c: whether it is one; envelope, message and login. */
bool is_mail_url(const char *url);
bool transfer_set_mail(struct transfer *x, const struct transfer_request *request);
void transfer_free_mail(struct transfer *x);

/* A line that the mail server said. */
void transfer_mail_line(struct transfer *x, const char *line, size_t len);

/*
 * Whether the server's reply ended it, well or not: status and body are that reply. Else they are made empty: libcurl's are those of an earlier
 * command. What was refused is said in any case.
 */
bool transfer_mail_ended(CURLcode rc, const struct transfer *x, struct transfer_response *response);

/* curl_result.c: how it went, into `response`; the texts live as long as the transfer. */
void transfer_result(struct transfer *x, CURLcode rc, struct transfer_response *response);

#endif
