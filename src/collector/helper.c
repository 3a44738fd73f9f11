/* helper.c: The agent's end of the helper's socket. See helper.h for what belongs here. */
#include "collector/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collector/helper_process.h"

static void
become_helper(int fd, const char *proc_root)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "obs-agent-help");
	/* A signal to the whole group ends the agent, which ends the helper: else every stop would look like a crash. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Nothing of the agent's stays open here: not its database, not its lock. */
	if (dup2(fd, STDIN_FILENO) < 0)
		_exit(1);
	close_range(STDIN_FILENO + 1, ~0U, 0);
	helper_main(STDIN_FILENO, proc_root);
}

bool
helper_start(struct helper *h, const char *proc_root)
{
	int pair[2];

	h->proc_root = proc_root;
	h->busy = false;
	h->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	h->pid = fork();
	if (h->pid == 0)
		become_helper(pair[1], proc_root);
	int error = errno;
	close(pair[1]);
	if (h->pid < 0) {
		close(pair[0]);
		errno = error;
		return false;
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	h->fd = pair[0];
	return true;
}

bool
helper_ask(struct helper *h, enum helper_question question, const char *argument, int64_t now_ms)
{
	struct helper_request request = {.id = h->id + 1, .question = question};

	if (h->busy || (h->fd < 0 && !helper_start(h, h->proc_root)))
		return false;
	snprintf(request.argument, sizeof request.argument, "%s", argument);
	size_t len = offsetof(struct helper_request, argument) + strlen(request.argument) + 1;
	if (send(h->fd, &request, len, MSG_NOSIGNAL) < 0)
		return false; /* its end is seen by helper_receive() */
	h->id = request.id;
	h->busy = true;
	h->question = question;
	h->asked_ms = now_ms;
	return true;
}

enum helper_event
helper_receive(struct helper *h, char *answer, size_t size, size_t *len, int *error)
{
	struct helper_reply reply;
	struct iovec parts[] = {{&reply, sizeof reply}, {answer, size}};
	ssize_t got = readv(h->fd, parts, 2);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return HELPER_NOTHING;
	if (got < (ssize_t) sizeof reply) {
		helper_stop(h);
		return HELPER_DIED;
	}
	if (!h->busy || reply.id != h->id)
		return HELPER_NOTHING;
	h->busy = false;
	*error = reply.error;
	*len = (size_t) got - sizeof reply;
	return HELPER_ANSWER;
}

void
helper_stop(struct helper *h)
{
	if (h->fd < 0)
		return;
	close(h->fd);
	h->fd = -1;
	h->busy = false;
}
