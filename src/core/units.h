/*
 * units.h: what systemctl prints about units.
 *
 * Belongs here: its lines. Does not belong here: running it (collector/units.c). NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_UNITS_H
#define OBSERV_CORE_UNITS_H

#include "core/slice.h"

/* A line of `systemctl list-units --plain --no-legend`. */
struct unit_line {
	struct slice name, load, active, sub;
};

/* Takes the next unit off `text`; false at the end. Lines that are none are passed over. */
bool next_unit(struct slice *text, struct unit_line *out);

/* States of a unit as a whole, in systemd's words. */
enum unit_state {
	UNIT_ACTIVE,
	UNIT_RELOADING,
	UNIT_INACTIVE,
	UNIT_FAILED,
	UNIT_ACTIVATING,
	UNIT_DEACTIVATING,
	UNIT_STATES
};
extern const char *const unit_state_names[UNIT_STATES];

/* UNIT_STATES for a word that is none of them. */
enum unit_state unit_state(struct slice word);

/* A block of `systemctl show --property=Id,UnitFileState,NRestarts`, several of which are separated by empty lines. */
struct unit_properties {
	struct slice id, file_state; /* empty: not said */
	int64_t restarts;            /* UNKNOWN (-1): not said */
};

/* Takes the next block off `text`; false at the end. */
bool next_unit_properties(struct slice *text, struct unit_properties *out);

#endif
