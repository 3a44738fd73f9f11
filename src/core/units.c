/* units.c: Lines of systemctl. See units.h for what belongs here. */
#include "core/units.h"

#include "core/procfs.h"

const char *const unit_state_names[UNIT_STATES] = {
	[UNIT_ACTIVE] = "active", [UNIT_RELOADING] = "reloading",   [UNIT_INACTIVE] = "inactive",
	[UNIT_FAILED] = "failed", [UNIT_ACTIVATING] = "activating", [UNIT_DEACTIVATING] = "deactivating",
};

enum unit_state
unit_state(struct slice word)
{
	int state = 0;

	while (state < UNIT_STATES && !slice_equals(word, unit_state_names[state]))
		state++;
	return (enum unit_state) state;
}

bool
next_unit(struct slice *text, struct unit_line *out)
{
	struct slice line;

	while (slice_line(text, &line)) {
		if (!slice_word(&line, &out->name))
			continue;
		/* Names have a dot; a bullet, which --plain should have left out, has none. */
		if (memchr(out->name.p, '.', (size_t) (out->name.end - out->name.p)) == NULL &&
			!slice_word(&line, &out->name))
			continue;
		if (slice_word(&line, &out->load) && slice_word(&line, &out->active) &&
			slice_word(&line, &out->sub) && unit_state(out->active) != UNIT_STATES)
			return true;
	}
	return false;
}

bool
next_unit_properties(struct slice *text, struct unit_properties *out)
{
	struct slice line;
	bool any = false;

	*out = (struct unit_properties){{"", ""}, {"", ""}, UNKNOWN};
	out->id.end = out->id.p;
	out->file_state.end = out->file_state.p;
	while (slice_line(text, &line)) {
		if (line.p == line.end) {
			if (any)
				return true;
			continue;
		}
		const char *equals = memchr(line.p, '=', (size_t) (line.end - line.p));
		if (!equals)
			continue;
		struct slice key = {line.p, equals}, value = {equals + 1, line.end};
		any = true;
		if (slice_equals(key, "Id"))
			out->id = value;
		else if (slice_equals(key, "UnitFileState"))
			out->file_state = value;
		else if (slice_equals(key, "NRestarts"))
			slice_to_i64(value, &out->restarts);
	}
	return any;
}
