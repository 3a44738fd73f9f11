/*
 * Lines of log for bench/logs.py: the same for the same arguments, on any machine.
 *   log_lines ROWS FIRST_TIMESTAMP_US SPAN_US VPSS > lines.tsv
 * Columns, as COPY reads them: timestamp, vps_name, app_name, level, source, message, context. A line has about 170 bytes.
 * Words are drawn by 1 / rank, as in a real log: "connection" is in every third message. One message in 100 has "throttled", which is no
 * other word of the list; one in 500,000 has "segfault".
 * What does not belong here: sending (logs.py).
 */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DRAWS 4096

static const char *const words[] = {
	"connection", "request",  "server",   "user",      "session",  "timeout",  "database", "query",
	"completed",  "failed",   "started",  "worker",    "cache",    "queue",    "message",  "handler",
	"backend",    "upstream", "client",   "socket",    "retry",    "closed",   "opened",   "expired",
	"token",      "index",    "payload",  "stream",    "thread",   "process",  "memory",   "buffer",
	"limit",      "exceeded", "refused",  "accepted",  "schedule", "job",      "task",     "checkpoint",
	"replica",    "snapshot", "backup",   "restore",   "config",   "reload",   "health",   "metric",
	"export",     "import",   "peer",     "handshake", "proxy",    "route",    "balancer", "cluster",
	"node",       "leader",   "election", "follower",  "commit",   "rollback", "lock",     "deadlock",
	"waiting",    "released", "acquired", "lease",     "renewed",  "invalid",  "missing",  "header",
	"cookie",     "login",    "logout",   "password",  "reset",    "email",    "delivery", "invoice",
	"payment",    "declined", "order",    "shipment",  "stock",    "catalog",  "search",   "render",
	"template",   "asset",    "upload",   "download",  "archive",  "rotate",   "purge",    "vacuum",
};
static const char *const sources[] = {"nginx", "postgres", "app",    "systemd",
									  "sshd",  "cron",     "worker", "kernel"};
static const char *drawn[DRAWS];

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t
draw(void)
{
	static uint64_t state = 20261121;
	uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static int
below(int n)
{
	return (int) (draw() % (uint64_t) n);
}

static const char *
word(void)
{
	return drawn[below(DRAWS)];
}

static void
fill_draws(void)
{
	int n = sizeof words / sizeof *words;

	for (int i = 0; i < DRAWS; i++)
		drawn[i] = words[(int) (pow(n + 1, (double) i / DRAWS) - 1)];
}

static int
message(char *out, size_t size)
{
	switch (below(5)) {
	case 0:
		return snprintf(out, size, "%s %s for user %d from 10.%d.%d.%d port %d", word(), word(), below(50000),
						below(256), below(256), below(256), 1024 + below(60000));
	case 1:
		return snprintf(out, size, "GET /api/v1/%s/%d HTTP/1.1 status %d took %d.%d ms", word(),
						below(1000000), below(20) != 0 ? 200 : 500, below(300), below(10));
	case 2:
		return snprintf(out, size, "%s %s %s after %d attempts: %s %s", word(), word(), word(), 1 + below(9),
						word(), word());
	case 3:
		return snprintf(out, size, "worker-%d: %s %s, %s %s in %d.%03d seconds", below(64), word(), word(),
						word(), word(), below(20), below(1000));
	default:
		return snprintf(out, size, "%s.%s: %s id=%08" PRIx32 " size=%d", word(), word(), word(),
						(uint32_t) draw(), below(100000));
	}
}

static const char *
level(void)
{
	int n = below(1000);

	return n < 100 ? "debug" : n < 860 ? "info" : n < 950 ? "warning" : n < 995 ? "error" : "fatal";
}

static void
line(int64_t at_us, int vpss)
{
	time_t seconds = (time_t) (at_us / 1000000);
	char text[512], when[32];
	int n = message(text, sizeof text);
	const char *extra = below(500000) == 0 ? " segfault" : below(100) == 0 ? " throttled" : "";

	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", gmtime(&seconds));
	printf("%s.%06d+00\tvps%05d\tapp%02d\t%s\t%s\t%.*s%s\t{\"req\": \"%08" PRIx32
		   "\", \"pid\": %d, \"region\": \"eu-%d\", \"ms\": %d}\n",
		   when, (int) (at_us % 1000000), below(vpss), below(40), level(), sources[below(8)], n, text, extra,
		   (uint32_t) draw(), below(32768), below(4), below(5000));
}

int
main(int argc, char **argv)
{
	int64_t rows, first_us, span_us;

	if (argc != 5) {
		fprintf(stderr, "usage: log_lines ROWS FIRST_TIMESTAMP_US SPAN_US VPSS\n");
		return 2;
	}
	rows = strtoll(argv[1], NULL, 10);
	first_us = strtoll(argv[2], NULL, 10);
	span_us = strtoll(argv[3], NULL, 10);
	fill_draws();
	for (int64_t i = 0; i < rows; i++)
		line(first_us + (int64_t) ((double) span_us / (double) rows * (double) i),
			 (int) strtol(argv[4], NULL, 10));
	return fflush(stdout) == 0 ? 0 : 1;
}
