/*
 * child.h: starting a program, or a part of this one, whose output is read by the loop.
 *
 * Belongs here: the start. Does not belong here: reading, deadlines. Nobody waits for children: the agent ignores SIGCHLD.
 */
#ifndef OBSERV_COLLECTOR_CHILD_H
#define OBSERV_COLLECTOR_CHILD_H

#include <sys/types.h>

/* Starts argv[0], looked for in PATH. Returns the end of its standard output, not blocking; -1 with errno. The rest of its output is lost. */
int child_start(char *const argv[], pid_t *pid);

/*
 * Starts a copy of this process that calls `work` and ends: for what may take long. It has nothing of the agent's open, and ends with
 * it; `work` writes its answer to `fd`. Returns the other end, not blocking; -1 with errno.
 */
int child_fork(const char *name, void (*work)(int fd, const void *arg), const void *arg, pid_t *pid);

#endif
