/* self_doubt.c: See self_doubt.h for what belongs here. */
#include "core/self_doubt.h"

enum doubt_verdict
doubt_judge(const struct doubt_round *round, bool *doubting)
{
	int done = round->answered + round->lost, all = done + round->pending;

	if (all >= DOUBT_MIN_CHECKS && round->answered * 100 > all * (100 - DOUBT_PERCENT))
		*doubting = false; /* whatever comes of the rest */
	else if (!round->over && round->pending > 0)
		return DOUBT_UNDECIDED;
	else if (done >= DOUBT_MIN_CHECKS)
		*doubting = round->lost * 100 >= done * DOUBT_PERCENT;
	else if (round->recovered)
		*doubting = false;
	return *doubting ? DOUBT_INCONCLUSIVE : DOUBT_CONCLUSIVE;
}
