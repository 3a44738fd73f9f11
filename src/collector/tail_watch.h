/*
 * tail_watch.h: inotify as a hint that it is worth looking now. Nothing depends on it: queues overflow, network filesystems say nothing.
 *
 * Watches are for one event: a file that is written a thousand times between two looks wakes the agent once.
 */
#ifndef OBSERV_COLLECTOR_TAIL_WATCH_H
#define OBSERV_COLLECTOR_TAIL_WATCH_H

struct tail_watch {
	int fd; /* -1: none */
};

void tail_watch_open(struct tail_watch *w);
void tail_watch_close(struct tail_watch *w);

/* The next write to the open file / the next file that comes into the directory. Returns a number, -1: no watch. */
int tail_watch_file(struct tail_watch *w, int fd);
int tail_watch_directory(struct tail_watch *w, const char *path);
void tail_watch_forget(struct tail_watch *w, int watch);

/* Calls `event` with the number of each watch that has something to say; -1: some were lost. */
void tail_watch_read(struct tail_watch *w, void (*event)(void *into, int watch), void *into);

#endif
