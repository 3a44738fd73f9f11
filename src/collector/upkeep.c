/* upkeep.c: Moments of the agent's own reports. See upkeep.h for what belongs here. */
#include "collector/upkeep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "collector/log.h"
#include "collector/notify.h"
#include "collector/status.h"

#define STATUS_PERIOD_MS  10000
#define METRICS_PERIOD_MS 60000
#define FIRST_METRICS_MS  5000
#define FILLING_SHARE     4 /* a quarter of the spool */

/* Under --proc-root the one that stands in, so that a reboot can be tested. */
static void
read_boot_id(const struct options *o, char *out, size_t size)
{
	char path[600], text[64] = "";

	out[0] = '\0';
	snprintf(path, sizeof path, "%s/proc/sys/kernel/random/boot_id", o->proc_root ? o->proc_root : "");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof text - 1) > 0) {
		text[strcspn(text, "\n")] = '\0';
		slice_printable(slice_of(text), out, size);
	}
	close(fd);
}

/* The last run wrote down which boot it was, and when it was last alive. */
static void
record_reboot(const struct agent_view *a)
{
	char before[64], written[32], message[120], data[200], duration[32];
	int64_t last_us, now_us = clock_us(CLOCK_REALTIME);
	struct record event;

	if (!a->boot_id[0] || !status_previous(a->env->options, "boot_id", before, sizeof before) ||
		strcmp(before, a->boot_id) == 0 ||
		!status_previous(a->env->options, "written_us", written, sizeof written) ||
		!slice_to_i64(slice_of(written), &last_us))
		return;
	int64_t down_ms = now_us > last_us ? (now_us - last_us) / 1000 : 0;
	snprintf(message, sizeof message, "the machine was rebooted; nothing was measured for %lld s",
			 (long long) (down_ms / 1000));
	snprintf(duration, sizeof duration, "%lld", (long long) down_ms);
	snprintf(data, sizeof data, "{\"downtime_s\": %lld}", (long long) (down_ms / 1000));
	record_init(&event, RECORD_EVENT, RANK_KEEP, now_us);
	record_set(&event, EVENT_KIND, "rebooted");
	record_set(&event, EVENT_MESSAGE, message);
	record_set(&event, EVENT_DURATION_MS, duration);
	record_set(&event, EVENT_DATA, data);
	spool_add(a->env->spool, &event, SPOOL_NOW);
	log_line(LOG_LEVEL_INFO, "%s", message);
}

void
upkeep_start(struct upkeep *u, const struct agent_view *view, int64_t now_ms)
{
	*u = (struct upkeep){.view = *view};
	u->watchdog_period_ms = notify_watchdog_ms();
	u->status_ms = u->watchdog_ms = now_ms;
	u->metrics_ms = now_ms + FIRST_METRICS_MS;
	read_boot_id(view->env->options, u->view.boot_id, sizeof u->view.boot_id);
	record_reboot(&u->view);
	notify_systemd("READY=1");
}

void
upkeep_run(struct upkeep *u, int64_t now_ms)
{
	struct spool_state spool;

	if (u->watchdog_period_ms && now_ms >= u->watchdog_ms) {
		notify_systemd("WATCHDOG=1");
		u->watchdog_ms = now_ms + u->watchdog_period_ms;
	}
	if (now_ms < u->status_ms && now_ms < u->metrics_ms)
		return;
	spool_state(u->view.env->spool, &spool);
	u->view.env->hints->spool_filling =
		spool.bytes > (int64_t) u->view.env->config->spool_max_mb * 1024 * 1024 / FILLING_SHARE;
	if (now_ms >= u->status_ms) {
		status_write(&u->view, &spool, now_ms);
		u->status_ms = now_ms + STATUS_PERIOD_MS;
	}
	if (now_ms >= u->metrics_ms) {
		self_metrics_put(&u->self, &u->view, &spool, now_ms);
		u->metrics_ms = now_ms + METRICS_PERIOD_MS;
	}
}

int64_t
upkeep_wake_ms(const struct upkeep *u)
{
	int64_t wake = u->status_ms < u->metrics_ms ? u->status_ms : u->metrics_ms;

	return u->watchdog_period_ms && u->watchdog_ms < wake ? u->watchdog_ms : wake;
}

void
upkeep_reloading(int64_t now_ms)
{
	notify_systemd("RELOADING=1\nMONOTONIC_USEC=%lld", (long long) now_ms * 1000);
}

void
upkeep_reloaded(struct upkeep *u, int64_t now_ms)
{
	notify_systemd("READY=1");
	u->status_ms = now_ms;
}

void
upkeep_stopping(void)
{
	notify_systemd("STOPPING=1");
}

void
upkeep_end(struct upkeep *u, int64_t now_ms)
{
	struct spool_state spool;

	spool_state(u->view.env->spool, &spool);
	status_write(&u->view, &spool, now_ms);
}
