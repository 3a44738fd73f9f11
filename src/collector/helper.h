/*
 * helper.h: the small process that touches whatever may hang, so that the agent itself never does.
 *
 * Belongs here: starting it, asking, being answered. One question is under way at a time; a helper that is stuck in the
 * kernel can't be killed and isn't waited for: its answer is taken when it comes.
 * Does not belong here: what the helper does (helper_process.h).
 */
#ifndef OBSERV_COLLECTOR_HELPER_H
#define OBSERV_COLLECTOR_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What can be asked. */
enum helper_question {
	ASK_FILESYSTEM, /* statvfs() of a path, answered by a struct fs_numbers, or an errno */
	ASK_TOPOLOGY,   /* a scan of sysfs, answered by text for choose_topology() */
	ASK_LOG_LIST,   /* log files that a pattern means, see tail_stat.h */
	ASK_LOG_READ,   /* a piece of a log file, see tail_stat.h */
};

#define HELPER_ANSWER_MAX 32768

struct helper {
	int fd; /* -1: not running */
	pid_t pid;
	const char *proc_root; /* NULL: the machine itself */
	bool busy;
	uint32_t id;
	enum helper_question question;
	int64_t asked_ms;
};

/* Starts the process. False (errno set) when that is not possible. Call early: what it shares with the agent is free. */
bool helper_start(struct helper *h, const char *proc_root);

/* False when it is busy or gone; a helper that is gone is started again. */
bool helper_ask(struct helper *h, enum helper_question question, const char *argument, int64_t now_ms);

enum helper_event {
	HELPER_NOTHING,
	HELPER_ANSWER, /* of the question in h->question; *error is 0 or an errno */
	HELPER_DIED,
};

/* To be called when h->fd is readable. `answer` holds *len bytes. */
enum helper_event helper_receive(struct helper *h, char *answer, size_t size, size_t *len, int *error);

/* Ends it without waiting: it sees the end of its socket as soon as it can. */
void helper_stop(struct helper *h);

#endif
