/*
 * child.h: starting a program whose output is read by the loop.
 *
 * Belongs here: the start. Does not belong here: reading, deadlines. Nobody waits for children: the agent ignores SIGCHLD.
 */
#ifndef OBSERV_COLLECTOR_CHILD_H
#define OBSERV_COLLECTOR_CHILD_H

#include <sys/types.h>

/* Starts argv[0], looked for in PATH. Returns the end of its standard output, not blocking; -1 with errno. The rest of its output is lost. */
int child_start(char *const argv[], pid_t *pid);

#endif
