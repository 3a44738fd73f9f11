/*
 * self_doubt.h: when nearly all checks fail at once, the fault is probably here and not there.
 *
 * Belongs here: the decision. Does not belong here: what a check is, waiting for the others, rows.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_SELF_DOUBT_H
#define OBSERV_CORE_SELF_DOUBT_H

#include <stdbool.h>

#define DOUBT_MIN_CHECKS 3
#define DOUBT_PERCENT    80

/* One round: checks that run at about the same time. */
struct doubt_round {
	int answered;   /* got an answer, good or bad: the network is there */
	int lost;       /* got none */
	int pending;    /* have begun, or will in a moment */
	bool over;      /* nobody else is waited for */
	bool recovered; /* one of those that answered had been doubted before */
};

enum doubt_verdict { DOUBT_UNDECIDED, DOUBT_CONCLUSIVE, DOUBT_INCONCLUSIVE };

/*
 * What the lost ones of a round say. `*doubting` is whether the agent doubts itself, kept from round to round; it is changed
 * by a verdict alone. A round of fewer than three checks begins no doubt, and ends it only when somebody recovered.
 */
enum doubt_verdict doubt_judge(const struct doubt_round *round, bool *doubting);

#endif
