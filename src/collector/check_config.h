/* check_config.h: --check-config: what the file says, as it was understood. */
#ifndef OBSERV_COLLECTOR_CHECK_CONFIG_H
#define OBSERV_COLLECTOR_CHECK_CONFIG_H

#include "collector/config.h"

/* Prints what will be done. Nothing that may hold a password is shown. Returns the exit code. */
int check_config_print(const struct config *c);

#endif
