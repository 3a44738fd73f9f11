/*
 * tail_probe.c: the source `logs` with a spool of its own and standard output in place of the database, for test_agent_tail.py.
 *
 *   tail_probe STATE_DIR CONFIG SPEED [PROC_ROOT]
 *
 * Its clock runs SPEED times as fast as everybody's. Each record that is taken out of the spool becomes a line of JSON with its
 * number, then it is acknowledged; after a crash records come again with their numbers, which is what the database sees.
 * Commands on standard input, a line each: known (the database has answered), hold and take (records stay in the spool), deaf
 * (records are printed and not acknowledged), describe, positions, set KEY STATE, reload, quit.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/tail.h"

static const char *const field_names[RECORD_KINDS][RECORD_FIELDS_MAX] = {
	[RECORD_LOG] = {"level", "message", "context", "logger", "source"},
	[RECORD_EVENT] = {"kind", "message", "success", "duration_ms", "data"},
	[RECORD_POSITION] = {"file", "state"},
};

static struct options options;
static struct config config;
static struct helper_desk desk;
static struct source_hints hints;
static struct source_env env = {&options, &config, NULL, &desk, &hints, true};
static void *source;
static bool taking = true, deaf, quit;
static int64_t printed;
static int64_t start_us, speed;

static int64_t
now_ms(void)
{
	return (start_us + (clock_us(CLOCK_MONOTONIC) - start_us) * speed) / 1000;
}

static void
json_field(struct strbuf *b, const char *name, struct slice value)
{
	strbuf_printf(b, ", \"%s\": ", name);
	if (!value.p) {
		strbuf_puts(b, "null");
		return;
	}
	char *copy = strndup(value.p, (size_t) (value.end - value.p));
	strbuf_json_string(b, copy);
	free(copy);
}

static bool
print_record(void *into, int64_t number, bool group_goes_on, const struct record *r)
{
	struct strbuf line = STRBUF_INIT;

	strbuf_printf(&line, "{\"n\": %lld, \"record\": %d, \"rank\": %d, \"time_us\": %lld, \"more\": %s",
				  (long long) number, r->kind, r->rank, (long long) r->timestamp_us,
				  group_goes_on ? "true" : "false");
	for (int i = 0; i < r->fields; i++)
		if (field_names[r->kind][i])
			json_field(&line, field_names[r->kind][i], r->field[i]);
	strbuf_puts(&line, "}\n");
	fputs(line.data, stdout);
	strbuf_free(&line);
	printed = number;
	return true;
}

static void
take(void)
{
	if (!taking || spool_last(env.spool) == printed)
		return;
	spool_read(env.spool, printed > spool_acked(env.spool) ? printed : spool_acked(env.spool), print_record,
			   NULL);
	fflush(stdout);
	if (!deaf)
		spool_ack(env.spool, printed);
}

static void
print_position(void *into, const char *file, const char *state)
{
	struct strbuf line = STRBUF_INIT;

	strbuf_puts(&line, "{\"position\": ");
	strbuf_json_string(&line, file);
	strbuf_puts(&line, ", \"state\": ");
	strbuf_json_string(&line, state);
	strbuf_puts(&line, "}\n");
	fputs(line.data, stdout);
	strbuf_free(&line);
}

static void
load(const char *path)
{
	struct strbuf errors = STRBUF_INIT;

	if (!config_load(path, "app", &config, &errors)) {
		fputs(errors.data, stderr);
		exit(3);
	}
}

static void
command(char *line)
{
	char *key = strchr(line, ' '), *state = key ? strchr(key + 1, ' ') : NULL;

	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "known") == 0)
		env.database_known = true;
	else if (strcmp(line, "hold") == 0 || strcmp(line, "take") == 0)
		taking = line[0] == 't';
	else if (strcmp(line, "deaf") == 0)
		deaf = true;
	else if (strcmp(line, "quit") == 0)
		quit = true;
	else if (strcmp(line, "positions") == 0)
		spool_positions(env.spool, print_position, NULL);
	else if (strncmp(line, "set ", 4) == 0 && state) {
		*state = '\0';
		spool_set_position(env.spool, key + 1, state + 1);
	} else if (strcmp(line, "describe") == 0) {
		struct strbuf out = STRBUF_INIT;
		tail_source.describe(source, &out, now_ms());
		printf("{\"describe\": ");
		struct strbuf json = STRBUF_INIT;
		strbuf_json_string(&json, out.data);
		printf("%s}\n", json.data);
		strbuf_free(&out);
		strbuf_free(&json);
	} else if (strncmp(line, "reload ", 7) == 0) {
		struct config old = config;
		load(line + 7);
		tail_source.reload(source, now_ms());
		config_free(&old);
	}
	if (strncmp(line, "set", 3) != 0)
		printf("{\"done\": \"%.20s\"}\n", line);
	fflush(stdout);
}

static void
read_commands(void)
{
	static char text[65536];
	static size_t used;
	ssize_t got = read(STDIN_FILENO, text + used, sizeof text - 1 - used);
	char *newline;

	if (got == 0)
		quit = true;
	if (got <= 0)
		return;
	used += (size_t) got;
	text[used] = '\0';
	while ((newline = strchr(text, '\n')) != NULL) {
		*newline = '\0';
		command(text);
		used -= (size_t) (newline + 1 - text);
		memmove(text, newline + 1, used + 1);
	}
}

int
main(int argc, char **argv)
{
	struct waiting w;

	if (argc < 4)
		return 2;
	options = (struct options){.config = argv[2],
							   .app_name = "app",
							   .vps_name = "vps",
							   .state_dir = argv[1],
							   .proc_root = argc > 4 ? argv[4] : NULL};
	start_us = clock_us(CLOCK_MONOTONIC);
	speed = strtol(argv[3], NULL, 10);
	env.database_known = getenv("PROBE_UNKNOWN") == NULL;
	taking = getenv("PROBE_HOLD") == NULL;
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit stands in for a full disk */
	load(argv[2]);
	desk_start(&desk, options.proc_root);
	env.spool = spool_open(argv[1], (int64_t) config.spool_max_mb << 20, now_ms());
	source = tail_source.start(&env, now_ms());
	waiting_clear(&w);
	while (source && !quit) {
		int64_t now = now_ms();
		if (waiting_ready(&w, STDIN_FILENO))
			read_commands();
		desk_run(&desk, &w, now);
		tail_source.run(source, &w, now);
		spool_run(env.spool, now);
		take();
		waiting_clear(&w);
		waiting_fd(&w, STDIN_FILENO, POLLIN);
		desk_wait(&desk, &w);
		tail_source.wait(source, &w);
		waiting_until(&w, spool_wake_ms(env.spool));
		now = now_ms();
		if (w.wake_ms > now)
			w.wake_ms = now + (w.wake_ms - now > 3600000 ? 3600000 : (w.wake_ms - now) / speed + 1);
		waiting_poll(&w, now);
	}
	if (source)
		tail_source.stop(source, now_ms());
	take();
	spool_close(env.spool);
	config_free(&config);
	return 0;
}
