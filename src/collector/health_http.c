/* health_http.c: A request, and what is expected of its answer. See health_probe.h for what belongs here. */
#include "collector/health_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "collector/child.h"
#include "common/clock.h"
#include "collector/version.h"
#include "core/json_path.h"

#define MAX_BODY       (1 << 20)
#define MAX_REDIRECTS  5
#define MIN_LOOK_MS    1000
#define EXPECTED_BYTES 100
#define SHORT_BODY     2048 /* a regular expression is through with so much in some milliseconds at worst */
#define REGEX_MEMORY                                                                                         \
	(16                                                                                                      \
	 << 20) /* what the process that matches a longer one may have beside the agent's: the unit has 32 MB */

static void
list_expected(const struct health_check *check, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < check->expected_count && used + 20 < size; i++) {
		const struct status_range *range = &check->expected[i];
		used += (size_t) snprintf(out + used, size - used, range->first == range->last ? "%s%d" : "%s%d-%d",
								  i > 0 ? ", " : "", range->first, range->last);
	}
}

static bool
status_is_expected(struct probe *p)
{
	const struct health_check *check = p->check;
	char expected[EXPECTED_BYTES];

	for (int i = 0; i < check->expected_count; i++)
		if (p->result.status >= check->expected[i].first && p->result.status <= check->expected[i].last)
			return true;
	list_expected(check, expected, sizeof expected);
	probe_fail(p, HEALTH_BAD_STATUS, "%d, expected %s", p->result.status, expected);
	return false;
}

/* --- body_regex. The time that POSIX's expressions need grows with the square of the text, and more: 1 MB is 20 minutes. */

enum match { MATCH_YES = 'y', MATCH_NO = 'n', MATCH_TOO_LARGE = 'e' };

/* Compiled for each look: what a compiled expression holds between checks is more than this costs. */
static enum match
match(const char *pattern, const char *text)
{
	regex_t regex;

	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return MATCH_TOO_LARGE;
	int rc = regexec(&regex, text, 0, NULL, 0);
	regfree(&regex);
	return rc == 0 ? MATCH_YES : rc == REG_NOMATCH ? MATCH_NO : MATCH_TOO_LARGE;
}

struct match_task {
	const char *pattern, *text;
};

/* The states of an expression can be more than there is memory; see proc(5) for statm: the sixth number is data, in pages. */
static void
limit_memory(void)
{
	char text[200];
	int64_t pages;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);
	struct slice rest = {text, text + (got > 0 ? got : 0)};

	if (fd >= 0)
		close(fd);
	if (!slice_skip_words(&rest, 5) || !slice_next_i64(&rest, &pages))
		return;
	rlim_t limit = (rlim_t) pages * (rlim_t) sysconf(_SC_PAGESIZE) + REGEX_MEMORY;
	setrlimit(RLIMIT_DATA, &(struct rlimit){limit, limit});
}

static void
match_in_child(int fd, const void *arg)
{
	const struct match_task *task = arg;

	limit_memory();
	setpriority(PRIO_PROCESS, 0, 19); /* the loop goes first, also under a quota */
	char answer = (char) match(task->pattern, task->text);
	if (write(fd, &answer, 1) != 1)
		_exit(1);
}

static void
judge_match(struct probe *p, enum match found)
{
	if (found == MATCH_YES)
		probe_pass(p);
	else
		probe_fail(p, HEALTH_BAD_BODY,
				   found == MATCH_NO ? "does not match %s" : "is too large to be matched with %s",
				   p->check->body_regex);
}

/* The last that is looked at: the verdict is that of the probe, now or when the child has spoken. */
static void
look_for_regex(struct probe *p, const char *text, size_t len)
{
	const struct match_task task = {p->check->body_regex, text};

	if (len <= SHORT_BODY) {
		judge_match(p, match(task.pattern, text));
		return;
	}
	p->fd = child_fork("obs-agent-regex", match_in_child, &task, &p->pid);
	p->events = POLLIN;
	if (p->fd < 0)
		probe_fail(p, HEALTH_NOT_TRIED, "no process for body_regex: %s", strerror(errno));
}

