/*
 * source.h: what every part of the agent that produces records looks like to the loop.
 *
 * Belongs here: the interface, and what a source is given. Does not belong here: any source (one file or more each), the loop (agent.c).
 * A source never waits: it adds descriptors and a deadline, and goes on when one of them is ready or due.
 */
#ifndef OBSERV_COLLECTOR_SOURCE_H
#define OBSERV_COLLECTOR_SOURCE_H

#include "collector/config.h"
#include "collector/options.h"
#include "collector/spool.h"
#include "collector/waiting.h"

/* What a source may use. Lives as long as the agent; `config` is replaced by a reload. */
struct source_env {
	const struct options *options;
	const struct config *config;
	struct spool *spool;
	bool database_known; /* the database has answered once: positions of log files are final */
};

struct source_ops {
	const char *name; /* in `obs-agent status` and `explain` */

	/* Makes the source for what is configured; NULL when there is nothing to do for it (not an error) or memory runs out (said). */
	void *(*start)(const struct source_env *env, int64_t now_ms);

	/* env->config was replaced. NULL: the source is stopped and started again. What goes on keeps its state. */
	void (*reload)(void *source, int64_t now_ms);

	/* Does whatever can be done without waiting, at most some 10 ms of it. `w` says what is ready. */
	void (*run)(void *source, const struct waiting *w, int64_t now_ms);

	/* What to wait for. */
	void (*wait)(const void *source, struct waiting *w);

	/* The agent ends: what there is goes to the spool, without waiting. Frees the source. */
	void (*stop)(void *source, int64_t now_ms);

	/* Lines for people, "key: value", about what it does and what is wrong; for the state file. NULL: nothing to say. */
	void (*describe)(const void *source, struct strbuf *out, int64_t now_ms);
};

/* Sources in the order in which they run; ends with NULL. */
extern const struct source_ops *const sources[];

#endif
