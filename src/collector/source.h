/*
 * source.h: what every part of the agent that produces records looks like to the loop.
 *
 * Belongs here: the interface, and what a source is given. Does not belong here: any source (one file or more each), the loop (agent.c).
 * A source never waits: it adds descriptors and a deadline, and goes on when one of them is ready or due.
 */
#ifndef OBSERV_COLLECTOR_SOURCE_H
#define OBSERV_COLLECTOR_SOURCE_H

#include "collector/config.h"
#include "collector/helper_desk.h"
#include "collector/options.h"
#include "collector/samples.h"
#include "collector/spool.h"
#include "collector/waiting.h"

/* What parts of the agent tell each other beside records. Moments are monotonic ms; 0: never. */
struct source_hints {
	int64_t boost_until_ms;  /* the database asks for frequent samples until then; set by the loop */
	int64_t check_failed_ms; /* when a health check failed last; set by whoever runs them */
	bool spool_filling;      /* more than a quarter of the spool is in use; set by the loop */
	int64_t
		cycle_cpu_us_max; /* what the dearest sample of the machine has cost; whoever reports it sets it to 0 */
};

/* What a source may use. Lives as long as the agent; `config` is replaced by a reload. */
struct source_env {
	const struct options *options;
	const struct config *config;
	struct spool *spool;
	struct helper_desk *desk; /* where questions are put that may hang */
	struct source_hints *hints;
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

	/* Adds metrics of its own about itself, each minute: names observ_agent_*. NULL: none. */
	void (*measure)(const void *source, struct samples *s, int64_t now_ms);
};

/* Sources in the order in which they run; ends with NULL. The first is the machine: without it the agent ends. */
extern const struct source_ops *const sources[];

#endif
