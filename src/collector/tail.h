/*
 * tail.h: the source that follows log files.
 *
 * Its parts, each one file: tail.c (the source: whose turn it is), tail_find.c (which files the patterns mean), tail_adopt.c (where
 * in a file that was not followed before it begins), tail_read.c (bytes to lines to records), tail_group.c (records into the spool), tail_file.c (one file's descriptor and
 * contents), tail_watch.c (inotify, a hint only), tail_remote.c (files that may hang: through the helper process).
 */
#ifndef OBSERV_COLLECTOR_TAIL_H
#define OBSERV_COLLECTOR_TAIL_H

#include "collector/source.h"

extern const struct source_ops tail_source;

#endif
