/* explain.c: A line per mount, device, interface or log file. See explain.h for what belongs here. */
#include "collector/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/helper_desk.h"
#include "collector/log.h"
#include "collector/proc_files.h"
#include "collector/proc_reader.h"
#include "core/tail_position.h"

#define ANSWER_DEADLINE_MS 3000

struct explainer {
	const struct options *options;
	struct helper_desk desk;
	struct proc_reader reader;
	struct strbuf out;
};

/* "  NAME   measured, …" or "  NAME   left out: …" */
static void
put_line(struct strbuf *b, struct slice name, const char *verdict, const char *why)
{
	char shown[300];

	slice_printable(name, shown, sizeof shown);
	strbuf_printf(b, "  %-32s %s%s\n", shown, verdict, why);
}

/* --- disks */

static void
keep_numbers(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	if (error == 0 && len == sizeof(struct fs_numbers))
		memcpy(into, answer, len);
}

static void
explain_mount(struct explainer *e, const struct mount_entry *m, const char *why)
{
	char path[MOUNT_PATH_MAX], text[120];
	struct fs_numbers numbers = fs_unknown;
	struct desk_ask ask = {ASK_FILESYSTEM, path, keep_numbers, &numbers};

	if (!mount_unescape(m->path, path, sizeof path))
		path[0] = '\0';
	if (why) {
		put_line(&e->out, path[0] ? slice_of(path) : m->path, "left out: ", why);
		return;
	}
	bool answered = desk_await(&e->desk, &ask, monotonic_ms() + ANSWER_DEADLINE_MS);
	double percent = fs_used_percent(&numbers);
	if (isfinite(percent))
		snprintf(text, sizeof text, ", %.*s, %.0f %% used", (int) (m->type.end - m->type.p), m->type.p,
				 percent);
	else
		snprintf(text, sizeof text, ", but %s",
				 answered ? "it has no numbers that mean anything"
						  : "it does not answer: unknown until it does");
	put_line(&e->out, slice_of(path), "measured", text);
}

static void
explain_mounts(struct explainer *e)
{
	struct strbuf file = STRBUF_INIT;
	struct proc_paths paths;
	struct mount_entry m;

	proc_paths(e->options->proc_root, &paths);
	struct slice text = proc_mounts(&paths, &file), all = text;
	strbuf_puts(&e->out, "filesystems\n");
	while (next_mount(&text, &m))
		explain_mount(e, &m, mount_refusal(&m, text, all));
	strbuf_free(&file);
}

/* --- what sysfs lists */

static void
keep_scan(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	if (error == 0)
		strbuf_add(into, answer, len);
}

/* The scan of sysfs, and what is chosen from it. False when it hangs. */
static bool
scan(struct explainer *e, struct strbuf *text, struct topology *chosen, struct slice *route)
{
	struct desk_ask ask = {ASK_TOPOLOGY, e->reader.sys, keep_scan, text};

	if (!desk_await(&e->desk, &ask, monotonic_ms() + ANSWER_DEADLINE_MS))
		return false;
	*route = (struct slice){"", ""};
	parse_default_route(proc_reader_text(&e->reader, "net/route"), route);
	choose_topology((struct slice){text->data, text->data + text->len}, *route, chosen);
	return true;
}

static bool
has_flag(struct slice flags, char c)
{
	return memchr(flags.p, c, (size_t) (flags.end - flags.p)) != NULL;
}

/* Takes the next line of that kind off the scan. */
static bool
next_device(struct slice *text, const char *kind, struct slice *name, struct slice *flags)
{
	struct slice line, word;

	while (slice_line(text, &line)) {
		if (!slice_word(&line, &word) || !slice_equals(word, kind) || !slice_word(&line, name))
			continue;
		while (slice_word(&line, &word)) /* the last one */
			*flags = word;
		return true;
	}
	return false;
}

static const char *
why_no_nic(struct slice flags)
{
	static const struct {
		char flag;
		const char *why;
	} reasons[] = {
		{'o', "the loopback"},
		{'l', "lies on another interface, where its bytes are counted"},
		{'v', "one end of a pair inside this machine"},
		{'t', "a tunnel: its bytes pass through another interface"},
		{'b', "a bridge: its bytes pass through its ports"},
	};

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (has_flag(flags, reasons[i].flag))
			return reasons[i].why;
	return "no hardware behind it, and others have";
}

static void
explain_nics(struct explainer *e, const struct strbuf *text, const struct topology *chosen,
			 struct slice route)
{
	struct slice rest = {text->data, text->data + text->len}, name, flags = {"", ""};

