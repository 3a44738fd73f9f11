/* test_spool_trouble.c: spool.h: what goes wrong rarely: files in the way, nothing to write to, losses that are lost, numbers of others. */
#include "spool_unit.h"

#include <sys/resource.h>

static void
reopen(void)
{
	reopen_with(64 * MB);
}

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool
add_line(int i, enum record_rank rank)
{
	spool_begin(spool);
	put_line(i, rank, "a line");
	return spool_end(spool, SPOOL_LATER);
}

/* The state directory itself comes late: there is nothing yet to make the spool's in. */
static void
parent_comes_late(void **state)
{
	char inner[PATH_MAX], file[PATH_MAX];
	struct spool_state st;

	spool_close(spool);
	assert_int_equal((each_file("", remove_path), rmdir(dir)), 0);
	snprintf(inner, sizeof inner, "%s/spool", dir);
	spool = spool_open(inner, MB, monotonic_ms());
	add_line(1, RANK_LOW);
	spool_state(spool, &st);
	assert_false(st.on_disk);
	assert_int_equal(mkdir(dir, 0700), 0);
	spool_run(spool, spool->retry_ms);
	spool_state(spool, &st);
	assert_true(st.on_disk);
	spool_close(spool);
	spool = spool_open(inner, MB, monotonic_ms());
	assert_int_equal(read_all(spool_acked(spool)).lines, 1);
	segment_name(spool->segment[0].base, file);
	spool_close(spool);
	char path[2 * PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", inner, file);
	assert_int_equal(remove(path), 0);
	assert_int_equal(rmdir(inner), 0);
	spool = NULL;
}

/* A file that was written by half, and could not be taken away, has the name of a segment in memory. */
static void
leftover_in_the_way(void **state)
{
	struct spool_state st;
	char name[SEGMENT_NAME_SIZE];

	limit_files(0);
	for (int i = 0; i < 3; i++)
		add_line(i, RANK_LOW);
	limit_files(RLIM_INFINITY);
	segment_name(spool->segment[spool->count - 1].base, name);
	int fd = openat(spool->dir_fd, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	spool_run(spool, spool->retry_ms);
	spool_state(spool, &st);
	assert_true(st.on_disk);
	kill_spool();
	reopen_with(MB);
	assert_int_equal(read_all(spool_acked(spool)).lines, 3);
}

/* Errors drive out errors, and the events about those that went before: each is counted once, however often that is told. */
static void
told_again(void **state)
{
	int n = 0;

	reopen_with(64 << 10);
	for (; n < 20000; n++) {
		assert_true(add_line(n, RANK_KEEP));
		if (n % 500 == 0)
			spool_say_loss(spool, monotonic_ms());
	}
	spool_say_loss(spool, monotonic_ms());
	struct got g = {.in_order = true};
	spool_read(spool, 0, take, &g);
	loss_add(&g.said, &spool->loss);
	assert_int_equal(g.lines + g.said.records[RANK_KEEP], n);
	assert_int_equal(g.lines + spool->ever.records[RANK_KEEP], n);
}

/* Nor is it counted twice where there is no room for the event. */
static void
told_in_vain(void **state)
{
	reopen_with(200);
	spool->loss = (struct loss){.records[RANK_KEEP] = 5, .reasons = LOSS_SPOOL_FULL};
	for (int i = 0; i < 3; i++) {
		spool_say_loss(spool, monotonic_ms());
		assert_int_equal(spool->loss.records[RANK_KEEP], 5);
		assert_true(spool->loss_ms > monotonic_ms());
	}
}

/* What others tell as lost is not in the spool's words: such an event counts as any other. */
static void
events_of_others(void **state)
{
	struct record r;

	reopen_with(64 << 10);
	record_init(&r, RECORD_EVENT, RANK_KEEP, 1);
	record_set(&r, EVENT_KIND, LOSS_EVENT);
	record_set(&r, EVENT_DATA, "{\"reason\": \"deleted_log_file\", \"bytes\": 5, \"file\": \"/a\"}");
	spool_add(spool, &r, SPOOL_SOON);
	assert_true(add_lines(1, 1, RANK_LOW, "low"));
	for (int i = 0; spool->ever.records[RANK_KEEP] == 0; i++)
		assert_true(add_line(i, RANK_KEEP));
	struct got g = {.in_order = true};
	spool_read(spool, 0, take, &g);
	assert_int_equal(g.lines + spool->ever.records[RANK_KEEP] + spool->ever.records[RANK_LOW] - 2,
					 g.newest + 1);
	assert_int_equal(g.positions, 1);
}

static void
break_byte(const char *path)
{
	int fd = open(path, O_WRONLY);

	assert_int_equal(pwrite(fd, "?", 1, 100), 1);
	close(fd);
}

/* Damage that is found while room is made is told as well. */
static void
damage_while_room_is_made(void **state)
{
	reopen_with(64 << 10);
	for (int i = 0; spool->count < 2; i++)
		assert_true(i % 2 ? add_line(i, RANK_KEEP) : add_metrics(i));
	each_file(".seg", break_byte);
	for (int i = 0; spool->ever.records[RANK_METRICS] + spool->ever.thinned == 0; i++)
		assert_true(add_line(i, RANK_KEEP));
	assert_true(spool->ever.damaged >= 1);
}

/* A directory that comes late has records that were delivered by the run before: the greeting has told that already. */
static void
known_before_it_was_read(void **state)
{
	char path[PATH_MAX];

	assert_true(add_line(1, RANK_LOW));
	int64_t delivered = spool_last(spool);
	assert_true(add_line(2, RANK_LOW));
	spool_close(spool);
	snprintf(path, sizeof path, "%s.away", dir);
	assert_int_equal(rename(dir, path), 0);
	spool = spool_open("/nowhere/spool", MB, monotonic_ms());
	spool_ack(spool, delivered);
	snprintf(spool->dir, sizeof spool->dir, "%s", dir);
	assert_int_equal(rename(path, dir), 0);
	spool_run(spool, spool->retry_ms);
	assert_int_equal(spool_acked(spool), delivered);
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 1);
	assert_int_equal(g.oldest, 2);
}

/* Numbers that others have used: what waited under them is told as lost, but for what the database is known to have. */
static void
numbers_of_others(void **state)
{
	assert_true(add_line(1, RANK_WARNING));
	assert_true(add_lines(2, 2, RANK_LOW, "low"));
	int64_t last = spool_last(spool);
	reopen();
	assert_true(add_line(9, RANK_LOW));
	spool_catch_up(spool, last + 5);
	spool_catch_up(spool, last + 5);
	assert_int_equal(spool->ever.records[RANK_WARNING], 1);
	assert_int_equal(spool->ever.records[RANK_LOW], 2);
	assert_int_equal(spool->ever.records[RANK_KEEP], 0);
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.oldest, 9);
	spool_say_loss(spool, monotonic_ms());
	g = read_all(spool_acked(spool));
	assert_non_null(strstr(g.event, "\"reason\": \"numbers used by another agent\", \"metrics\": 0"));
	/* After a power failure it is known why the database has more. */
	last = spool_last(spool);
	kill_spool();
	int fd = open(dir, O_DIRECTORY), file = openat(fd, "running", O_WRONLY | O_TRUNC);
	close(file);
	close(fd);
	reopen();
	spool_catch_up(spool, last + 5);
	assert_false(loss_is_any(&spool->ever));
	assert_int_equal(spool_acked(spool) >= last, true);
}

static void
limit_descriptors(rlim_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = n ? n : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* What can't be read only for now is not passed over: what comes after it would be taken for all there is. */
static void
short_of_descriptors(void **state)
{
	for (int i = 0; i < 3; i++)
		assert_true(add_line(i, RANK_LOW));
	limit_files(0);
	for (int i = 3; i < 6; i++)
		assert_true(add_line(i, RANK_LOW));
	limit_files(RLIM_INFINITY);
	struct got g = {.in_order = true};
	limit_descriptors(3);
	bool read = spool_read(spool, 0, take, &g);
	limit_descriptors(0);
	assert_false(read);
	assert_int_equal(g.lines, 0);
	assert_int_equal(read_all(0).lines, 6);
	assert_false(loss_is_any(&spool->ever));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(parent_comes_late),
		TEST(leftover_in_the_way),
		TEST(told_again),
		TEST(told_in_vain),
		TEST(events_of_others),
		TEST(damage_while_room_is_made),
		TEST(known_before_it_was_read),
		TEST(numbers_of_others),
		TEST(short_of_descriptors),
	};
	return TESTS(tests);
}
