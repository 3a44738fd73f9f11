/* Waiting for the latch, for the end of the server and for libcurl in one system call. */
#ifndef OBSERV_BGWORKER_NOTIFIER_WAIT_H
#define OBSERV_BGWORKER_NOTIFIER_WAIT_H

#include "bgworker/worker.h"

/*
 * observ_worker_wait(), ended also when `fd` can be read; -1: none. The descriptor must stay the same from the first call with one to the last.
 */
extern bool observ_notifier_wait(int64 deadline, int fd);

#endif
