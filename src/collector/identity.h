/*
 * identity.h: who this agent is for the database: a UUID that stays the same over restarts.
 */
#ifndef OBSERV_COLLECTOR_IDENTITY_H
#define OBSERV_COLLECTOR_IDENTITY_H

#include <stdbool.h>

#include "collector/options.h"

#define AGENT_ID_SIZE 37

/*
 * Reads the identity from DIR/agent_id-VPS, or makes one and keeps it there. Where that can't be written, the identity follows
 * from the machine-id and the two names. A file that came from another machine (by its machine-id) is replaced, and that is said. False when another agent that runs has this identity (said on standard error). The file stays locked while the agent lives.
 */
bool identity_load(const struct options *o, char id[AGENT_ID_SIZE]);

#endif
