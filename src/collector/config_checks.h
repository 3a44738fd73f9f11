/* config_checks.h: the items of `health_checks`: which keys a check has, by the kind of its target. */
#ifndef OBSERV_COLLECTOR_CONFIG_CHECKS_H
#define OBSERV_COLLECTOR_CONFIG_CHECKS_H

#include "collector/config_reader.h"

extern const struct config_items config_checks;

#endif
