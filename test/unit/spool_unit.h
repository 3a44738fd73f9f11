/* spool_unit.h: what the tests of the spool share: a directory that goes, records with a known text, reading all there is. */
#ifndef OBSERV_TEST_SPOOL_UNIT_H
#define OBSERV_TEST_SPOOL_UNIT_H

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "collector/spool.h"
#include "collector/spool_parts.h"

#define MB (1 << 20)

static char dir[] = "/tmp/observ-spool-XXXXXX";
static struct spool *spool;

/* Every file of the directory; returns how many have that ending. */
static int
each_file(const char *ending, void (*each)(const char *path))
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX];
	int n = 0;

	while (d && (entry = readdir(d)) != NULL) {
		size_t len = strlen(entry->d_name), tail = strlen(ending);
		if (entry->d_name[0] == '.' || len < tail || strcmp(entry->d_name + len - tail, ending) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		if (each)
			each(path);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static void
remove_path(const char *path)
{
	assert_int_equal(remove(path), 0);
}

static void
reopen_with(int64_t max_bytes)
{
	if (spool)
		spool_close(spool);
	spool = spool_open(dir, max_bytes, monotonic_ms());
	assert_non_null(spool);
}

/* As kill -9 leaves it: nothing is written, only the memory goes. */
static void
kill_spool(void)
{
	close(spool->dir_fd);
	if (spool->fd >= 0)
		close(spool->fd);
	spool->fd = spool->dir_fd = -1;
	spool->in_memory = false;
	spool->positions_dirty = false;
	memset(&spool->loss, 0, sizeof spool->loss);
	spool_close(spool);
	spool = NULL;
}

static int
set_up(void **state)
{
	memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
	spool = NULL;
	if (mkdtemp(dir) == NULL)
		return -1;
	reopen_with(64 * MB);
	return 0;
}

static int
tear_down(void **state)
{
	if (spool)
		spool_close(spool);
	each_file("", remove_path);
	return rmdir(dir);
}

static void
put_line(int i, enum record_rank rank, const char *message)
{
	struct record r;

	record_init(&r, RECORD_LOG, rank, i);
	record_set(&r, LINE_LEVEL, "info");
	record_set(&r, LINE_MESSAGE, message);
	spool_put(spool, &r);
}

static void
put_metrics(int64_t time_us)
{
	struct record r;

	record_init(&r, RECORD_METRICS, RANK_METRICS, time_us);
	for (int i = 0; i < r.fields; i++)
		record_set(&r, i, "12.345");
	spool_put(spool, &r);
}

static bool
add_metrics(int64_t time_us)
{
	spool_begin(spool);
	put_metrics(time_us);
	return spool_end(spool, SPOOL_LATER);
}

static void
put_position(const char *file, const char *text)
{
	struct record r;

	record_init(&r, RECORD_POSITION, RANK_KEEP, 0);
	record_set(&r, POSITION_FILE, file);
	record_set(&r, POSITION_STATE, text);
	spool_put(spool, &r);
}

/* A group of lines whose times are from, from + 1, …, and their position. */
static bool
add_lines(int from, int n, enum record_rank rank, const char *message)
{
	char text[20];

	spool_begin(spool);
	for (int i = 0; i < n; i++)
		put_line(from + i, rank, message);
	snprintf(text, sizeof text, "%d", from + n);
	put_position("/var/log/a", text);
	return spool_end(spool, SPOOL_LATER);
}

/* What spool_read() gave. */
struct got {
	int lines, positions, metrics, events, groups;
	int64_t first, last;    /* numbers */
	int by_rank[RANKS];     /* without positions and data_lost */
	int64_t oldest, newest; /* times of lines */
	int stop_after;
	bool in_order, open_group;
	char event[2000];
	struct loss said; /* by all data_lost */
};

static bool
take(void *into, int64_t number, bool group_goes_on, const struct record *r)
{
	struct got *g = into;

	if (g->first == 0)
		g->first = number;
	g->in_order &= number > g->last;
	g->last = number;
	g->open_group = group_goes_on;
	g->groups += !group_goes_on;
	g->positions += r->kind == RECORD_POSITION;
	g->by_rank[r->rank] += r->kind != RECORD_POSITION && r->kind != RECORD_EVENT;
	g->metrics += r->kind == RECORD_METRICS;
	if (r->kind == RECORD_LOG) {
		if (g->lines++ == 0)
			g->oldest = r->timestamp_us;
		g->in_order &= r->timestamp_us > g->newest || g->lines == 1;
		g->newest = r->timestamp_us;
	}
	if (r->kind == RECORD_EVENT) {
		struct loss said;
		assert_true(loss_of_event(r, &said));
		loss_add(&g->said, &said);
		g->events++;
		slice_copy(r->field[EVENT_DATA], g->event, sizeof g->event);
	}
	return --g->stop_after != 0;
}

static struct got
read_all(int64_t after)
{
	struct got g = {.in_order = true};

	spool_read(spool, after, take, &g);
	assert_true(g.in_order);
	assert_false(g.open_group);
	return g;
}

#endif
