/*
 * helper_desk.h: one helper process for every part of the agent that has something to ask of it.
 *
 * Belongs here: whose turn it is, and what becomes of a helper that hangs. Does not belong here: the helper's socket (helper.h),
 * what is asked (helper_process.h).
 *
 * Questions are asked one after the other. A helper that has been silent for 2 s while others wait is set aside with its question,
 * and another one goes on: at most DESK_STUCK_MAX are set aside, after that everybody waits. The one that was set aside ends
 * once it has answered; until then its question isn't asked again.
 */
#ifndef OBSERV_COLLECTOR_HELPER_DESK_H
#define OBSERV_COLLECTOR_HELPER_DESK_H

#include "collector/helper.h"
#include "collector/waiting.h"

#define DESK_STUCK_MAX  3
#define DESK_SILENCE_MS 2000

/* A question: part of whoever asks, zeroed before its first use. The four above the line are filled in by the asker. */
struct desk_ask {
	enum helper_question question;
	const char *argument; /* must stay as it is while `waiting` */
	/* Called from desk_run(). `error` is 0, an errno, or EPIPE when helpers died of it. May put the next question. */
	void (*answered)(void *into, const char *answer, size_t len, int error, int64_t now_ms);
	void *into;
	/* --- */
	bool waiting;     /* put, and not answered yet */
	bool asked;       /* the helper has it */
	int64_t since_ms; /* when it was put */
	int tries;
	struct desk_ask *next;
};

struct helper_desk {
	struct helper helper;
	struct desk_ask *first; /* whose turn it is; with the helper when `first->asked` */
	int64_t retry_ms;
	struct {
		struct helper helper;
		struct desk_ask *ask; /* NULL: its asker is gone */
		bool used;
	} stuck[DESK_STUCK_MAX];
};

/* Starts the helper. Call early: what it shares with the agent is free. `proc_root` as in helper_start(). */
void desk_start(struct helper_desk *d, const char *proc_root);

/* Gets in line; nothing happens when the question waits already. */
void desk_put(struct helper_desk *d, struct desk_ask *ask, int64_t now_ms);

/* The asker goes away: whatever is answered, it is not called. */
void desk_forget(struct helper_desk *d, struct desk_ask *ask);

/* Takes answers, asks on. */
void desk_run(struct helper_desk *d, const struct waiting *w, int64_t now_ms);
void desk_wait(const struct helper_desk *d, struct waiting *w);

/* For programs that have nothing else to do: puts the question and waits for its answer. False when there was none in time. */
bool desk_await(struct helper_desk *d, struct desk_ask *ask, int64_t deadline_ms);

/* Helpers that have been silent for 2 s. */
int desk_stuck(const struct helper_desk *d, int64_t now_ms);

#endif
