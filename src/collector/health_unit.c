/*
 * health_unit.c: Whether systemd has a unit active. See health_probe.h for what belongs here.
 *
 * systemctl is asked, by a child that is killed at the deadline: D-Bus without it means libsystemd in the agent (and its
 * memory) for what happens once a minute.
 */
#include "collector/health_probe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "collector/child.h"
#include "core/slice.h"

static void
start(struct probe *p)
{
	char *argv[] = {"systemctl", "--no-pager", "--property=LoadState,ActiveState,SubState,Result",
					"show",      "--",         p->check->url + strlen("unit:"),
					NULL};

	p->pid = -1;
	if (access(p->tools->systemd_dir, F_OK) < 0) {
		probe_fail(p, HEALTH_BAD_UNIT, "systemd is not running here");
		return;
	}
	p->fd = child_start(argv, &p->pid);
	p->events = POLLIN;
	if (p->fd < 0) {
		p->pid = -1;
		probe_fail(p, HEALTH_NOT_TRIED, "systemctl: %s", strerror(errno));
	}
}

/* "ActiveState=active\n": the value, empty when it is missing. */
static void
property(const struct probe *p, const char *name, char *out, size_t size)
{
	struct slice all = {p->answer, p->answer + p->answer_len}, line;
	size_t len = strlen(name);

	out[0] = '\0';
	while (slice_line(&all, &line))
		if (slice_starts(line, name) && line.p + len < line.end && line.p[len] == '=')
			slice_printable((struct slice){line.p + len + 1, line.end}, out, size);
}

static void
judge(struct probe *p)
{
	char loaded[40], active[40], sub[40], result[40];

	property(p, "LoadState", loaded, sizeof loaded);
	property(p, "ActiveState", active, sizeof active);
	property(p, "SubState", sub, sizeof sub);
	property(p, "Result", result, sizeof result);
	if (!active[0])
		probe_fail(p, HEALTH_NOT_TRIED, "systemctl gave no answer");
	else if (strcmp(active, "active") == 0)
		probe_pass(p);
	else if (strcmp(loaded, "not-found") == 0)
		probe_fail(p, HEALTH_BAD_UNIT, "there is no such unit");
	else if (strcmp(active, "failed") == 0)
		probe_fail(p, HEALTH_BAD_UNIT, "failed (%s)", result);
	else
		probe_fail(p, HEALTH_BAD_UNIT, "%s (%s)", active, sub);
}

static void
ready(struct probe *p)
{
	ssize_t got = read(p->fd, p->answer + p->answer_len, sizeof p->answer - p->answer_len);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		p->answer_len += (size_t) got;
	else
		p->pid = -1; /* it ends by itself, and its number may be another's soon */
	if (got <= 0 || p->answer_len == sizeof p->answer)
		judge(p);
}

static void
late(struct probe *p)
{
	probe_fail(p, HEALTH_TOO_LATE, "no answer of systemctl within %d s", p->check->timeout_s);
}

static void
stop(struct probe *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
	p->pid = -1;
}

const struct probe_kind probe_unit = {.start = start, .ready = ready, .late = late, .stop = stop};
