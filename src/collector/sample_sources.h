/* sample_sources.h: the sources of labelled metrics and of peers, for the table in sources.c. */
#ifndef OBSERV_COLLECTOR_SAMPLE_SOURCES_H
#define OBSERV_COLLECTOR_SAMPLE_SOURCES_H

#include "collector/source.h"

extern const struct source_ops scrape_source;     /* Prometheus exporters */
extern const struct source_ops statsd_source;     /* what applications send */
extern const struct source_ops containers_source; /* cgroups: containers and services */
extern const struct source_ops disks_source;      /* filesystems, one by one */
extern const struct source_ops interfaces_source; /* network interfaces, one by one */
extern const struct source_ops units_source;      /* systemd */
extern const struct source_ops peers_source;      /* other ends of TCP connections */

#endif
