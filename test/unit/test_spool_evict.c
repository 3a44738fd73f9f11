/* test_spool_evict.c: spool.h: what goes when there is no room, in which order, and that all of it is said. */
#include "spool_unit.h"

#include <signal.h>
#include <sys/resource.h>

static char text[5000];

static void
fill_text(int size)
{
	memset(text, 't', sizeof text);
	text[size] = '\0';
}

static int
small(void **state)
{
	int failed = set_up(state);

	fill_text(200);
	reopen_with(MB);
	return failed;
}

static bool
add_line(int i, enum record_rank rank)
{
	spool_begin(spool);
	put_line(i, rank, text);
	return spool_end(spool, SPOOL_LATER);
}

static void
cap_is_held(void)
{
	int64_t bytes = 0;

	assert_true(spool->disk_bytes <= MB);
	for (int i = 0; i < spool->count; i++)
		bytes += spool->segment[i].size;
	assert_int_equal(bytes, spool->disk_bytes + spool->memory_bytes);
}

/* Puts the event about losses; all of them must be in the spool then, those that are read and those to come. */
static struct got
say_and_read(void)
{
	spool_say_loss(spool, monotonic_ms());
	struct got g = {.in_order = true, .newest = -1};
	spool_read(spool, 0, take, &g);
	assert_false(g.open_group);
	loss_add(&g.said, &spool->loss);
	return g;
}

static void
metrics_are_thinned_first(void **state)
{
	/* A row each 10 s; lines of all ranks between them. */
	int i = 0, samples = 0;

	for (; spool->ever.thinned == 0; i++) {
		assert_true(add_metrics((int64_t) samples++ * 10000000));
		add_line(i, RANK_LOW);
		cap_is_held();
	}
	assert_true(each_file(".seg", NULL) >= 4);
	struct got g = say_and_read();
	assert_int_equal(g.by_rank[RANK_LOW], i);
	assert_int_equal(g.metrics + g.said.thinned, samples);
	assert_int_equal(g.said.records[RANK_METRICS], 0);
	assert_int_equal(g.events, 1);
	assert_non_null(strstr(g.event, "\"reason\": \"spool full\", \"metrics\": 0, \"metrics_thinned\": "));
	assert_non_null(strstr(g.event, "\"from\": \"1970-01-01T00:00:10Z\", \"to\": \"1970-01-01T"));
	/* The oldest are thinned, the newest are not. */
	assert_true(g.metrics > samples / 6);
}

static void
then_by_rank(void **state)
{
	int put[RANKS] = {0};
	struct got g;

	/* What is of higher rank drives out what is of lower rank, never the other way round. */
	for (int i = 0; i < 2000; i++)
		add_metrics((int64_t) put[RANK_METRICS]++ * 60000000);
	for (int i = 0; i < 6000; i++) {
		add_line(put[RANK_LOW]++, RANK_LOW);
		cap_is_held();
	}
	g = say_and_read();
	assert_int_equal(g.metrics + g.said.records[RANK_METRICS] + g.said.thinned, put[RANK_METRICS]);
	assert_int_equal(g.metrics, 1); /* the newest, for the hour when the database is back */
	assert_int_equal(g.by_rank[RANK_LOW] + g.said.records[RANK_LOW], put[RANK_LOW]);
	assert_true(g.by_rank[RANK_LOW] > 3000);
	/* Full of lines: a sample does not get in, and that is said too. */
	while (spool->disk_bytes < MB - 300)
		add_line(put[RANK_LOW]++, RANK_LOW);
	while (add_metrics((int64_t) put[RANK_METRICS]++ * 60000000))
		continue;
	g = say_and_read();
	assert_int_equal(g.metrics + g.said.records[RANK_METRICS] + g.said.thinned, put[RANK_METRICS]);
	/* Warnings drive out lines; errors drive out warnings; lines get in nowhere then. */
	for (int i = 0; i < 6000; i++)
		assert_true(add_line(put[RANK_WARNING]++, RANK_WARNING));
	g = say_and_read();
	assert_int_equal(g.by_rank[RANK_LOW], 0);
	for (int i = 0; i < 6000; i++)
		assert_true(add_line(put[RANK_KEEP]++, RANK_KEEP));
	g = say_and_read();
	assert_int_equal(g.by_rank[RANK_WARNING], 0);
	assert_true(g.by_rank[RANK_KEEP] > 3000);
	cap_is_held();
	g = say_and_read();
	for (int rank = RANK_LOW; rank < RANKS; rank++)
		assert_int_equal(g.by_rank[rank] + g.said.records[rank], put[rank]);
	assert_int_equal(g.metrics + g.said.records[RANK_METRICS] + g.said.thinned, put[RANK_METRICS]);
}

