/*
 * tail_remote.h: log files on filesystems that may hang: found and read through the helper process, one question at a time.
 *
 * The files of the machine itself are never touched by it, and wait for nothing here.
 */
#ifndef OBSERV_COLLECTOR_TAIL_REMOTE_H
#define OBSERV_COLLECTOR_TAIL_REMOTE_H

#include "collector/helper_desk.h"
#include "collector/log.h"
#include "collector/tail_stat.h"
#include "common/strbuf.h"

struct tail;

#define TAIL_REMOTE_LINE_MAX 24000 /* a piece must hold a whole line */

/* A file that was listed, and is new: where it begins must be read first. */
struct tail_arrival {
	char *path;
	struct tail_stat stat;
	int source;
	bool rotated;
};

struct tail_remote {
	struct desk_ask ask;
	char argument[500];
	int source;       /* ASK_LOG_LIST: the pattern */
	bool for_arrival; /* ASK_LOG_READ: for arrival[0], else for the file of these numbers: */
	uint64_t dev, ino;
	struct tail_arrival *arrival;
	int arrivals;
	int64_t
		listed_us; /* the wall clock when the list before this one came: what is rotated and newer than that is news */
	struct problem hangs, odd;
};

/* Puts the next question when none is under way. */
void tail_remote_run(struct tail *t);
/* The pattern meant a file that is not followed yet. */
void tail_remote_arrived(struct tail *t, int source, const char *path, const struct tail_stat *st,
						 bool rotated);
/* Forgets what was asked and listed: patterns have other numbers now, or none. */
void tail_remote_forget(struct tail *t);
void tail_remote_describe(const struct tail *t, struct strbuf *out);

#endif
