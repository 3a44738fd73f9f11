/* sources.c: the list of sources, in the order in which they run. See source.h for what a source is. */
#include "collector/source.h"

#include "collector/health.h"
#include "collector/machine.h"
#include "collector/tail.h"
#include "collector/sample_sources.h"

/* clang-format off */
const struct source_ops *const sources[] = {
	&machine_source,
	&tail_source,
	&health_source,
	&disks_source,
	&interfaces_source,
	&containers_source,
	&units_source,
	&peers_source,
	&scrape_source,
	&statsd_source,
	NULL,
};
/* clang-format on */