static void
positions_stay(void **state)
{
	char file[40], state_text[40];
	int i;

	/* A file of which nothing is heard again, then groups of ten files until many lines have gone. */
	for (i = 0; i < 3; i++) {
		spool_begin(spool);
		put_line(i, RANK_LOW, text);
		put_position("/var/log/old", i == 2 ? "last" : "earlier");
		assert_true(spool_end(spool, SPOOL_LATER));
	}
	for (i = 0; spool->ever.records[RANK_LOW] < 20000; i++) {
		spool_begin(spool);
		put_line(i, RANK_LOW, text);
		snprintf(file, sizeof file, "/var/log/%d", i % 10);
		snprintf(state_text, sizeof state_text, "%d", i);
		put_position(file, state_text);
		assert_true(spool_end(spool, SPOOL_LATER));
		cap_is_held();
	}
	kill_spool();
	reopen_with(MB);
	assert_string_equal(spool_position(spool, "/var/log/old"), "last");
	for (int n = i - 10; n < i; n++) {
		snprintf(file, sizeof file, "/var/log/%d", n % 10);
		snprintf(state_text, sizeof state_text, "%d", n);
		assert_string_equal(spool_position(spool, file), state_text);
	}
	/* Beside those with a line, each segment that was emptied leaves one a file. */
	struct got g = read_all(spool_acked(spool));
	assert_true(g.positions < g.lines + i / 10);
	assert_true(spool->count < 20);
}

static void
random_rounds(void **state)
{
	int64_t acked[RANKS] = {0}, put[RANKS] = {0};
	struct loss delivered = {{0}};

	srandom(11);
	for (int i = 0; i < 40000; i++) {
		enum record_rank rank = (enum record_rank)(random() % RANKS);
		int lines = 1 + (int) (random() % 3);
		fill_text((int) (random() % 300));
		if (rank == RANK_METRICS)
			add_metrics((int64_t) i * 5000000), put[rank]++;
		else {
			spool_begin(spool);
			for (int l = 0; l < lines; l++)
				put_line(3 * i + l, rank, text);
			if (random() % 2)
				put_position("/var/log/a", "x");
			if (spool_end(spool, SPOOL_LATER) || !spool->group_has_position)
				put[rank] += lines;
		}
		cap_is_held();
		/* Now and then something is delivered, or read and not delivered. */
		if (random() % 1500 == 0) {
			struct got g = {.stop_after = 1 + (int) (random() % 1000)};
			spool_read(spool, spool_acked(spool), take, &g);
			for (int more = (int) (random() % 1000); more > 0; more--)
				add_line(1000000 + i, RANK_LOW), put[RANK_LOW]++;
			if (random() % 2 && g.last > 0) {
				spool_ack(spool, g.last);
				for (int r = 0; r < RANKS; r++)
					acked[r] += g.by_rank[r];
				loss_add(&delivered, &g.said);
			}
		}
		if (random() % 2000 == 0)
			spool_say_loss(spool, monotonic_ms());
	}
	/* Twice, so that what was on its way is known to be lost. */
	read_all(spool_acked(spool));
	spool_say_loss(spool, monotonic_ms());
	struct got g = {.in_order = true};
	spool_read(spool, spool_acked(spool), take, &g);
	loss_add(&delivered, &g.said);
	loss_add(&delivered, &spool->loss);
	for (int r = 0; r < RANKS; r++)
		assert_int_equal(acked[r] + g.by_rank[r] + delivered.records[r] + (r == 0 ? delivered.thinned : 0),
						 put[r]);
	assert_true(delivered.records[RANK_KEEP] > 0);
}

