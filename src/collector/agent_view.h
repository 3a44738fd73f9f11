/*
 * agent_view.h: the agent as seen by those parts that report about it.
 *
 * Belongs here: what they may look at. Does not belong here: anything they may change, but the hints.
 */
#ifndef OBSERV_COLLECTOR_AGENT_VIEW_H
#define OBSERV_COLLECTOR_AGENT_VIEW_H

#include "collector/source.h"
#include "collector/writer.h"

struct agent_view {
	const struct source_env *env;
	const struct writer *writer;
	void *const *source; /* by the index of sources[] */
	int64_t started_us;  /* real time */
	const char *agent_id;
	char boot_id[40]; /* "": not known */
};

#endif
