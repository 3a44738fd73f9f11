/* tail_watch.c: inotify(7), one event per watch. See tail_watch.h for what belongs here. */
#include "collector/tail_watch.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

void
tail_watch_open(struct tail_watch *w)
{
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

void
tail_watch_close(struct tail_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

int
tail_watch_file(struct tail_watch *w, int fd)
{
	char path[40];

	/* By descriptor: its path may lead to another file by now. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return w->fd < 0 ? -1 : inotify_add_watch(w->fd, path, IN_MODIFY | IN_ONESHOT);
}

int
tail_watch_directory(struct tail_watch *w, const char *path)
{
	return w->fd < 0 ? -1
					 : inotify_add_watch(w->fd, path,
										 IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONESHOT |
											 IN_ONLYDIR);
}

void
tail_watch_forget(struct tail_watch *w, int watch)
{
	if (w->fd >= 0 && watch >= 0)
		inotify_rm_watch(w->fd, watch);
}

void
tail_watch_read(struct tail_watch *w, void (*event)(void *into, int watch), void *into)
{
	char buffer[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t got;

	/* A bounded number of reads: what is left makes the descriptor ready again. */
	for (int i = 0; i < 8 && w->fd >= 0 && (got = read(w->fd, buffer, sizeof buffer)) > 0; i++)
		for (char *at = buffer; at < buffer + got;) {
			const struct inotify_event *e = (const struct inotify_event *) at;
			if (e->mask & IN_Q_OVERFLOW)
				event(into, -1);
			else if (!(e->mask & IN_IGNORED))
				event(into, e->wd);
			at += sizeof *e + e->len;
		}
}