static void
what_is_on_its_way_is_not_lost(void **state)
{
	for (int i = 0; i < 1000; i++)
		add_line(i, RANK_LOW);
	struct got g = read_all(spool_acked(spool));
	for (int i = 1000; i < 8000; i++)
		add_line(i, RANK_LOW);
	/* They had to go, but the database has had them. */
	int64_t gone = spool->in_flight.records[RANK_LOW];
	assert_int_equal(gone, 1000);
	spool_ack(spool, g.last);
	g = say_and_read();
	assert_int_equal(1000 + g.lines + g.said.records[RANK_LOW], 8000);
}

/* --- where the disk can't be written */

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
memory_stands_in(void **state)
{
	struct spool_state st;

	reopen_with(64 * MB);
	for (int i = 0; i < 100; i++)
		assert_true(add_lines(1 + i, 1, RANK_LOW, text));
	limit_files(1000);
	for (int i = 100; i < 200; i++)
		assert_true(add_lines(1 + i, 1, RANK_LOW, text));
	spool_state(spool, &st);
	limit_files(RLIM_INFINITY);
	assert_false(st.on_disk);
	assert_non_null(strstr(st.problem, "File too large"));
	assert_int_equal(st.records, 400);
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 200);
	assert_int_equal(g.positions, 200);
	/* On disk the position is that of what is on disk. */
	assert_string_equal(spool_position(spool, "/var/log/a"), "201");
	spool_ack(spool, g.first + 199);
	assert_int_equal(spool->segment[0].memory != NULL || spool->count > 1, true);
	/* Back when it can be written: at the time that it said. */
	int64_t wake = spool_wake_ms(spool);
	assert_true(wake > monotonic_ms() && spool->retry_ms <= monotonic_ms() + 30000);
	spool_run(spool, spool->retry_ms);
	spool_state(spool, &st);
	assert_true(st.on_disk);
	assert_string_equal(st.problem, "");
	kill_spool();
	reopen_with(64 * MB);
	spool_ack(spool, g.first + 199);
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 100);
	assert_int_equal(g.oldest, 101);
	assert_string_equal(spool_position(spool, "/var/log/a"), "201");
}

static void
killed_while_in_memory(void **state)
{
	reopen_with(64 * MB);
	for (int i = 0; i < 100; i++)
		add_lines(1 + i, 1, RANK_LOW, text);
	limit_files(1000);
	for (int i = 100; i < 200; i++)
		add_lines(1 + i, 1, RANK_LOW, text);
	struct got g = read_all(spool_acked(spool));
	limit_files(RLIM_INFINITY);
	/* What was delivered from memory alone, the database knows. */
	spool_ack(spool, g.last);
	int64_t last = spool_last(spool);
	kill_spool();
	reopen_with(64 * MB);
	assert_true(spool_is_behind(spool, last));
	assert_true(spool_positions_lost(spool));
	assert_null(spool_position(spool, "/var/log/a"));
	/* The greeting, and all is well. */
	spool_ack(spool, last);
	spool_set_position(spool, "/var/log/a", "201");
	assert_string_equal(spool_position(spool, "/var/log/a"), "201");
	spool_sync(spool);
	kill_spool();
	reopen_with(64 * MB);
	assert_false(spool_positions_lost(spool));
	assert_string_equal(spool_position(spool, "/var/log/a"), "201");
}

