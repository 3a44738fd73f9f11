/* One thread per agent; they sleep most of the time, as agents do. */
#include "agents.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

#define STACK_BYTES    (256 * 1024)
#define LEAD_US        500000 /* from the last connection to the first flush */
#define BAD_ROW_EVERY  3
#define CLOCK_AHEAD_US INT64_C(3600000000)

struct agent {
	struct session session;
	const struct payload *first, *end; /* its batches */
	const struct schedule *schedule;
	pthread_barrier_t *connected;
	const int64_t *start_us;
	pthread_t thread;
	int64_t end_us;
	long sent_again, clamped, quarantined;
	double server_cpu;
	double *flush_ms, *due_ms;
	int count;
};

static void
sleep_until(int64_t at_us)
{
	struct timespec at = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* When flush n of the agent is due: agents are spread evenly, neighbours far apart (golden ratio). */
static int64_t
due_us(const struct agent *a, int n)
{
	double share = (double) a->session.number * 0.6180339887498949;
	int64_t interval_us = a->schedule->interval_ms * INT64_C(1000);
	int64_t phase =
		a->schedule->splay ? (int64_t) ((share - (double) (int64_t) share) * (double) interval_us) : 0;

	return *a->start_us + phase + n * interval_us;
}

/* One flush, sent as this kind of agent would. */
static void
send(struct agent *a, const struct payload *p, int n)
{
	enum odd_kind kind = a->schedule->odd ? odd_agents_are(a->session.number) : ODD_NOT;

	if (kind == ODD_DROPPED_DAY && n % BAD_ROW_EVERY == 0) {
		session_send_with_bad_row(&a->session, p);
		a->quarantined++;
		return;
	}
	session_send(&a->session, p);
	if (kind == ODD_SKEWED) {
		/* The rows of the payload are as the agent has moved them back. */
		a->session.clamped += p->rows;
		a->clamped += p->rows;
	}
}

static void
timed_flush(struct agent *a, const struct payload *p)
{
	int64_t due = due_us(a, a->count);

	sleep_until(due);
	int64_t before = clock_us(CLOCK_MONOTONIC);
	send(a, p, a->count);
	int64_t after = clock_us(CLOCK_MONOTONIC);
	a->flush_ms[a->count] = (double) (after - before) / 1000;
	a->due_ms[a->count++] = (double) (after - due) / 1000;
}

static void *
run_agent(void *arg)
{
	struct agent *a = arg;
	bool twice = a->schedule->odd && odd_agents_are(a->session.number) == ODD_SENDS_TWICE;

	session_open(&a->session);
	pthread_barrier_wait(a->connected);
	pthread_barrier_wait(a->connected); /* the start is set between the two */
	a->server_cpu = -session_backend_cpu(&a->session);
	for (const struct payload *p = a->first; p < a->end; p++) {
		timed_flush(a, p);
		if (twice) {
			timed_flush(a, p);
			a->sent_again += p->rows;
		}
	}
	a->end_us = clock_us(CLOCK_MONOTONIC);
	a->server_cpu += session_backend_cpu(&a->session);
	if (a->first < a->end)
		session_report(&a->session, a->first);
	session_close(&a->session);
	return NULL;
}

static void
start_agent(struct agent *a)
{
	pthread_attr_t attributes;
	size_t most = 2 * (size_t) (a->end - a->first) + 1;

	a->flush_ms = calloc(most, sizeof *a->flush_ms);
	a->due_ms = calloc(most, sizeof *a->due_ms);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	if (a->flush_ms == NULL || a->due_ms == NULL ||
		pthread_create(&a->thread, &attributes, run_agent, a) != 0)
		die("out of memory", NULL);
	pthread_attr_destroy(&attributes);
}

static void
finish_agent(struct agent *a, struct turnout *out, int64_t start_us)
{
	double seconds;

	pthread_join(a->thread, NULL);
	seconds = (double) (a->end_us - start_us) / 1e6;
	out->rows_inserted += a->session.rows_inserted;
	out->flushes += a->count;
	out->sent_again += a->sent_again;
	out->clamped += a->clamped;
	out->quarantined += a->quarantined;
	out->server_cpu += a->server_cpu;
	out->seconds = seconds > out->seconds ? seconds : out->seconds;
	if (a->count > 0)
		out->first_ms[out->firsts++] = a->flush_ms[0];
	a->count -= a->count > 0;
	memcpy(out->flush_ms + out->count, a->flush_ms + 1, (size_t) a->count * sizeof *a->flush_ms);
	memcpy(out->due_ms + out->count, a->due_ms + 1, (size_t) a->count * sizeof *a->due_ms);
	out->count += a->count;
	free(a->flush_ms);
	free(a->due_ms);
}

void
run_agents(const struct load *load, const struct payloads *payloads, const struct delivery *delivery,
		   const struct schedule *schedule, struct turnout *out)
{
	struct agent *agents = calloc((size_t) load->vps, sizeof *agents);
	const struct payload *next = payloads->list, *end = payloads->list + payloads->count;
	size_t most = 2 * (size_t) payloads->count + 1;
	int64_t begin_us = clock_us(CLOCK_MONOTONIC), start_us;
	pthread_barrier_t connected;

	*out = (struct turnout){.first_ms = calloc((size_t) load->vps, sizeof *out->first_ms),
							.flush_ms = calloc(most, sizeof *out->flush_ms),
							.due_ms = calloc(most, sizeof *out->due_ms)};
	if (agents == NULL || out->first_ms == NULL || out->flush_ms == NULL || out->due_ms == NULL ||
		pthread_barrier_init(&connected, NULL, (unsigned) load->vps + 1) != 0)
		die("out of memory", NULL);
	for (int i = 0; i < load->vps; i++) {
		struct agent *a = &agents[i];

		*a = (struct agent){.session = {.load = load, .delivery = delivery, .number = i},
							.first = next,
							.schedule = schedule,
							.connected = &connected,
							.start_us = &start_us};
		while (next < end && next->vps == i)
			next++;
		a->end = next;
		if (schedule->odd && odd_agents_are(i) == ODD_SKEWED)
			a->session.clock_ahead_us = CLOCK_AHEAD_US;
		start_agent(a);
	}
	pthread_barrier_wait(&connected);
	start_us = clock_us(CLOCK_MONOTONIC) + LEAD_US;
	out->connect_seconds = (double) (start_us - LEAD_US - begin_us) / 1e6;
	pthread_barrier_wait(&connected);
	for (int i = 0; i < load->vps; i++)
		finish_agent(&agents[i], out, start_us);
	pthread_barrier_destroy(&connected);
	free(agents);
}
