/* curl_result.c: how a transfer went, in our words. Does not belong here: how it goes (curl_multi.c), mail (curl_mail.c). */
#include "common/curl_parts.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* libcurl's times count from the start; -1 for what was not reached (0). */
static int64_t
phase_us(CURL *easy, CURLINFO end, CURLINFO begin)
{
	curl_off_t to = 0, from = 0;

	libcurl.curl_easy_getinfo(easy, end, &to);
	if (begin != CURLINFO_NONE)
		libcurl.curl_easy_getinfo(easy, begin, &from);
	return to == 0 ? -1 : to > from ? to - from : 0;
}

static void
read_times(const struct transfer *x, struct transfer_response *out)
{
	out->phase = x->phase;
	out->dns_us = phase_us(x->easy, CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_NONE);
	out->connect_us = phase_us(x->easy, CURLINFO_CONNECT_TIME_T, CURLINFO_NAMELOOKUP_TIME_T);
	out->tls_us = phase_us(x->easy, CURLINFO_APPCONNECT_TIME_T, CURLINFO_CONNECT_TIME_T);
	out->first_byte_us = phase_us(x->easy, CURLINFO_STARTTRANSFER_TIME_T, CURLINFO_PRETRANSFER_TIME_T);
	out->total_us = phase_us(x->easy, CURLINFO_TOTAL_TIME_T, CURLINFO_NONE);
}

/* "Expire date:Nov 21 15:07:32 2026 GMT" of the first certificate, the server's own. */
static int64_t
read_expiry(CURL *easy)
{
	static const char key[] = "Expire date:";
	struct curl_certinfo *info = NULL;

	if (libcurl.curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info ||
		info->num_of_certs < 1)
		return 0;
	for (const struct curl_slist *line = info->certinfo[0]; line; line = line->next)
		if (strncmp(line->data, key, sizeof key - 1) == 0) {
			time_t when = libcurl.curl_getdate(line->data + sizeof key - 1, NULL);
			return when > 0 ? when : 0;
		}
	return 0;
}

static enum transfer_outcome
classify(CURLcode rc, const struct transfer *x, struct transfer_response *r)
{
	static const struct {
		CURLcode code;
		enum transfer_outcome outcome;
	} known[] = {
		{CURLE_OK, TRANSFER_ANSWERED},
		{CURLE_COULDNT_RESOLVE_HOST, TRANSFER_DNS},
		{CURLE_COULDNT_RESOLVE_PROXY, TRANSFER_DNS},
		{CURLE_COULDNT_CONNECT, TRANSFER_CONNECT},
		{CURLE_INTERFACE_FAILED, TRANSFER_CONNECT},
		{CURLE_OPERATION_TIMEDOUT, TRANSFER_TIMEOUT},
		{CURLE_SSL_CONNECT_ERROR, TRANSFER_TLS},
		{CURLE_SSL_CIPHER, TRANSFER_TLS},
		{CURLE_SSL_INVALIDCERTSTATUS, TRANSFER_UNTRUSTED},
		{CURLE_PEER_FAILED_VERIFICATION, TRANSFER_UNTRUSTED},
		{CURLE_TOO_MANY_REDIRECTS, TRANSFER_REDIRECT},
		{CURLE_GOT_NOTHING, TRANSFER_BROKEN},
		{CURLE_SEND_ERROR, TRANSFER_BROKEN},
		{CURLE_RECV_ERROR, TRANSFER_BROKEN},
		{CURLE_PARTIAL_FILE, TRANSFER_BROKEN},
		{CURLE_WEIRD_SERVER_REPLY, TRANSFER_BROKEN},
		{CURLE_BAD_CONTENT_ENCODING, TRANSFER_BROKEN},
		{CURLE_PROXY, TRANSFER_CONNECT},
	};

	if (x->refused)
		return TRANSFER_REFUSED;
	if (x->resending)
		return TRANSFER_BROKEN;
	if (x->is_mail) {
		enum transfer_outcome outcome = transfer_mail_outcome(rc, x, r);
		if (outcome != TRANSFER_UNUSABLE)
			return outcome;
	}

	if (rc == CURLE_WRITE_ERROR && x->cut)
		return TRANSFER_ANSWERED;
	if (x->header_bytes > MAX_HEADERS)
		return TRANSFER_BROKEN;
	if (x->proxied && rc == CURLE_RECV_ERROR && x->requests == 0)
		return TRANSFER_CONNECT; /* the proxy would not */
	/* The address that the last answer names can't or must not be used. */
	if ((rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT) && r->status >= 300 &&
		r->status < 400)
		return TRANSFER_REDIRECT;
	if (rc == CURLE_UNSUPPORTED_PROTOCOL && r->phase >= PHASE_FIRST_BYTE)
		return TRANSFER_BROKEN; /* HTTP/0.9, or no HTTP at all */
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].code == rc)
			return known[i].outcome;
	return TRANSFER_UNUSABLE;
}

