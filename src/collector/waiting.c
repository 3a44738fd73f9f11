/* waiting.c: A list of descriptors and one deadline. See waiting.h for what belongs here. */
#include "collector/waiting.h"

#include <errno.h>
#include <limits.h>

void
waiting_clear(struct waiting *w)
{
	w->count = 0;
	w->wake_ms = NEVER;
}

void
waiting_fd(struct waiting *w, int fd, short events)
{
	if (fd >= 0 && w->count < WAITING_MAX)
		w->fd[w->count++] = (struct pollfd){fd, events, 0};
}

void
waiting_until(struct waiting *w, int64_t wake_ms)
{
	if (wake_ms < w->wake_ms)
		w->wake_ms = wake_ms;
}

bool
waiting_poll(struct waiting *w, int64_t now_ms)
{
	int64_t wait = w->wake_ms <= now_ms ? 0 : w->wake_ms - now_ms;

	if (poll(w->fd, (nfds_t) w->count, wait > INT_MAX ? INT_MAX : (int) wait) >= 0)
		return true;
	for (int i = 0; i < w->count; i++)
		w->fd[i].revents = 0;
	return errno == EINTR;
}

bool
waiting_ready(const struct waiting *w, int fd)
{
	for (int i = 0; fd >= 0 && i < w->count; i++)
		if (w->fd[i].fd == fd && w->fd[i].revents != 0)
			return true;
	return false;
}
