/* health.h: the source `health`: checks of HTTP, TCP, PostgreSQL, Redis and systemd targets. Interface: source.h. */
#ifndef OBSERV_COLLECTOR_HEALTH_H
#define OBSERV_COLLECTOR_HEALTH_H

#include "collector/source.h"

extern const struct source_ops health_source;

#endif
