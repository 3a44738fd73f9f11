/* spool_gap.c: An event for what is missing, so that nothing is missing silently. See spool_parts.h for what belongs here. */
#include "common/clock.h"
#include "collector/spool_parts.h"
#include "collector/waiting.h"

#define SAY_EACH_MS 60000

void
spool_lose(struct spool *s, const struct loss *l)
{
	if (!loss_is_any(l))
		return;
	loss_add(&s->loss, l);
	loss_add_new(&s->ever, l);
	if (s->loss_ms == NEVER)
		s->loss_ms = s->said_ms == 0 ? 0 : s->said_ms + SAY_EACH_MS;
}

void
spool_lose_segment(struct spool *s, const struct segment *seg, enum loss_reason reason)
{
	struct loss l = {.reasons = reason};

	for (int rank = 0; rank < RANKS; rank++)
		l.records[rank] = seg->records[rank];
	spool_lose(s, &l);
}

void
spool_say_loss(struct spool *s, int64_t now_ms)
{
	struct strbuf message = STRBUF_INIT, data = STRBUF_INIT;
	struct loss said = s->loss;
	struct record r;
	int64_t now_us = clock_us(CLOCK_REALTIME);

	s->loss_ms = NEVER;
	if (!loss_is_any(&said))
		return;
	/* Two events of one kind in one microsecond are one row in the database. */
	s->said_us = now_us > s->said_us ? now_us : s->said_us + 1;
	s->said_ms = now_ms;
	loss_message(&said, &message);
	loss_json(&said, &data);
	record_init(&r, RECORD_EVENT, RANK_KEEP, s->said_us);
	record_set(&r, EVENT_KIND, LOSS_EVENT);
	record_set(&r, EVENT_MESSAGE, message.data);
	record_set(&r, EVENT_SUCCESS, "f");
	record_set(&r, EVENT_DATA, data.data);
	/* What has to go to make room for it belongs to the next one. */
	s->loss = (struct loss){0};
	if (message.failed || data.failed) {
		loss_add(&s->loss, &said);
		s->loss_ms = now_ms + SAY_EACH_MS;
	} else if (spool_add(s, &r,
						 SPOOL_SOON)) /* where it is refused what it says is lost again, and told later */
		log_line(LOG_LEVEL_WARNING, "spool: %s", message.data);
	strbuf_free(&message);
	strbuf_free(&data);
}
