/*
 * env_file.h: files of NAME=VALUE lines, as systemd (EnvironmentFile=) and docker (--env-file) read them.
 *
 * Belongs here: what a line says. Does not belong here: reading files, what names mean.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ENV_FILE_H
#define OBSERV_CORE_ENV_FILE_H

#include <stddef.h>

#include "core/slice.h"

struct env_file {
	struct slice rest;
	int line; /* of what was read last, from 1 */
};

enum env_line {
	ENV_END,
	ENV_VARIABLE,
	ENV_NO_NAME, /* not NAME=VALUE */
	ENV_NO_QUOTE /* "VALUE, or something behind the second quote */
};

/* A byte order mark is passed over. */
void env_file_begin(struct env_file *file, struct slice text);

/*
 * The next variable; empty lines and comments (# or ; at the beginning) are passed over, so is `export` before a name. The name is part of the text. The
 * value is written to `out`, which has room for `size` bytes and must hold any line (size > its length); it is terminated.
 *
 * A value in "double quotes" is without them, and in it \ before " \ $ ` stands for that character; in 'single quotes' nothing is special. Without quotes
 * it is all up to the end of the line but blanks around it, # and \ included. After ENV_NO_… the next line can be read.
 */
enum env_line env_file_next(struct env_file *file, struct slice *name, char *out, size_t size);

#endif
