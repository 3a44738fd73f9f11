/*
 * _PG_init: the one entry of observ.so. Defines the parameters, installs the hooks and, at server start, registers the launcher.
 * What does not belong here: the processes themselves.
 */
#include "postgres.h"

#include "bgworker/hooks.h"
#include "bgworker/launcher.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/processes.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	BackgroundWorker launcher;

	observ_gucs_init();
	observ_utility_hook_install();
	observ_drop_hook_install();
	observ_preloaded = process_shared_preload_libraries_in_progress;
	if (!observ_preloaded || IsBinaryUpgrade)
		return;
	observ_launcher_describe(&launcher, false);
	RegisterBackgroundWorker(&launcher);
}