/* Whether the request was written whole, so that it may have arrived. */
static bool
was_sent(const struct transfer *x)
{
	curl_off_t uploaded = 0;

	if (x->resending)
		return true; /* the first time; how much of it is forgotten */
	if (x->requests == 0 || x->connect_only || x->is_mail)
		return false;
	libcurl.curl_easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	return (size_t) uploaded >= x->body_len;
}

static void
read_peer(const struct transfer *x, struct transfer_response *r)
{
	const char *ip = NULL;
	long port = 0;

	libcurl.curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_IP, &ip);
	libcurl.curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_PORT, &port);
	if (ip && *ip)
		snprintf(r->address, sizeof r->address, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
}

static void
read_error(const struct transfer *x, CURLcode rc, struct transfer_response *r)
{
	if (r->outcome == TRANSFER_REDIRECT && rc == CURLE_UNSUPPORTED_PROTOCOL)
		snprintf(r->error, sizeof r->error, "it leads from https to http, or away from both");
	else if (x->header_bytes > MAX_HEADERS)
		snprintf(r->error, sizeof r->error, "more than %d kB of header", MAX_HEADERS / 1024);
	else if (x->refused)
		snprintf(r->error, sizeof r->error, "address %s is not allowed", x->refused_address);
	else if (x->resending)
		snprintf(r->error, sizeof r->error, "the connection ended without an answer");
	else if (r->outcome != TRANSFER_ANSWERED && !r->error[0])
		snprintf(r->error, sizeof r->error, "%s", x->error[0] ? x->error : libcurl.curl_easy_strerror(rc));
}

void
transfer_result(struct transfer *x, CURLcode rc, struct transfer_response *r)
{
	long status = 0, redirects = 0;
	curl_socket_t fd = CURL_SOCKET_BAD;

	*r = (struct transfer_response){
		.fd = -1, .body = x->body.data ? x->body.data : "", .body_len = x->body.len};
	libcurl.curl_easy_getinfo(x->easy, CURLINFO_EFFECTIVE_URL, &r->url);
	libcurl.curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	libcurl.curl_easy_getinfo(x->easy, CURLINFO_REDIRECT_COUNT, &redirects);
	r->status = (int) status;
	r->redirects = (int) redirects;
	r->cut = x->cut;
	r->retry_after = x->retry_after[0] ? x->retry_after : status == 429 && x->wait[0] ? x->wait : NULL;
	r->date_s = x->date_s;
	read_times(x, r);
	read_peer(x, r);
	r->sent = was_sent(x);
	r->tls_expires_s = read_expiry(x->easy);
	r->outcome = classify(rc, x, r);
	if (r->outcome == TRANSFER_TLS || r->outcome == TRANSFER_UNTRUSTED)
		r->phase = PHASE_TLS;
	if (r->outcome == TRANSFER_ANSWERED && x->connect_only &&
		libcurl.curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK)
		r->fd = fd;
	read_error(x, rc, r);
}
