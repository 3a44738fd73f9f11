/* once.c: One sample, printed. See once.h for what belongs here. */
#include "collector/once.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/encode.h"
#include "collector/proc_files.h"
#include "collector/sampler.h"

#define COVERS_MS          1000
#define ANSWER_DEADLINE_MS 2000
#define MAX_SILENT         3

/* Waits for the helper, until `until_ms` at the latest. */
static void
wait_for_helper(struct helper_desk *desk, int64_t until_ms)
{
	struct waiting w;

	waiting_clear(&w);
	waiting_until(&w, until_ms);
	desk_wait(desk, &w);
	waiting_poll(&w, monotonic_ms());
	desk_run(desk, &w, monotonic_ms());
}

/* Runs the sampler until a row is complete (or, with `row` NULL, until the baseline is read). */
static void
run_sampler(struct sampler *s, struct row *row)
{
	struct row scratch;

	for (;;) {
		bool complete = sampler_run(s, monotonic_ms(), row ? row : &scratch);
		if (row ? complete : s->started)
			return;
		wait_for_helper(s->desk, sampler_wake_ms(s));
	}
}

struct asked_filesystem {
	struct desk_ask ask;
	struct fs_numbers numbers;
	int error;
};

static void
filesystem_answered(void *into, const char *answer, size_t len, int error, int64_t now_ms)
{
	struct asked_filesystem *asked = into;

	asked->error = error;
	if (error == 0 && len == sizeof asked->numbers)
		memcpy(&asked->numbers, answer, len);
}

/* Asks the helper about one filesystem and waits for the answer: 0, an errno, or -1 when there is none in time. */
static int
ask_filesystem(struct helper_desk *desk, const char *path, struct fs_numbers *out)
{
	struct asked_filesystem asked = {{ASK_FILESYSTEM, path, filesystem_answered, &asked}, fs_unknown, 0};
	int64_t end_ms = monotonic_ms() + ANSWER_DEADLINE_MS;

	if (desk_stuck(desk, monotonic_ms()) > 0)
		end_ms += ANSWER_DEADLINE_MS; /* the helper that hangs is set aside first */
	if (!desk_await(desk, &asked.ask, end_ms))
		return -1;
	*out = asked.numbers;
	return asked.error;
}

struct filesystem {
	struct fs_numbers numbers;
	const char *state; /* NULL: the numbers are there */
};

static void
ask_filesystems(struct sampler *s, const struct chosen_mount *mounts, int count, struct filesystem *out)
{
	int silent = 0;

	for (int i = 0; i < count; i++) {
		int error = silent < MAX_SILENT ? ask_filesystem(s->desk, mounts[i].path, &out[i].numbers) : -1;
		if (error == 0)
			continue;
		out[i].numbers = fs_unknown;
		out[i].state = error > 0 ? strerror(error) : silent < MAX_SILENT ? "does not answer" : "not asked";
		silent += error < 0;
	}
}

static void
print_number(struct strbuf *b, double v, const char *format, const char *unknown)
{
	if (isfinite(v))
		strbuf_printf(b, format, v);
	else
		strbuf_puts(b, unknown);
}

static void
print_table(struct strbuf *b, const struct options *o, const struct row *row,
			const struct chosen_mount *mounts, const struct filesystem *fs, int count)
{
	strbuf_printf(b, "%s at ", o->vps_name);
	encode_timestamp(b, row->timestamp_us);
	strbuf_puts(b, "\n\n");
	for (int m = 0; m < METRICS; m++) {
		const struct metric_column *c = &metric_columns[m];
		if (m == M_CLOCK_OFFSET_MS)
			continue; /* nobody was asked */
		strbuf_printf(b, "  %-32s ", c->label);
		print_number(b, row->value[m], c->type == METRIC_REAL ? "%14.2f" : "%14.0f", "             -");
		strbuf_printf(b, " %-8s %s\n", c->unit, c->name);
	}
	strbuf_puts(b, "\n  -: not known (no such thing here, or the kernel does not say)\n\n");
	strbuf_printf(b, "  %-36s %-10s %10s %10s %5s %7s\n", "filesystem", "type", "GiB used", "GiB free",
				  "use%", "inodes%");
	for (int i = 0; i < count; i++) {
		const struct fs_numbers *n = &fs[i].numbers;
		char path[200];
		slice_printable(slice_of(mounts[i].path), path, sizeof path);
		strbuf_printf(b, "  %-36s %-10s ", path, mounts[i].type);
		if (fs[i].state) {
			strbuf_printf(b, "%s\n", fs[i].state);
			continue;
		}
		double available = n->available > 0 ? (double) n->available * (double) n->fragment_size : 0;
		print_number(b, fs_used_bytes(n) / (1 << 30), "%10.1f ", "         - ");
		print_number(b, available / (1 << 30), "%10.1f ", "         - ");
		print_number(b, fs_used_percent(n), "%5.0f ", "    - ");
		print_number(b, fs_inode_percent(n), "%7.1f\n", "      -\n");
	}
}