static void
ready(struct probe *p)
{
	char answer = MATCH_TOO_LARGE;

	if (read(p->fd, &answer, 1) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	p->pid = -1; /* it ends by itself, and its number may be another's soon */
	judge_match(p, (enum match) answer);
}

static void
late(struct probe *p)
{
	probe_fail(p, HEALTH_BAD_BODY, "could not be matched with %s within %d s", p->check->body_regex,
			   p->check->timeout_s);
}

/* --- */

static bool
body_is_expected(struct probe *p, const struct transfer_response *r)
{
	const struct health_check *check = p->check;
	struct json_path condition;
	char why[200];
	size_t needle = check->body_contains ? strlen(check->body_contains) : 0;
	size_t refused = check->body_not_contains ? strlen(check->body_not_contains) : 0;

	if (r->cut && (needle > 0 || refused > 0 || check->body_regex || check->json_path))
		probe_fail(p, HEALTH_BAD_BODY, "longer than 1 MB");
	else if (needle > 0 && !memmem(r->body, r->body_len, check->body_contains, needle))
		probe_fail(p, HEALTH_BAD_BODY, "does not contain \"%s\"", check->body_contains);
	else if (refused > 0 && memmem(r->body, r->body_len, check->body_not_contains, refused))
		probe_fail(p, HEALTH_BAD_BODY, "contains \"%s\"", check->body_not_contains);
	else if (check->json_path && !json_path_parse(check->json_path, &condition) &&
			 !json_path_holds(&condition, (struct slice){r->body, r->body + r->body_len}, why, sizeof why))
		probe_fail(p, HEALTH_BAD_BODY, "%s: %s", check->json_path, why);
	return !p->over;
}

/* What OpenSSL says without what libcurl puts before it, and since or until when the certificate is valid. */
static void
explain_distrust(struct probe *p, int64_t expires_s)
{
	static const char *const prefixes[] = {"SSL certificate problem: ", "SSL: "};
	const char *why = p->untrusted.error;
	time_t when = (time_t) expires_s;
	char date[40] = "";
	struct tm tm;

	for (int i = 0; i < 2; i++)
		if (strncmp(why, prefixes[i], strlen(prefixes[i])) == 0)
			why += strlen(prefixes[i]);
	if (expires_s != 0)
		strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&when, &tm));
	p->result = p->untrusted;
	p->result.tls_expires_s = expires_s;
	if (!date[0])
		probe_fail(p, HEALTH_NO_TLS, "%s", why);
	else
		probe_fail(p, HEALTH_NO_TLS, "%s (the certificate %s %s)", why,
				   expires_s < clock_us(CLOCK_REALTIME) / 1000000 ? "expired" : "is valid until", date);
}

static void
on_certificate(void *arg, const struct transfer_response *response)
{
	struct probe *p = arg;

	p->transfer = NULL;
	explain_distrust(p, response->tls_expires_s);
}

/* The certificate was refused: a second handshake, without a request and without trust, tells until when it is valid. */
static void
look_at_certificate(struct probe *p, const struct transfer_response *response)
{
	int64_t left_ms = p->deadline_ms - monotonic_ms();
	const struct transfer_request request = {
		.url = response->url,
		.timeout_ms = (int) (left_ms > MIN_LOOK_MS ? left_ms : MIN_LOOK_MS),
		.ip_family = p->check->ip_family,
		.fresh = true,
		.connect_only = true,
	};

	p->over = false;
	p->untrusted = p->result;
	if (!probe_transfer(p, &request, on_certificate))
		explain_distrust(p, 0);
}

static void
on_answer(void *arg, const struct transfer_response *response)
{
	struct probe *p = arg;

	if (probe_take(p, response)) {
		if (!status_is_expected(p) || !body_is_expected(p, response))
			return;
		if (p->check->body_regex)
			look_for_regex(p, response->body, response->body_len);
		else
			probe_pass(p);
	} else if (response->outcome == TRANSFER_UNTRUSTED)
		look_at_certificate(p, response);
}

static void
start(struct probe *p)
{
	const struct health_check *check = p->check;
	const struct transfer_request request = {
		.url = check->url,
		.method = check->method,
		.headers = check->headers.item,
		.header_count = check->headers.count,
		.body = check->body,
		.body_len = check->body ? strlen(check->body) : 0,
		.user_agent = "obs-agent/" OBSERV_VERSION,
		.ca_file = getenv("SSL_CERT_FILE"),
		.timeout_ms = check->timeout_s * 1000,
		.ip_family = check->ip_family,
		.max_redirects = check->follow_redirects ? MAX_REDIRECTS : 0,
		.max_body = MAX_BODY,
		.verify_tls = check->verify_tls,
		.fresh = true,
	};

	probe_transfer(p, &request, on_answer);
}

static void
stop(struct probe *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
}

const struct probe_kind probe_http = {.start = start, .ready = ready, .late = late, .stop = stop};
