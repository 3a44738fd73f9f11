/*
 * helper_logs.h: inside the helper: log files that may hang, on network filesystems. What is asked and answered: tail_stat.h.
 */
#ifndef OBSERV_COLLECTOR_HELPER_LOGS_H
#define OBSERV_COLLECTOR_HELPER_LOGS_H

#include <stddef.h>

#include "common/strbuf.h"

/* Each is 0 or an errno, and at most `max` bytes in `out`; a list that is longer is cut, and says so. */
int helper_list_logs(const char *pattern, struct strbuf *out, size_t max);
int helper_read_log(const char *argument, struct strbuf *out, size_t max);

#endif
