/* Which databases exist, read by a process that has no database itself. */
#ifndef OBSERV_BGWORKER_DATABASES_H
#define OBSERV_BGWORKER_DATABASES_H

#include "nodes/pg_list.h"

typedef struct ObservDatabase {
	Oid oid;
	char name[NAMEDATALEN];
} ObservDatabase;

/*
 * Databases that a scheduler may connect to, as ObservDatabase in the current context: not templates, not closed to
 * connections, not half dropped. Needs a transaction.
 */
extern List *observ_databases_connectable(void);

/* The database of that name in such a list, NULL when it is not there. */
extern const ObservDatabase *observ_database_by_name(const List *databases, const char *name);
extern const ObservDatabase *observ_database_by_oid(const List *databases, Oid oid);

/*
 * Whether nobody is dropping, renaming, moving or copying the database just now: a worker that is started there would wait
 * for that command, and find its database gone. Needs a transaction; takes no lock that outlives the call.
 */
extern bool observ_database_is_free(Oid database);

#endif
