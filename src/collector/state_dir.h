/*
 * state_dir.h: where the agent keeps what outlives it.
 *
 * Belongs here: names. Does not belong here: what is in the files.
 */
#ifndef OBSERV_COLLECTOR_STATE_DIR_H
#define OBSERV_COLLECTOR_STATE_DIR_H

#include <stddef.h>

#include "collector/options.h"

#define STATE_PATH_MAX 900

/* --state-dir, else systemd's $STATE_DIRECTORY, else /var/lib/obs-agent/APP. */
void state_dir_name(const struct options *o, char *out, size_t size);

/* Makes it where that is possible; whoever writes there finds out. */
void state_dir_make(const struct options *o);

/* DIR/WHAT-VPS: by VPS, so that several in one directory (a renamed machine, a test of a fleet) are several agents. */
void state_dir_file(const struct options *o, const char *what, char *out, size_t size);

#endif