/* The file of positions never speaks of lines that are in memory only. */
static void
saved_while_in_memory(void **state)
{
	reopen_with(64 * MB);
	for (int i = 0; i < 100; i++)
		add_lines(1 + i, 1, RANK_LOW, text);
	int64_t on_disk = spool_last(spool);
	limit_files(1000); /* enough for the positions */
	for (int i = 100; i < 200; i++)
		add_lines(1 + i, 1, RANK_LOW, text);
	spool_set_position(spool, "/var/log/b", "1");
	spool_sync(spool);
	assert_false(spool->positions_dirty);
	limit_files(RLIM_INFINITY);
	kill_spool();
	reopen_with(64 * MB);
	assert_true(spool_positions_lost(spool));
	spool_ack(spool, on_disk - 50);
	assert_string_equal(spool_position(spool, "/var/log/b"), "1");
	assert_string_equal(spool_position(spool, "/var/log/a"), "101");
}

/* Delivered files that can't be told from others without room for the positions: the next start asks. */
static void
delivered_without_room(void **state)
{
	fill_text(2000);
	reopen_with(64 * MB);
	for (int i = 0; i < 1000; i++)
		assert_true(add_lines(1 + i, 1, RANK_LOW, text));
	limit_files(0);
	for (int i = 1000; i < 1100; i++)
		assert_true(add_lines(1 + i, 1, RANK_LOW, text));
	struct got g = read_all(spool_acked(spool));
	spool_ack(spool, g.last);
	assert_int_equal(spool->memory_bytes, 0);
	assert_int_equal(each_file(".seg", NULL), 0);
	limit_files(RLIM_INFINITY);
	kill_spool();
	reopen_with(64 * MB);
	assert_true(spool_positions_lost(spool));
}

static void
memory_is_bounded(void **state)
{
	int n = 0;

	reopen_with(64 * MB);
	limit_files(0);
	/* At once: a file that holds nothing has the name of the first segment in memory. */
	add_line(n++, RANK_LOW);
	limit_files(RLIM_INFINITY);
	spool_run(spool, spool->retry_ms);
	assert_int_equal(spool->memory_bytes, 0);
	limit_files(0);
	for (; n < 20000; n++) {
		assert_true(add_line(n, RANK_LOW));
		assert_true(spool->memory_bytes <= MEMORY_BYTES);
	}
	for (int i = 0; i < 100; i++)
		add_line(100000 + i, RANK_KEEP);
	struct got g = say_and_read();
	limit_files(RLIM_INFINITY);
	assert_int_equal(g.by_rank[RANK_LOW] + g.said.records[RANK_LOW], n);
	assert_int_equal(g.by_rank[RANK_KEEP], 100);
	assert_non_null(strstr(g.event, "disk not writable"));
	spool_run(spool, spool->retry_ms);
	assert_int_equal(spool->memory_bytes, 0);
	kill_spool();
	reopen_with(64 * MB);
	struct got again = say_and_read();
	assert_int_equal(again.by_rank[RANK_LOW], g.by_rank[RANK_LOW]);
}

static void
directory_comes_late(void **state)
{
	struct spool_state st;
	char path[PATH_MAX];

	add_line(1, RANK_LOW);
	spool_close(spool);
	snprintf(path, sizeof path, "%s.away", dir);
	assert_int_equal(rename(dir, path), 0);
	int fd = open(dir, O_CREAT | O_WRONLY, 0600); /* what is no directory */
	close(fd);
	spool = spool_open(dir, MB, monotonic_ms());
	add_line(2, RANK_LOW);
	spool_state(spool, &st);
	assert_false(st.on_disk);
	assert_int_equal(st.records, 1);
	spool_run(spool, spool->retry_ms);
	spool_state(spool, &st);
	assert_false(st.on_disk);
	assert_int_equal(remove(dir), 0);
	assert_int_equal(rename(path, dir), 0);
	spool_run(spool, spool->retry_ms);
	spool_state(spool, &st);
	assert_true(st.on_disk);
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 2);
	assert_int_equal(g.oldest, 1);
}

