/* child.c: posix_spawn() or fork() with a pipe. See child.h for what belongs here. */
#include "collector/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

/* All signals as a program expects them: the agent blocks and ignores some. Returns an errno. */
static int
spawn(char *const argv[], int output, pid_t *pid)
{
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	sigset_t none, all;

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
	/* libcurl's sockets are not close-on-exec. */
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	int error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return error;
}

int
child_start(char *const argv[], pid_t *pid)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	int error = spawn(argv, ends[1], pid);
	close(ends[1]);
	if (error) {
		close(ends[0]);
		errno = error;
		return -1;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	return ends[0];
}

int
child_fork(const char *name, void (*work)(int fd, const void *arg), const void *arg, pid_t *pid)
{
	int ends[2];
	sigset_t none;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	*pid = fork();
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		if (dup2(ends[1], STDIN_FILENO) < 0)
			_exit(1);
		close_range(STDIN_FILENO + 1, ~0U, 0);
		work(STDIN_FILENO, arg);
		_exit(0);
	}
	int error = errno;
	close(ends[1]);
	if (*pid < 0) {
		close(ends[0]);
		errno = error;
		return -1;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	return ends[0];
}
