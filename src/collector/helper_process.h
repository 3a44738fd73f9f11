/*
 * helper_process.h: inside the helper: statvfs() and sysfs, one request after the other, until the agent is gone.
 *
 * Belongs here: system calls that can hang. Does not belong here: decisions about what they return (core).
 */
#ifndef OBSERV_COLLECTOR_HELPER_PROCESS_H
#define OBSERV_COLLECTOR_HELPER_PROCESS_H

#include <stdint.h>

#include "common/strbuf.h"

struct helper_request {
	uint32_t id;
	uint32_t question; /* enum helper_question */
	char argument[512];
};

struct helper_reply {
	uint32_t id;
	int32_t error; /* errno, 0: an answer follows */
};

/* Serves requests from `fd`. Never returns. `proc_root` as in helper_start(). */
void helper_main(int fd, const char *proc_root) __attribute__((noreturn));

/* Writes a line for each network interface and block device under DIR/class/net and DIR/block. */
void scan_sysfs(const char *dir, struct strbuf *out);

#endif