static void
cut_to_nothing(const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
}

static void
files_that_vanish(void **state)
{
	int n = 0;

	for (; spool->disk_bytes < MB - 400; n++)
		add_line(n, RANK_LOW);
	/* Somebody empties every file below a spool that is open. */
	each_file(".seg", cut_to_nothing);
	for (; n < 20000; n++)
		assert_true(add_line(n, RANK_LOW));
	struct got g = say_and_read();
	assert_int_equal(g.lines + g.said.records[RANK_LOW], n);
	assert_true(g.lines > 2000);
}

static void
too_large(void **state)
{
	static char large[5 * MB];
	struct record r;

	memset(large, 'l', sizeof large - 1);
	record_init(&r, RECORD_LOG, RANK_LOW, 1);
	record_set(&r, LINE_MESSAGE, large);
	reopen_with(64 * MB);
	assert_false(spool_add(spool, &r, SPOOL_SOON));
	add_line(2, RANK_LOW);
	struct got g = say_and_read();
	assert_int_equal(g.lines, 1);
	assert_int_equal(g.said.records[RANK_LOW], 1);
	assert_non_null(strstr(g.event, "too large"));
	/* A group with a position is not lost: its file still has it. */
	spool_begin(spool);
	spool_put(spool, &r);
	put_position("/var/log/a", "1");
	assert_false(spool_end(spool, SPOOL_SOON));
	assert_null(spool_position(spool, "/var/log/a"));
	assert_int_equal(spool->ever.records[RANK_LOW], 1);
	/* One larger than a segment is a segment. */
	large[2 * MB] = '\0';
	record_set(&r, LINE_MESSAGE, large);
	assert_true(spool_add(spool, &r, SPOOL_SOON));
	kill_spool();
	reopen_with(64 * MB);
	g = say_and_read();
	assert_int_equal(g.lines, 2);
}

static void
room(void **state)
{
	int64_t before = spool_room(spool);

	assert_int_equal(before, MB / 4 * 3);
	add_line(1, RANK_LOW);
	assert_int_equal(spool_room(spool), before - spool->disk_bytes);
	while (spool->disk_bytes < MB / 4 * 3)
		add_line(2, RANK_LOW);
	assert_int_equal(spool_room(spool), 0);
}

static void
events_are_a_minute_apart(void **state)
{
	int64_t now = monotonic_ms();
	int i = 0;

	for (; spool->ever.records[RANK_LOW] == 0; i++)
		add_line(i, RANK_LOW);
	assert_true(spool_wake_ms(spool) <= now);
	spool_run(spool, now);
	for (int64_t n = spool->ever.records[RANK_LOW]; spool->ever.records[RANK_LOW] == n; i++)
		add_line(i, RANK_LOW);
	spool_run(spool, now + 59000);
	assert_true(loss_is_any(&spool->loss));
	spool_run(spool, now + 61000);
	assert_false(loss_is_any(&spool->loss));
	struct got g = {.in_order = true};
	spool_read(spool, 0, take, &g);
	assert_int_equal(g.events, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metrics_are_thinned_first),
		TEST(then_by_rank),
		TEST(positions_stay),
		TEST(random_rounds),
		TEST(what_is_on_its_way_is_not_lost),
		TEST(memory_stands_in),
		TEST(killed_while_in_memory),
		TEST(saved_while_in_memory),
		TEST(delivered_without_room),
		TEST(memory_is_bounded),
		TEST(directory_comes_late),
		TEST(files_that_vanish),
		TEST(too_large),
		TEST(room),
		TEST(events_are_a_minute_apart),
	};
	return TESTS(tests);
}