/* The columns as one object, and the filesystems as one more member of it. */
static void
print_json(struct strbuf *b, const struct options *o, const struct row *row,
		   const struct chosen_mount *mounts, const struct filesystem *fs, int count)
{
	encode_json(b, row, o->vps_name, o->app_name ? o->app_name : "");
	b->len--;
	strbuf_puts(b, ", \"filesystems\": [");
	for (int i = 0; i < count; i++) {
		char path[MOUNT_PATH_MAX];
		slice_printable(slice_of(mounts[i].path), path, sizeof path);
		strbuf_puts(b, i ? ", {\"path\": " : "{\"path\": ");
		strbuf_json_string(b, path);
		strbuf_puts(b, ", \"type\": ");
		strbuf_json_string(b, mounts[i].type);
		strbuf_puts(b, ", \"used_bytes\": ");
		print_number(b, fs_used_bytes(&fs[i].numbers), "%.0f", "null");
		strbuf_puts(b, ", \"used_percent\": ");
		print_number(b, fs_used_percent(&fs[i].numbers), "%.0f", "null");
		strbuf_puts(b, ", \"inode_percent\": ");
		print_number(b, fs_inode_percent(&fs[i].numbers), "%.7g", "null");
		strbuf_puts(b, ", \"problem\": ");
		if (fs[i].state)
			strbuf_json_string(b, fs[i].state);
		else
			strbuf_puts(b, "null");
		strbuf_putc(b, '}');
	}
	strbuf_puts(b, "]}\n");
}

static int
print(struct strbuf *b)
{
	size_t done = 0;

	while (!b->failed && done < b->len) {
		ssize_t n = write(STDOUT_FILENO, b->data + done, b->len - done);
		if (n <= 0)
			return EXIT_CODE_FAILURE;
		done += (size_t) n;
	}
	int code = b->failed ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
	strbuf_free(b);
	return code;
}

int
once_run(const struct options *options)
{
	static struct helper_desk desk;
	static struct sampler sampler;
	static struct chosen_mount mounts[MAX_MOUNTS];
	static struct filesystem filesystems[MAX_MOUNTS];
	struct strbuf out = STRBUF_INIT, file = STRBUF_INIT;
	struct proc_paths paths;
	struct row row;

	desk_start(&desk, options->proc_root);
	if (!sampler_init(&sampler, &desk, options->proc_root, 60 * (int64_t) 1000000, monotonic_ms())) {
		log_line(LOG_LEVEL_ERROR, "%s has no file stat: not a /proc", sampler.reader.proc);
		return EXIT_CODE_FAILURE;
	}
	run_sampler(&sampler, NULL);
	poll(NULL, 0, COVERS_MS);
	sampler_tick(&sampler, monotonic_ms());
	run_sampler(&sampler, &row);
	proc_paths(options->proc_root, &paths);
	int count = choose_mounts(proc_mounts(&paths, &file), mounts, MAX_MOUNTS);
	strbuf_free(&file);
	ask_filesystems(&sampler, mounts, count, filesystems);
	if (options->json)
		print_json(&out, options, &row, mounts, filesystems, count);
	else
		print_table(&out, options, &row, mounts, filesystems, count);
	return print(&out);
}
