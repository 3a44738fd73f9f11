/* The guard that library, SQL objects and table layout belong together. */
#ifndef OBSERV_EXT_VERSIONS_H
#define OBSERV_EXT_VERSIONS_H

#define OBSERV_LIBRARY_VERSION "1.0" /* what `SELECT observ.version()` says */
#define OBSERV_SQL_VERSION     "1.0" /* the extension version whose SQL objects this library serves */
#define OBSERV_LAYOUT_VERSION  1     /* the table layout that this library reads and writes */

/* Oid of extension observ in this database, InvalidOid when it is not installed. Needs a transaction. */
extern Oid observ_extension_oid(void);

/* extversion of extension observ, NULL when it is not installed. */
extern char *observ_sql_version(void);

/* What observ.layout_version says, negative when the table is missing or empty. */
extern int observ_layout_version(void);

/*
 * NULL when library, SQL and layout belong together, else one sentence for a person (palloc'd).
 * *hint receives what to do then. Needs a transaction and an active snapshot; the extension must exist.
 */
extern char *observ_versions_mismatch(char **hint);

/* Raises the one clear error (55000) unless all three belong together. Cheap: looks once per transaction. */
extern void observ_require_versions(void);

#endif
