/* tail_group.c: Groups of records in the spool: lines with the position that they lead to, all of it or nothing. See tail_parts.h. */
#include "collector/tail_parts.h"

#include "common/clock.h"

void
tail_group_begin(struct tail *t)
{
	if (!t->group_open)
		spool_begin(t->env->spool);
	t->group_open = true;
}

void
tail_put_mark(struct tail *t, const char *key, const char *state)
{
	struct record r;

	tail_group_begin(t);
	record_init(&r, RECORD_POSITION, RANK_KEEP, clock_us(CLOCK_REALTIME));
	record_set(&r, POSITION_FILE, key);
	record_set(&r, POSITION_STATE, state);
	spool_put(t->env->spool, &r);
}

void
tail_put_position(struct tail *t, struct tail_file *f)
{
	static char state[TAIL_STATE_BYTES];
	struct tail_position p = f->at;
	char key[TAIL_KEY_BYTES];

	p.offset = f->safe.offset;
	p.mark = f->safe.mark;
	p.skipping = f->safe.skipping;
	p.seen_s = clock_us(CLOCK_REALTIME) / 1000000;
	tail_position_key(&p, key);
	if (!tail_position_write(&p, f->path, state, sizeof state))
		return;
	tail_put_mark(t, key, state);
	f->stored = p.offset;
}

void
tail_put_event(struct tail *t, const char *kind, const char *message, const char *data)
{
	struct record r;

	tail_group_begin(t);
	t->group_entries = true;
	record_init(&r, RECORD_EVENT, RANK_KEEP, clock_us(CLOCK_REALTIME));
	record_set(&r, EVENT_KIND, kind);
	record_set(&r, EVENT_MESSAGE, message);
	record_set(&r, EVENT_DATA, data);
	spool_put(t->env->spool, &r);
}

bool
tail_group_end(struct tail *t)
{
	bool entries = t->group_entries;

	if (!t->group_open)
		return true;
	t->group_open = t->group_entries = false;
	t->group_records = 0;
	t->group_bytes = 0;
	return spool_end(t->env->spool, entries ? SPOOL_SOON : SPOOL_LATER);
}
