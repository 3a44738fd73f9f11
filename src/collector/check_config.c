/* check_config.c: A valid configuration in words. See check_config.h for what belongs here. */
#include "collector/check_config.h"

#include <unistd.h>

#include "collector/options.h"

static void
print_checks(struct strbuf *b, const struct config *c)
{
	strbuf_printf(b, "  health_checks: %d\n", c->check_count);
	for (int i = 0; i < c->check_count; i++) {
		const struct health_check *check = &c->checks[i];
		strbuf_printf(b, "    %s each %d s, timeout %d s", check->name, check->interval_s, check->timeout_s);
		if (check->kind == CHECK_HTTP) {
			strbuf_printf(b, ", %s, status", check->method);
			for (int j = 0; j < check->expected_count; j++) {
				strbuf_printf(b, "%s%d", j > 0 ? ", " : " ", check->expected[j].first);
				if (check->expected[j].last != check->expected[j].first)
					strbuf_printf(b, "-%d", check->expected[j].last);
			}
		}
		strbuf_printf(b, ", breaker opens after %d failures for %d s\n", check->failure_threshold,
					  check->cooldown_s);
	}
}

static void
print_logs(struct strbuf *b, const struct config *c)
{
	strbuf_printf(b, "  log_files: %d\n", c->log_count);
	for (int i = 0; i < c->log_count; i++)
		strbuf_printf(b, "    %s from its %s, time zone %s, level %s where a line has none\n",
					  c->logs[i].pattern, c->logs[i].from_beginning ? "beginning" : "end",
					  c->logs[i].timezone ? c->logs[i].timezone : "of this machine", c->logs[i].level);
}

static void
print_names(struct strbuf *b, const char *what, const struct text_list *names)
{
	for (int i = 0; i < names->count; i++)
		strbuf_printf(b, "%s%s", i > 0 ? ", " : what, names->item[i]);
}

static void
print_application_metrics(struct strbuf *b, const struct config *c)
{
	strbuf_printf(b, "  scrape: %d\n", c->scrape_count);
	for (int i = 0; i < c->scrape_count; i++) {
		const struct scrape_target *t = &c->scrapes[i];
		strbuf_printf(b, "    %s (layer %s) each %d s, timeout %d s, at most %d series", t->job, t->layer,
					  t->interval_s, t->timeout_s, t->max_series);
		print_names(b, ", only ", &t->allow);
		print_names(b, ", without ", &t->deny);
		strbuf_putc(b, '\n');
	}
	if (c->statsd_socket)
		strbuf_printf(b, "  statsd: %s, at most %d series\n", c->statsd_socket, c->statsd_max_series);
	else
		strbuf_puts(b, "  statsd: none\n");
}

static void
print_collect(struct strbuf *b, const struct config *c)
{
	const struct {
		const char *name;
		bool on;
	} parts[] = {{"containers", c->containers},
				 {"disks", c->disks},
				 {"interfaces", c->interfaces},
				 {"units", c->units},
				 {"peers", c->peers}};

	strbuf_puts(b, "  collect: machine");
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (parts[i].on)
			strbuf_printf(b, ", %s", parts[i].name);
	strbuf_putc(b, '\n');
	print_names(b, "  units: ", &c->unit_patterns);
	if (c->unit_patterns.count > 0)
		strbuf_putc(b, '\n');
}

int
check_config_print(const struct config *c)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_printf(&b, "the configuration is valid\n  enabled: %s\n  postgres_url: given, not tried\n",
				  c->enabled ? "true" : "false");
	strbuf_printf(&b, "  collection_interval: %d s%s\n", c->interval_s,
				  c->adaptive ? ", 5 to 30 s between samples (adaptive)" : "");
	print_checks(&b, c);
	print_logs(&b, c);
	print_application_metrics(&b, c);
	print_collect(&b, c);
	strbuf_printf(&b, "  spool: at most %d MiB\n", c->spool_max_mb);
	ssize_t written = b.failed ? -1 : write(STDOUT_FILENO, b.data, b.len);
	strbuf_free(&b);
	return written < 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}