	strbuf_puts(&e->out, "network interfaces\n");
	while (text->data && next_device(&rest, "net", &name, &flags))
		if (topology_nic(chosen, name) >= 0)
			put_line(&e->out, name, "measured",
					 has_flag(flags, 'd') ? ", has hardware behind it"
					 : slice_compare(name, route) == 0
						 ? ", the way to everywhere (no interface has hardware)"
						 : ", no interface has hardware or is the way to everywhere");
		else
			put_line(&e->out, name, "left out: ", why_no_nic(flags));
	if (chosen->too_many)
		strbuf_puts(&e->out, "  more than can be counted: the totals are unknown\n");
}

static void
explain_disks(struct explainer *e, const struct strbuf *text, const struct topology *chosen)
{
	struct slice rest = {text->data, text->data + text->len}, name, flags = {"", ""};

	strbuf_puts(&e->out, "block devices\n");
	while (text->data && next_device(&rest, "block", &name, &flags))
		if (topology_disk(chosen, name))
			put_line(&e->out, name, "measured", "");
		else
			put_line(&e->out, name, "left out: ",
					 has_flag(flags, 's') ? "lies on other devices, where its bytes are counted"
										  : "memory, a file, or removable");
}

/* --- log files */

static bool
looks_compressed(const char *path)
{
	char head[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = fd < 0 ? -1 : read(fd, head, sizeof head);

	if (fd >= 0)
		close(fd);
	return got > 0 && tail_is_compressed((struct slice){head, head + got});
}

static void
explain_log_file(struct explainer *e, const char *path)
{
	struct stat s;
	char text[100];

	if (stat(path, &s) < 0)
		put_line(&e->out, slice_of(path), "left out: ", strerror(errno));
	else if (!S_ISREG(s.st_mode))
		put_line(&e->out, slice_of(path),
				 "left out: ", S_ISDIR(s.st_mode) ? "a directory" : "not a regular file");
	else if (access(path, R_OK) < 0)
		put_line(&e->out, slice_of(path), "left out: ", "this user may not read it");
	else if (looks_compressed(path))
		put_line(&e->out, slice_of(path), "left out: ", "compressed");
	else {
		snprintf(text, sizeof text, ", %lld bytes", (long long) s.st_size);
		put_line(&e->out, slice_of(path), "read", text);
	}
}

static int
unreadable_directory(const char *path, int error)
{
	log_line(LOG_LEVEL_WARNING, "%s: %s", path, strerror(error));
	return 0;
}

static void
explain_logs(struct explainer *e, const struct config *config)
{
	if (config->log_count == 0)
		strbuf_puts(&e->out, "no log_files in the configuration\n");
	for (int i = 0; i < config->log_count; i++) {
		glob_t found;
		const char *pattern = config->logs[i].pattern;
		int error = glob(pattern, GLOB_NOSORT, unreadable_directory, &found);
		strbuf_printf(&e->out, "%s%s\n", pattern,
					  error ? ": nothing there by that name (now; it is looked for again and again)" : "");
		for (size_t j = 0; error == 0 && j < found.gl_pathc; j++)
			explain_log_file(e, found.gl_pathv[j]);
		if (error == 0)
			globfree(&found);
	}
}

/* --- */

/* Disks and interfaces: what sysfs and /proc say. */
static bool
explain_devices(struct explainer *e)
{
	static struct topology chosen;
	struct strbuf text = STRBUF_INIT;
	struct slice route;

	if (!scan(e, &text, &chosen, &route)) {
		log_line(LOG_LEVEL_ERROR, "the helper process does not answer: sysfs hangs");
		return false;
	}
	if (e->options->command == COMMAND_EXPLAIN_NET)
		explain_nics(e, &text, &chosen, route);
	else {
		explain_mounts(e);
		explain_disks(e, &text, &chosen);
	}
	strbuf_free(&text);
	return true;
}

int
explain_run(const struct options *o, const struct config *config)
{
	static struct explainer explainer;
	struct explainer *e = &explainer;

	e->options = o;
	if (o->command == COMMAND_EXPLAIN_LOGS)
		explain_logs(e, config);
	else {
		desk_start(&e->desk, o->proc_root);
		if (!proc_reader_init(&e->reader, o->proc_root)) {
			log_line(LOG_LEVEL_ERROR, "%s has no file stat: not a /proc", e->reader.proc);
			return EXIT_CODE_FAILURE;
		}
		if (!explain_devices(e))
			return EXIT_CODE_FAILURE;
	}
	bool printed = !e->out.failed && write(STDOUT_FILENO, e->out.data, e->out.len) == (ssize_t) e->out.len;
	strbuf_free(&e->out);
	return printed ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}
