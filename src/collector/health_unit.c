/*
 * health_unit.c: Whether systemd has a unit active. See health_probe.h for what belongs here.
 *
 * systemctl is asked, by a child that is killed at the deadline: D-Bus without it means libsystemd in the agent (and its
 * memory) for what happens once a minute.
 */
#include "collector/health_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "core/slice.h"

extern char **environ;

/* All signals as a program expects them: the agent blocks and ignores some. */
static pid_t
spawn(char *const argv[], int output)
{
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	sigset_t none, all;
	pid_t pid;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	int error = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	errno = error;
	return error ? -1 : pid;
}

static void
start(struct probe *p)
{
	char *argv[] = {"systemctl", "--no-pager", "--property=LoadState,ActiveState,SubState,Result",
					"show",      "--",         p->check->url + strlen("unit:"),
					NULL};
	int pipe_fd[2];

	p->pid = -1;
	if (access(p->tools->systemd_dir, F_OK) < 0) {
		probe_fail(p, HEALTH_BAD_UNIT, "systemd is not running here");
		return;
	}
	if (pipe2(pipe_fd, O_CLOEXEC) < 0) {
		probe_fail(p, HEALTH_NOT_TRIED, "%s", strerror(errno));
		return;
	}
	p->pid = spawn(argv, pipe_fd[1]);
	int error = errno;
	close(pipe_fd[1]);
	fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
	p->fd = pipe_fd[0];
	p->events = POLLIN;
	if (p->pid < 0)
		probe_fail(p, HEALTH_NOT_TRIED, "systemctl: %s", strerror(error));
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
