/* Whether observ may act by itself in this database: armed, paused, or a copy that nobody has resumed yet. */
#ifndef OBSERV_EXT_ARMING_H
#define OBSERV_EXT_ARMING_H

typedef enum ObservArming {
	OBSERV_ARMED,
	OBSERV_PAUSED, /* by observ.pause() */
	OBSERV_COPY, /* the setting names another cluster or database, or there is none: a restored or cloned copy */
	OBSERV_DISABLED /* observ.enabled is off in this cluster */
} ObservArming;

/*
 * State of the current database, read from the shared catalog and not from this session's settings, which may be old.
 * *reason gets a sentence for people (a constant). Needs a transaction.
 */
extern ObservArming observ_arming(const char **reason);

/* Whether a value of the per-database setting observ.armed arms that database of this cluster. */
extern bool observ_armed_value_matches(const char *value, Oid database);

/* Raises 55000 with a hint unless the database is armed. */
extern void observ_require_armed(void);

/* ALTER DATABASE … SET observ.armed for the current database; wakes the workers when the transaction commits. */
extern void observ_arm(void);

/* Takes that setting away: what is in the database now is a copy, whatever was armed here before. */
extern void observ_disarm(void);

#endif
