/*
 * The only place where PG_VERSION_NUM is tested. observ is built and tested on PostgreSQL 15; another version is
 * claimed only when it is tested, and what it needs then becomes an inline wrapper here.
 */
#ifndef OBSERV_EXT_COMPAT_H
#define OBSERV_EXT_COMPAT_H

#include "fmgr.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "observ is built and tested with PostgreSQL 15 only"
#endif

/* We compile with -fvisibility=hidden; PostgreSQL 15 leaves PGDLLEXPORT empty outside Windows (16 no longer does). */
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

/* Declares and exports a function that SQL calls. */
#define OBSERV_SQL_FUNCTION(name)                                                                            \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                                         \
	PG_FUNCTION_INFO_V1(name)

#endif
