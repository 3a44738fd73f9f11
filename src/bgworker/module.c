/*
 * _PG_init: the one entry of observ.so. Defines the parameters and, at server start, registers what needs
 * shared_preload_libraries. What does not belong here: the processes themselves.
 */
#include "postgres.h"

#include "ext/compat.h"
#include "ext/gucs.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	observ_gucs_init();
}
