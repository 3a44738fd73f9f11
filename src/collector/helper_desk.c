/* helper_desk.c: A queue of questions, and helpers that are set aside. See helper_desk.h for what belongs here. */
#include "collector/helper_desk.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "collector/log.h"

#define MAX_TRIES 2
#define RETRY_MS  1000 /* when no helper could be started */

void
desk_start(struct helper_desk *d, const char *proc_root)
{
	memset(d, 0, sizeof *d);
	helper_start(&d->helper, proc_root);
}

static void
append(struct helper_desk *d, struct desk_ask *ask)
{
	struct desk_ask **end = &d->first;

	while (*end)
		end = &(*end)->next;
	ask->next = NULL;
	ask->asked = false;
	*end = ask;
}

/* Asks the next question when the helper is free. */
static void
ask_on(struct helper_desk *d, int64_t now_ms)
{
	struct desk_ask *ask = d->first;

	if (!ask || ask->asked || d->helper.busy)
		return;
	ask->asked = helper_ask(&d->helper, ask->question, ask->argument, now_ms);
	ask->tries += ask->asked;
	d->retry_ms = now_ms + RETRY_MS;
}

void
desk_put(struct helper_desk *d, struct desk_ask *ask, int64_t now_ms)
{
	if (ask->waiting)
		return;
	ask->waiting = true;
	ask->since_ms = now_ms;
	ask->tries = 0;
	append(d, ask);
	ask_on(d, now_ms);
}

void
desk_forget(struct helper_desk *d, struct desk_ask *ask)
{
	struct desk_ask **at = &d->first;

	/* Without its question the helper's answer is nobody's: see finish(). */
	while (*at && *at != ask)
		at = &(*at)->next;
	if (*at)
		*at = ask->next;
	for (int i = 0; i < DESK_STUCK_MAX; i++)
		if (d->stuck[i].ask == ask)
			d->stuck[i].ask = NULL;
	ask->waiting = false;
	ask->asked = false;
}

static void
answer(struct desk_ask *ask, const char *text, size_t len, int error, int64_t now_ms)
{
	ask->waiting = false;
	ask->asked = false;
	ask->answered(ask->into, text, len, error, now_ms);
}

/* The question that the helper at the desk has, taken off the queue; NULL when its asker is gone. */
static struct desk_ask *
take_asked(struct helper_desk *d)
{
	struct desk_ask *ask = d->first && d->first->asked ? d->first : NULL;

	if (ask)
		d->first = ask->next;
	return ask;
}

/* What the helper at the desk has to say. */
static void
listen_to_desk(struct helper_desk *d, int64_t now_ms)
{
	static char text[HELPER_ANSWER_MAX] __attribute__((aligned(8)));
	struct desk_ask *ask;
	size_t len;
	int error;

	switch (helper_receive(&d->helper, text, sizeof text, &len, &error)) {
	case HELPER_ANSWER:
		if ((ask = take_asked(d)) != NULL)
			answer(ask, text, len, error, now_ms);
		break;
	case HELPER_DIED:
		log_line(LOG_LEVEL_WARNING, "the helper process has ended; it is started again");
		if ((ask = take_asked(d)) == NULL)
			break;
		if (ask->tries >= MAX_TRIES)
			answer(ask, NULL, 0, EPIPE, now_ms);
		else {
			ask->asked = false;
			ask->next = d->first;
			d->first = ask;
		}
		break;
	case HELPER_NOTHING:
		break;
	}
}

/* What a helper that was set aside has to say: it ends then, for another one has its place. */
static void
listen_to_stuck(struct helper_desk *d, int i, int64_t now_ms)
{
	static char text[HELPER_ANSWER_MAX] __attribute__((aligned(8)));
	struct desk_ask *ask = d->stuck[i].ask;
	size_t len = 0;
	int error = 0;

	enum helper_event event = helper_receive(&d->stuck[i].helper, text, sizeof text, &len, &error);
	if (event == HELPER_NOTHING)
		return;
	helper_stop(&d->stuck[i].helper);
	d->stuck[i].used = false;
	if (ask)
		answer(ask, text, len, event == HELPER_DIED ? EPIPE : error, now_ms);
}

static bool
is_silent(const struct helper_desk *d, int64_t now_ms)
{
	return d->helper.busy && now_ms - d->helper.asked_ms >= DESK_SILENCE_MS;
}

/* Whether somebody waits for something else than the helper is at. */
static bool
others_wait(const struct helper_desk *d)
{
	return d->first && (!d->first->asked || d->first->next);
}

static int
free_place(const struct helper_desk *d)
{
	for (int i = 0; i < DESK_STUCK_MAX; i++)
		if (!d->stuck[i].used)
			return i;
	return -1;
}

static void
set_aside(struct helper_desk *d, int place)
{
	const char *proc_root = d->helper.proc_root;

	d->stuck[place].helper = d->helper;
	d->stuck[place].ask = take_asked(d);
	d->stuck[place].used = true;
	helper_start(&d->helper, proc_root); /* if it can't be started now, the next question tries again */
}

void
desk_run(struct helper_desk *d, const struct waiting *w, int64_t now_ms)
{
	for (int i = 0; i < DESK_STUCK_MAX; i++)
		if (d->stuck[i].used && waiting_ready(w, d->stuck[i].helper.fd))
			listen_to_stuck(d, i, now_ms);
	if (waiting_ready(w, d->helper.fd))
		listen_to_desk(d, now_ms);
	if (is_silent(d, now_ms) && others_wait(d) && free_place(d) >= 0)
		set_aside(d, free_place(d));
	ask_on(d, now_ms);
}

void
desk_wait(const struct helper_desk *d, struct waiting *w)
{
	waiting_fd(w, d->helper.fd, POLLIN);
	for (int i = 0; i < DESK_STUCK_MAX; i++)
		if (d->stuck[i].used)
			waiting_fd(w, d->stuck[i].helper.fd, POLLIN);
	if (d->first && !d->helper.busy)
		waiting_until(w, d->retry_ms);
	else if (others_wait(d) && free_place(d) >= 0)
		waiting_until(w, d->helper.asked_ms + DESK_SILENCE_MS);
}

bool
desk_await(struct helper_desk *d, struct desk_ask *ask, int64_t deadline_ms)
{
	struct waiting w;

	desk_put(d, ask, monotonic_ms());
	while (ask->waiting && monotonic_ms() < deadline_ms) {
		waiting_clear(&w);
		waiting_until(&w, deadline_ms);
		desk_wait(d, &w);
		waiting_poll(&w, monotonic_ms());
		desk_run(d, &w, monotonic_ms());
	}
	if (!ask->waiting)
		return true;
	desk_forget(d, ask);
	return false;
}

int
desk_stuck(const struct helper_desk *d, int64_t now_ms)
{
	int n = is_silent(d, now_ms);

	for (int i = 0; i < DESK_STUCK_MAX; i++)
		n += d->stuck[i].used;
	return n;
}
