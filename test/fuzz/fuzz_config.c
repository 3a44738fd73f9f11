/* fuzz_config.c: any bytes as config.yml. Belongs here: feeding. Does not: expectations (test/e2e/test_agent_config.py). */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collector/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf errors = STRBUF_INIT;
	struct config config;
	char path[32];
	int fd = memfd_create("config", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t) size)
		return 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (config_load(path, "app", &config, &errors) != (errors.len == 0))
		__builtin_trap();
	config_free(&config);
	strbuf_free(&errors);
	close(fd);
	return 0;
}
