/*
 * transfer_probe.c: requests and mails through common/curl_multi.h, their results as lines of JSON: what test_transfers.py talks to.
 *
 * Each argument is NAME=VALUE; "go" starts a request with what was said so far, and waits for it; "start" doesn't wait, "cancel" ends those that
 * run, "wait" waits for all. Belongs here: that. Does not belong here: expectations.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/curl_multi.h"
#include "common/strbuf.h"
#include "core/address_guard.h"

#define MANY 16

static char *headers[MANY], *recipients[MANY];
static struct transfer_request request = {.timeout_ms = 10000,
										  .max_body = 65536,
										  .verify_tls = true,
										  .user_agent = "observ/probe",
										  .headers = headers,
										  .mail_to = recipients};
static struct transfers *transfers;
static struct transfer *running[MANY];
static int n_running;

static bool
allow(void *arg, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return !address_refused((const uint8_t *) &((const struct sockaddr_in *) address)->sin_addr, 4);
	return !address_refused((const uint8_t *) &((const struct sockaddr_in6 *) address)->sin6_addr, 16);
}

static bool
allow_nothing(void *arg, const struct sockaddr *address)
{
	return false;
}

static void
put_text(struct strbuf *out, const char *name, const char *text)
{
	strbuf_printf(out, ",\"%s\":", name);
	if (text)
		strbuf_json_string(out, text);
	else
		strbuf_puts(out, "null");
}

static void
on_done(void *arg, const struct transfer_response *r)
{
	static const char *const outcomes[] = {"answered", "dns",    "connect",  "tls",     "untrusted",
										   "timeout",  "broken", "redirect", "refused", "unusable"};
	static const char *const phases[] = {"dns", "connect", "tls", "first_byte", "body"};
	struct strbuf out = STRBUF_INIT;

	running[(size_t) arg] = NULL;
	n_running--;
	strbuf_printf(
		&out, "{\"outcome\":\"%s\",\"phase\":\"%s\",\"status\":%d,\"sent\":%s,\"cut\":%s,\"body_len\":%zu",
		outcomes[r->outcome], phases[r->phase], r->status, r->sent ? "true" : "false",
		r->cut ? "true" : "false", r->body_len);
	strbuf_printf(&out, ",\"date\":%lld,\"refused\":%d,\"total_us\":%lld", (long long) r->date_s, r->refused,
				  (long long) r->total_us);
	put_text(&out, "error", r->error);
	put_text(&out, "body", r->body_len > 2000 ? "" : r->body);
	put_text(&out, "retry_after", r->retry_after);
	put_text(&out, "address", r->address);
	put_text(&out, "refusals", r->refusals);
	strbuf_puts(&out, "}\n");
	fputs(out.data, stdout);
	fflush(stdout);
	strbuf_free(&out);
}

static void
run_for(int ms)
{
	struct pollfd fd = {.fd = transfers_fd(transfers), .events = POLLIN};
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	now = begin;
	while (n_running > 0 &&
		   (ms < 0 || (now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms)) {
		poll(&fd, 1, ms < 0 ? -1 : 10);
		transfers_run(transfers);
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
}

static void
start(void)
{
	const char *fault = transfer_fault(&request);
	size_t i = 0;

	if (fault) {
		printf("{\"fault\":\"%s\"}\n", fault);
		return;
	}
	while (running[i])
		i++;
	running[i] = transfer_start(transfers, &request, on_done, (void *) i);
	if (!running[i])
		exit(2);
	n_running++;
}

static void
cancel(void)
{
	for (size_t i = 0; i < MANY; i++)
		if (running[i]) {
			transfer_cancel(running[i]);
			running[i] = NULL;
			n_running--;
		}
	puts("{\"cancelled\":true}");
}

static bool
flag(const char *name, const char *wanted, bool *out, const char *value)
{
	if (strcmp(name, wanted) != 0)
		return false;
	*out = *value == '1';
	return true;
}

static void
set_large_body(size_t len)
{
	char *body = malloc(len);

	if (!body)
		exit(3);
	memset(body, 'x', len);
	request.body = body;
	request.body_len = len;
}

static bool
set(const char *name, char *value)
{
	const struct {
		const char *name;
		const char **to;
	} texts[] = {{"url", &request.url},        {"method", &request.method}, {"ca", &request.ca_file},
				 {"proxy", &request.proxy},    {"user", &request.user},     {"password", &request.password},
				 {"from", &request.mail_from}, {"body", &request.body}};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(name, texts[i].name) == 0) {
			*texts[i].to = *value ? value : NULL;
			request.body_len = request.body ? strlen(request.body) : 0;
			return true;
		}
	if (strcmp(name, "header") == 0)
		headers[request.header_count++] = value;
	else if (strcmp(name, "to") == 0)
		recipients[request.mail_to_count++] = value;
	else if (strcmp(name, "timeout") == 0)
		request.timeout_ms = (int) strtol(value, NULL, 10);
	else if (strcmp(name, "connect") == 0)
		request.connect_timeout_ms = (int) strtol(value, NULL, 10);
	else if (strcmp(name, "guard") == 0)
		request.allow = *value == '1' ? allow : *value == '2' ? allow_nothing : NULL;
	else if (strcmp(name, "body_len") == 0)
		set_large_body(strtoul(value, NULL, 10));
	else if (strcmp(name, "run") == 0)
		run_for((int) strtol(value, NULL, 10));
	else
		return flag(name, "verify", &request.verify_tls, value) || flag(name, "once", &request.once, value) ||
			   flag(name, "starttls", &request.require_tls, value);
	return true;
}

int
main(int argc, char **argv)
{
	char error[256];

	signal(SIGPIPE, SIG_IGN);
	transfers = transfers_open(error, sizeof error);
	if (!transfers) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (strcmp(argv[i], "go") == 0 || strcmp(argv[i], "start") == 0)
			start();
		if (strcmp(argv[i], "cancel") == 0)
			cancel();
		else if (strcmp(argv[i], "go") == 0 || strcmp(argv[i], "wait") == 0)
			run_for(-1);
		else if (value) {
			*value = '\0';
			if (!set(argv[i], value + 1))
				return 1;
		}
	}
	transfers_close(transfers);
	return 0;
}
