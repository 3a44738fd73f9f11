/*
 * state_dir.h: where the agent keeps what outlives it.
 *
 * Belongs here: names, replacing a file as a whole. Does not belong here: what is in the files.
 */
#ifndef OBSERV_COLLECTOR_STATE_DIR_H
#define OBSERV_COLLECTOR_STATE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "collector/options.h"
#include "common/strbuf.h"

#define STATE_PATH_MAX 900

/* --state-dir, else systemd's $STATE_DIRECTORY, else /var/lib/obs-agent/APP. */
void state_dir_name(const struct options *o, char *out, size_t size);

/* Makes it where that is possible; whoever writes there finds out. */
void state_dir_make(const struct options *o);

/* DIR/WHAT-VPS: by VPS, so that several in one directory (a renamed machine, a test of a fleet) are several agents. */
void state_dir_file(const struct options *o, const char *what, char *out, size_t size);

/*
 * Replaces a file as a whole, by a new one beside it, without waiting for the disk: after a power failure it may be empty or gone. False
 * when that failed, or memory ran out for `text`; the file is as it was then.
 */
bool state_file_replace(const char *path, const struct strbuf *text, mode_t mode);

#endif
