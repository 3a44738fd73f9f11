/*
 * interfaces.c: The source `interfaces`: what each network interface moves.
 *
 * Belongs here: rounds, two readings of each interface. Does not belong here: which interfaces there are (core/topology.h), totals (the
 * source `machine`).
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/proc_files.h"
#include "collector/sample_sources.h"
#include "collector/samples.h"
#include "collector/ticks.h"
#include "core/procfs.h"
#include "core/rates.h"
#include "core/topology.h"

#define ROUND_S    60
#define ANSWER_MS  2000
#define GAP_ROUNDS 3

enum nic_metric { NIC_RX, NIC_TX, NIC_ERRORS, NIC_METRICS };

static const struct sample_metric metrics[NIC_METRICS] = {
	[NIC_RX] = {"net_rx_bytes_per_s", SAMPLE_GAUGE},
	[NIC_TX] = {"net_tx_bytes_per_s", SAMPLE_GAUGE},
	[NIC_ERRORS] = {"net_errors_per_s", SAMPLE_GAUGE},
};

struct nic {
	struct counted_nic what;
	bool listed;     /* by the last scan */
	int64_t read_us; /* monotonic: of the counters; 0: never */
	int64_t rx_bytes, tx_bytes, errors;
	uint32_t sent;
};

struct interfaces {
	const struct source_env *env;
	struct proc_paths paths;
	struct ticks ticks;
	struct desk_ask ask;
	bool round_open;
	int64_t give_up_ms;
	int count;
	struct nic nic[MAX_NICS];
};

static int
round_s(const struct interfaces *s)
{
	return s->env->config->interval_s > ROUND_S ? s->env->config->interval_s : ROUND_S;
}

static struct nic *
find_nic(struct interfaces *s, struct slice name)
{
	for (int i = 0; i < s->count; i++)
		if (slice_equals(name, s->nic[i].what.name))
			return &s->nic[i];
	return NULL;
}

/* A file of /proc. */
static struct slice
proc_text(const struct interfaces *s, const char *name, struct strbuf *buffer)
{
	char path[PROC_PATH_MAX + 20];

	snprintf(path, sizeof path, "%s/%s", s->paths.proc, name);
	return proc_file(AT_FDCWD, path, buffer);
}

/* An interface that has another number is another interface, whatever its name. */
static void
take_nics(struct interfaces *s, const struct counted_nic *found, int n)
{
	for (int i = 0; i < s->count; i++)
		s->nic[i].listed = false;
	for (int i = 0; i < n; i++) {
		struct nic *nic = find_nic(s, slice_of(found[i].name));
		if (!nic && s->count < MAX_NICS) {
			nic = &s->nic[s->count++];
			*nic = (struct nic){0};
		}
		if (!nic)
			continue;
		if (nic->what.ifindex != found[i].ifindex)
			nic->read_us = 0;
		nic->what = found[i];
		nic->listed = true;
	}
}

static void
put_nic(struct samples *samples, struct nic *nic, const double *values)
{
	struct series_label label = {slice_of("device"), slice_of(nic->what.name)};

	samples_put_thing(samples, metrics, NIC_METRICS, values, &nic->sent, &label, 1);
}

/* Those that the scan does not know any more. */
static void
end_missing(struct interfaces *s, struct samples *samples)
{
	int kept = 0;

	for (int i = 0; i < s->count; i++)
		if (s->nic[i].listed)
			s->nic[kept++] = s->nic[i];
		else
			put_nic(samples, &s->nic[i], NULL);
	s->count = kept;
}

static void
read_nic(struct interfaces *s, struct nic *nic, const struct net_counters *c, int64_t now_us,
		 struct samples *samples)
{
	double seconds = (double) (now_us - nic->read_us) / 1e6, value[NIC_METRICS];

	if (nic->read_us && seconds > 0 && seconds < GAP_ROUNDS * round_s(s)) {
		value[NIC_RX] = nic_growth(nic->rx_bytes, c->rx_bytes, nic->what.speed_mbit, seconds) / seconds;
		value[NIC_TX] = nic_growth(nic->tx_bytes, c->tx_bytes, nic->what.speed_mbit, seconds) / seconds;
		value[NIC_ERRORS] = c->errors >= nic->errors ? (double) (c->errors - nic->errors) / seconds : NAN;
		put_nic(samples, nic, value);
	}
	nic->read_us = now_us;
	nic->rx_bytes = c->rx_bytes;
	nic->tx_bytes = c->tx_bytes;
	nic->errors = c->errors;
}

