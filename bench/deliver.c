/* One thread per session. */
#include "deliver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

struct worker {
	struct session session;
	const struct payloads *payloads;
	pthread_barrier_t *barrier;
	pthread_t thread;
	int64_t start_us, end_us;
	double server_cpu;
	double *batch_ms;
	int batches;
};

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

double
quantile(double *values, int count, double share)
{
	if (count == 0)
		return 0;
	qsort(values, (size_t) count, sizeof *values, ascending);
	return values[(int) (share * (count - 1))];
}

/* All batches of a VPS go through the same session, so that their numbers arrive in order. */
static bool
is_mine(const struct worker *w, int index)
{
	int vps = w->payloads->list[index].vps;

	return (vps < 0 ? index : vps) % w->session.load->sessions == w->session.number;
}

static void *
run_worker(void *arg)
{
	struct worker *w = arg;
	struct session *s = &w->session;

	session_open(s);
	pthread_barrier_wait(w->barrier);
	w->server_cpu = -session_backend_cpu(s);
	w->start_us = clock_us(CLOCK_MONOTONIC);
	if (s->delivery->one_copy)
		session_start_copy(s);
	for (int i = 0; i < w->payloads->count; i++) {
		int64_t before = clock_us(CLOCK_MONOTONIC);

		if (!is_mine(w, i))
			continue;
		if (s->delivery->one_copy) {
			session_send_copy(s, &w->payloads->list[i]);
			s->accepted++;
			continue;
		}
		session_send(s, &w->payloads->list[i]);
		w->batch_ms[w->batches++] = (double) (clock_us(CLOCK_MONOTONIC) - before) / 1000;
	}
	if (s->delivery->one_copy)
		session_end_copy(s);
	w->end_us = clock_us(CLOCK_MONOTONIC);
	w->server_cpu += session_backend_cpu(s);
	session_close(s);
	return NULL;
}

void
deliver(const struct load *load, const struct payloads *payloads, const struct delivery *delivery,
		struct outcome *out)
{
	struct worker *workers = calloc((size_t) load->sessions, sizeof *workers);
	int64_t start = INT64_MAX, end = 0;
	pthread_barrier_t barrier;

	*out = (struct outcome){.batch_ms = calloc((size_t) payloads->count + 1, sizeof *out->batch_ms)};
	if (workers == NULL || out->batch_ms == NULL ||
		pthread_barrier_init(&barrier, NULL, (unsigned) load->sessions) != 0)
		die("out of memory", NULL);
	for (int i = 0; i < load->sessions; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){.session = {.load = load, .delivery = delivery, .number = i},
							 .payloads = payloads,
							 .barrier = &barrier,
							 .batch_ms = calloc((size_t) payloads->count + 1, sizeof *w->batch_ms)};
		if (w->batch_ms == NULL || pthread_create(&w->thread, NULL, run_worker, w) != 0)
			die("out of memory", NULL);
	}
	for (int i = 0; i < load->sessions; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		out->rows_inserted += w->session.rows_inserted;
		out->accepted += w->session.accepted;
		out->server_cpu += w->server_cpu;
		start = w->start_us < start ? w->start_us : start;
		end = w->end_us > end ? w->end_us : end;
		memcpy(out->batch_ms + out->batches, w->batch_ms, (size_t) w->batches * sizeof *w->batch_ms);
		out->batches += w->batches;
		free(w->batch_ms);
	}
	out->seconds = (double) (end - start) / 1e6;
	pthread_barrier_destroy(&barrier);
	free(workers);
}