static void
end_round(struct interfaces *s)
{
	struct strbuf text = STRBUF_INIT;
	struct samples samples = SAMPLES_INIT;
	struct net_counters c;
	/* Suspend is no time in which an interface moves bytes. */
	int64_t now_us = clock_us(CLOCK_MONOTONIC);

	s->round_open = false;
	samples_begin(&samples, s->env->spool, clock_us(CLOCK_REALTIME));
	struct slice rest = proc_text(s, "net/dev", &text);
	while (next_net_dev(&rest, &c)) {
		struct nic *nic = find_nic(s, c.name);
		if (nic)
			read_nic(s, nic, &c, now_us, &samples);
	}
	end_missing(s, &samples);
	samples_end(&samples);
	strbuf_free(&text);
}

/* The helper's scan of sysfs. */
static void
answered(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	struct interfaces *s = into;
	struct counted_nic found[MAX_NICS];
	struct strbuf text = STRBUF_INIT;
	struct slice route = {"", ""};

	if (error == 0) {
		parse_default_route(proc_text(s, "net/route", &text), &route);
		take_nics(s, found, list_nics((struct slice){answer, answer + len}, route, found, MAX_NICS));
	}
	strbuf_free(&text);
	if (s->round_open)
		end_round(s);
}

static void
interfaces_run(void *source, const struct waiting *w, int64_t now_ms)
{
	struct interfaces *s = source;

	if (ticks_due(&s->ticks, s->env->options->vps_name, round_s(s), now_ms) && !s->round_open) {
		s->round_open = true;
		s->give_up_ms = now_ms + ANSWER_MS;
		desk_put(s->env->desk, &s->ask, now_ms);
	}
	/* A helper that hangs costs news about interfaces, not their numbers. */
	if (s->round_open && now_ms >= s->give_up_ms)
		end_round(s);
}

static void
interfaces_wait(const void *source, struct waiting *w)
{
	const struct interfaces *s = source;

	waiting_until(w, s->round_open ? s->give_up_ms : s->ticks.due_ms);
}

static void *
interfaces_start(const struct source_env *env, int64_t now_ms)
{
	struct interfaces *s = env->config->interfaces ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->env = env;
	proc_paths(env->options->proc_root, &s->paths);
	s->ask = (struct desk_ask){
		.question = ASK_TOPOLOGY, .argument = s->paths.sys, .answered = answered, .into = s};
	s->ticks.due_ms = now_ms; /* the first readings, to compare with */
	return s;
}

static void
interfaces_stop(void *source, int64_t now_ms)
{
	struct interfaces *s = source;

	desk_forget(s->env->desk, &s->ask);
	free(s);
}

/* What is known stays; the next round begins at once. Switched off, all that was told of ends. */
static void
interfaces_reload(void *source, int64_t now_ms)
{
	struct interfaces *s = source;
	struct samples samples = SAMPLES_INIT;

	s->ticks.due_ms = s->env->config->interfaces ? now_ms : NEVER;
	if (s->env->config->interfaces)
		return;
	s->round_open = false;
	take_nics(s, NULL, 0);
	samples_begin(&samples, s->env->spool, clock_us(CLOCK_REALTIME));
	end_missing(s, &samples);
	samples_end(&samples);
}

static void
interfaces_describe(const void *source, struct strbuf *out, int64_t now_ms)
{
	const struct interfaces *s = source;

	strbuf_puts(out, "interfaces:");
	for (int i = 0; i < s->count; i++)
		strbuf_printf(out, " %s", s->nic[i].what.name);
	strbuf_putc(out, '\n');
}

const struct source_ops interfaces_source = {
	.name = "interfaces",
	.start = interfaces_start,
	.reload = interfaces_reload,
	.run = interfaces_run,
	.wait = interfaces_wait,
	.stop = interfaces_stop,
	.describe = interfaces_describe,
};
