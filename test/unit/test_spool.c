/* test_spool.c: spool.h: groups and numbers, recovery after any crash, damage, positions. Eviction: test_spool_evict.c. */
#include "spool_unit.h"

static void
reopen(void)
{
	reopen_with(64 * MB);
}

static void
what_goes_in_comes_out(void **state)
{
	struct got g;

	assert_true(spool_is_new(spool));
	assert_true(add_lines(1, 3, RANK_LOW, "one"));
	assert_true(add_lines(4, 2, RANK_LOW, "two"));
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 5);
	assert_int_equal(g.positions, 2);
	assert_int_equal(g.groups, 2);
	assert_int_equal(g.last - g.first, 6);
	assert_int_equal(g.first, spool_acked(spool) + 1);
	assert_int_equal(g.last, spool_last(spool));
	/* Microseconds since 1970. */
	assert_true(llabs(g.first - clock_us(CLOCK_REALTIME)) < 60 * 1000000);
	/* From the middle, and stopped in the middle. */
	g = (struct got){.in_order = true, .stop_after = 2};
	spool_read(spool, spool_acked(spool) + 1, take, &g);
	assert_int_equal(g.first, spool_acked(spool) + 2);
	assert_int_equal(g.last, g.first + 1);
	assert_true(g.open_group);
}

static void
over_a_restart(void **state)
{
	add_lines(1, 3, RANK_LOW, "one");
	int64_t last = spool_last(spool);
	reopen();
	assert_false(spool_is_new(spool));
	assert_int_equal(spool_last(spool), last);
	add_lines(4, 2, RANK_LOW, "two");
	kill_spool();
	reopen();
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 5);
	assert_int_equal(g.newest, 5);
	assert_string_equal(spool_position(spool, "/var/log/a"), "6");
	/* What is delivered, the database says. */
	spool_ack(spool, last);
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 2);
	assert_int_equal(g.oldest, 4);
}

static void
delivered_goes(void **state)
{
	char message[2000];
	struct spool_state st;

	memset(message, 'x', sizeof message - 1);
	message[sizeof message - 1] = '\0';
	for (int i = 0; i < 2000; i++)
		add_lines(1 + i, 1, RANK_LOW, message);
	assert_true(each_file(".seg", NULL) >= 4);
	spool_state(spool, &st);
	assert_int_equal(st.records, 4000);
	assert_int_equal(st.oldest_us, 1);
	struct got g = {.in_order = true, .stop_after = 2000};
	spool_read(spool, spool_acked(spool), take, &g);
	spool_ack(spool, g.last);
	spool_state(spool, &st);
	assert_int_equal(st.records, 2000);
	assert_int_equal(st.oldest_us, 1001);
	g = read_all(spool_acked(spool));
	assert_int_equal(g.oldest, 1001);
	spool_ack(spool, g.last);
	/* At once, or a second later. */
	if (spool->remove_ms != INT64_MAX)
		spool_run(spool, spool->remove_ms + 1000);
	assert_int_equal(each_file(".seg", NULL), 1);
	assert_true(spool->disk_bytes < BIG_BYTES);
	spool_state(spool, &st);
	assert_int_equal(st.records, 0);
	/* Nothing is left but the next number and the position. */
	int64_t last = spool_last(spool);
	kill_spool();
	reopen();
	assert_true(spool_last(spool) >= last);
	spool_ack(spool, last); /* as the greeting does */
	assert_string_equal(spool_position(spool, "/var/log/a"), "2001");
	add_lines(5000, 1, RANK_LOW, "more");
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 1);
	assert_true(g.first > last);
}

static void
renumbered(void **state)
{
	add_lines(1, 3, RANK_LOW, "one");
	add_lines(4, 3, RANK_LOW, "two");
	int64_t above = spool_last(spool) + 1000000;
	spool_renumber(spool, above);
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 6);
	assert_int_equal(g.first, above + 1);
	/* Once more, with some of it delivered: that does not come again. */
	spool_ack(spool, above + 2);
	above += 50;
	spool_renumber(spool, above + 2);
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 4);
	assert_int_equal(g.first, above + 3);
	add_lines(7, 1, RANK_LOW, "three");
	kill_spool();
	reopen();
	g = read_all(above);
	assert_int_equal(g.lines, 7);
	assert_int_equal(g.first, above + 1);
	assert_int_equal(g.last, above + 10);
	assert_string_equal(spool_position(spool, "/var/log/a"), "8");
}

static void
lost_and_behind(void **state)
{
	add_lines(1, 3, RANK_LOW, "one");
	int64_t last = spool_last(spool);
	spool_ack(spool, last - 2);
	/* The end of it was never synced, and the power failed: the database has had it. */
	int64_t size = spool->segment[0].size, base = spool->segment[0].base;
	kill_spool();
	int fd = open(dir, O_DIRECTORY), file = segment_open(fd, base, false);
	assert_int_equal(ftruncate(file, size - 5), 0);
	close(file);
	close(fd);
	reopen();
	assert_true(spool_is_behind(spool, last));
	assert_false(spool_is_new(spool));
	/* What is put before the greeting is new, whatever the database says of numbers that are gone. */
	add_lines(4, 1, RANK_LOW, "two");
	assert_true(spool_is_behind(spool, last));
	spool_ack(spool, last);
	assert_int_equal(read_all(spool_acked(spool)).lines, 1);
	last = spool_last(spool);
	/* And lost as a whole. */
	kill_spool();
	each_file("", remove_path);
	reopen();
	assert_true(spool_is_new(spool));
	assert_true(spool_is_behind(spool, last));
	assert_false(spool_is_behind(spool, 0));
	assert_null(spool_position(spool, "/var/log/a"));
	spool_set_position(spool, "/var/log/a", "5");
	assert_string_equal(spool_position(spool, "/var/log/a"), "5");
	/* Of what waits in the spool the database can't know. */
	add_lines(9, 1, RANK_LOW, "more");
	spool_set_position(spool, "/var/log/a", "5");
	assert_string_equal(spool_position(spool, "/var/log/a"), "10");
	reopen();
	assert_false(spool_is_behind(spool, spool_last(spool)));
	assert_string_equal(spool_position(spool, "/var/log/a"), "10");
}

/* --- damage */

static int flip_at;

static void
flip_bit(const char *path)
{
	char byte;
	int fd = open(path, O_RDWR);

	assert_int_equal(pread(fd, &byte, 1, flip_at / 8), 1);
	byte ^= (char) (1 << flip_at % 8);
	assert_int_equal(pwrite(fd, &byte, 1, flip_at / 8), 1);
	close(fd);
}

static void
any_bit_flips(void **state)
{
	for (int i = 0; i < 5; i++)
		add_lines(1 + 2 * i, 2, RANK_LOW, "some text");
	int bits = (int) spool->segment[0].size * 8;
	kill_spool();
	for (flip_at = 0; flip_at < bits; flip_at += 3) {
		struct spool_state st;
		each_file(".seg", flip_bit);
		reopen();
		struct got g = {.in_order = true};
		spool_read(spool, spool_acked(spool), take, &g);
		assert_true(g.in_order);
		spool_state(spool, &st);
		/* One frame is gone, at the end its group. */
		if (g.lines + g.positions != 14)
			assert_true(g.lines + g.positions == 12 && g.newest == 8);
		assert_int_equal(st.damaged, 1);
		memset(&spool->loss, 0, sizeof spool->loss);
		kill_spool();
		/* A torn end was cut off; as it was before. */
		each_file("", remove_path);
		reopen();
		for (int i = 0; i < 5; i++)
			add_lines(1 + 2 * i, 2, RANK_LOW, "some text");
		kill_spool();
	}
}

static void
write_file(const char *name, const void *bytes, size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void
garbage_and_foreign_files(void **state)
{
	static char junk[300000];
	struct spool_state st;
	char path[PATH_MAX];

	add_lines(1, 3, RANK_LOW, "one");
	kill_spool();
	srandom(7);
	for (size_t i = 0; i < sizeof junk; i++)
		junk[i] = (char) random();
	write_file("0000000000000001.seg", junk, sizeof junk);
	memset(junk, 0xfe, sizeof junk);
	write_file("0000000000000002.seg", junk, sizeof junk);
	write_file("0000000000000003.seg", "", 0);
	frame_write_head(junk, 0, 0, 1000);
	junk[2] = 9; /* version */
	frame_rewrite_head(junk, 0, 0);
	write_file("0000000000000004.seg", junk, FRAME_HEAD + 1000);
	write_file("ffffffffffffffff.seg", junk, 10);
	write_file("notes.txt", "x", 1);
	write_file("positions", junk, 100);
	snprintf(path, sizeof path, "%s/0000000000000005.seg", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof path, "%s/0000000000000006.seg", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/0000000000000007.seg", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	reopen();
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 3);
	assert_int_equal(each_file(".damaged", NULL), 1);
	assert_int_equal(each_file("notes.txt", NULL), 1);
	spool_state(spool, &st);
	assert_true(st.damaged > 0);
	/* Said, as an event. */
	spool_run(spool, monotonic_ms());
	g = read_all(spool_acked(spool));
	assert_int_equal(g.events, 1);
	assert_int_equal(g.said.damaged, st.damaged);
	assert_non_null(strstr(g.event, "spool damaged"));
	each_file("damaged", remove_path);
	each_file("06.seg", remove_path);
}

/* Whole frames whose records are nothing that this program knows, as a newer one may have left them. */
static void
unknown_records(void **state)
{
	struct spool_state st;
	char bytes[200];

	kill_spool();
	memset(bytes, 0, sizeof bytes);
	memset(bytes + FRAME_HEAD, 99, 30);
	bytes[FRAME_HEAD + 1] = RANK_LOW;
	frame_write_head(bytes, 0, 0, 30);
	write_file("0000000000000001.seg", bytes, FRAME_HEAD + 30);
	reopen();
	add_lines(1, 1, RANK_LOW, "x");
	for (int i = 0; i < 3; i++)
		assert_int_equal(read_all(0).lines, 1);
	spool_state(spool, &st);
	assert_int_equal(st.damaged, 1);
}

/* A file that was written to take long: valid heads with wrong payloads, each as long as the file. */
static void
damage_takes_no_time(void **state)
{
	static char bytes[2 * MB];

	for (size_t at = 0; at + FRAME_HEAD < sizeof bytes; at += FRAME_HEAD)
		frame_write_head(bytes + at, 0, 0, 0), bytes[at + 16] ^= 1, frame_rewrite_head(bytes + at, 0, at);
	write_file("0000000000000001.seg", bytes, sizeof bytes);
	int64_t before = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	reopen();
	assert_true(clock_us(CLOCK_PROCESS_CPUTIME_ID) - before < 5000000);
	assert_int_equal(read_all(0).groups, 0);
}

static void
positions_file_cut_anywhere(void **state)
{
	for (int i = 0; i < 3; i++) {
		char name[40];
		snprintf(name, sizeof name, "/var/log/%d", i);
		spool_set_position(spool, name, "state");
	}
	spool_sync(spool);
	char path[PATH_MAX];
	static char bytes[10000];
	snprintf(path, sizeof path, "%s/positions", dir);
	int fd = open(path, O_RDONLY);
	ssize_t size = read(fd, bytes, sizeof bytes);
	close(fd);
	for (ssize_t cut = 0; cut <= size; cut++) {
		kill_spool();
		each_file("running", remove_path);
		write_file("positions", bytes, (size_t) cut);
		reopen();
		assert_int_equal(spool->positions.count,
						 3 * cut / (size - FRAME_HEAD) > 3 ? 3 : 3 * cut / (size - FRAME_HEAD));
		/* Less than all of it is no answer: the database is asked. */
		assert_int_equal(each_file("positions", NULL), cut == size);
		assert_int_equal(spool_positions_lost(spool), cut < size);
	}
}

/* Another boot of the machine than the one that wrote: what was not synced may be missing. */
static void
after_a_power_failure(void **state)
{
	for (int i = 0; i < 2; i++) {
		add_lines(1, 3, RANK_LOW, "one");
		int64_t last = spool_last(spool);
		kill_spool();
		reopen();
		assert_false(spool_positions_lost(spool)); /* kill -9 alone */
		kill_spool();
		write_file("running", "00000000-0000-0000-0000-000000000000\n", 37);
		for (int again = 0; again < 2; again++) {
			/* Also when it is killed once more, before the database has spoken. */
			reopen();
			assert_true(spool_positions_lost(spool));
			assert_null(spool_position(spool, "/var/log/a"));
			kill_spool();
		}
		reopen();
		spool_ack(spool, last - (i == 0)); /* the greeting: not all of it is there, or all */
		spool_set_position(spool, "/var/log/a", "77");
		assert_string_equal(spool_position(spool, "/var/log/a"), i == 0 ? "4" : "77");
		spool_run(spool, spool_wake_ms(spool));
		kill_spool();
		reopen();
		assert_false(spool_positions_lost(spool));
		assert_string_equal(spool_position(spool, "/var/log/a"), i == 0 ? "4" : "77");
		spool_ack(spool, last);
	}
	/* An orderly end leaves no question open. */
	spool_close(spool);
	spool = NULL;
	assert_int_equal(each_file("running", NULL), 0);
	reopen();
	assert_false(spool_positions_lost(spool));
}

/* --- random histories against a model */

struct model_group {
	int from, lines;
	int64_t base, end, number;
};

static void
check_against_model(const struct model_group *group, int count, int64_t acked)
{
	int lines = 0, first = 0;

	for (int i = 0; i < count; i++) {
		/* A batch may end within a group. */
		int64_t start = group[i].number - group[i].lines;
		for (int l = 0; l < group[i].lines; l++)
			if (start + l > acked) {
				if (lines++ == 0)
					first = group[i].from + l;
			}
	}
	struct got g = {.in_order = true};
	spool_read(spool, spool_acked(spool) > acked ? spool_acked(spool) : acked, take, &g);
	assert_true(g.in_order);
	assert_int_equal(g.lines, lines);
	if (lines > 0) {
		assert_int_equal(g.oldest, first);
		assert_int_equal(g.newest, group[count - 1].from + group[count - 1].lines - 1);
	}
	if (count > 0) {
		char text[20];
		snprintf(text, sizeof text, "%d", group[count - 1].from + group[count - 1].lines);
		assert_string_equal(spool_position(spool, "/var/log/a"), text);
	}
}

static void
random_history(unsigned seed)
{
	static struct model_group group[3000];
	static char message[20000];
	int count = 0, next = 1;
	int64_t acked = 0, synced = 0, synced_base = 0;

	srandom(seed);
	memset(message, 'm', sizeof message);
	for (int step = 0; step < 600; step++) {
		int what = (int) (random() % 100);
		if (what < 60) {
			int n = 1 + (int) (random() % 5), size = (int) (random() % (what < 5 ? 19000 : 900));
			message[size] = '\0';
			assert_true(add_lines(next, n, RANK_LOW, message));
			message[size] = 'm';
			const struct segment *seg = &spool->segment[spool->count - 1];
			group[count++] = (struct model_group){next, n, seg->base, seg->size, spool_last(spool)};
			next += n;
		} else if (what < 75 && count > 0) {
			struct got g = {.in_order = true, .stop_after = 1 + (int) (random() % 200)};
			spool_read(spool, spool_acked(spool), take, &g);
			if (g.last > 0) {
				spool_ack(spool, g.last);
				acked = g.last;
			}
			synced_base = spool->count > 0 ? spool->segment[spool->count - 1].base : 0;
			synced = spool->count > 0 ? spool->segment[spool->count - 1].size : 0;
		} else if (what < 85)
			check_against_model(group, count, acked);
		else if (what < 97) {
			/* kill -9 or power failure: what is not synced may be gone from any byte on. */
			if (spool->count > 0) {
				const struct segment *seg = &spool->segment[spool->count - 1];
				int64_t base = seg->base, from = synced_base == base ? synced : 0;
				int64_t cut = seg->size - (random() % 2 ? random() % (seg->size - from + 1) : 0);
				int fd = openat(spool->dir_fd, ".", O_DIRECTORY);
				kill_spool();
				int file = segment_open(fd, base, false);
				assert_int_equal(ftruncate(file, cut), 0);
				close(file);
				close(fd);
				while (count > 0 && group[count - 1].base == base && group[count - 1].end > cut)
					next = group[--count].from;
			} else
				kill_spool();
			reopen();
			spool_ack(spool, acked);
		} else {
			reopen();
			spool_ack(spool, acked);
		}
	}
	check_against_model(group, count, acked);
}

static void
random_histories(void **state)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		random_history(seed);
		spool_close(spool);
		each_file("", remove_path);
		spool = NULL;
		reopen();
	}
}

static void
urgency(void **state)
{
	assert_true(spool_urgent_ms(spool) == INT64_MAX);
	struct record r;
	record_init(&r, RECORD_LOG, RANK_LOW, 1);
	spool_add(spool, &r, SPOOL_LATER);
	assert_true(spool_urgent_ms(spool) == INT64_MAX);
	spool_add(spool, &r, SPOOL_SOON);
	int64_t soon = spool_urgent_ms(spool);
	assert_true(soon > monotonic_ms() && soon <= monotonic_ms() + 1000);
	spool_add(spool, &r, SPOOL_NOW);
	assert_true(spool_urgent_ms(spool) <= monotonic_ms());
	spool_add(spool, &r, SPOOL_SOON);
	assert_true(spool_urgent_ms(spool) <= monotonic_ms());
	spool_not_urgent(spool);
	assert_true(spool_urgent_ms(spool) == INT64_MAX);
}

static void
newest_metrics(void **state)
{
	struct record r;
	int64_t number;

	assert_false(spool_newest_metrics(spool, &number, &r));
	add_metrics(1000000);
	add_lines(1, 1, RANK_LOW, "x");
	add_metrics(2000000);
	add_lines(2, 1, RANK_LOW, "x");
	assert_true(spool_newest_metrics(spool, &number, &r));
	assert_int_equal(r.timestamp_us, 2000000);
	kill_spool();
	reopen();
	assert_true(spool_newest_metrics(spool, &number, &r));
	assert_int_equal(r.timestamp_us, 2000000);
	assert_true(slice_equals(r.field[3], "12.345"));
	spool_ack(spool, number - 1);
	assert_true(spool_newest_metrics(spool, &number, &r));
	spool_ack(spool, number);
	assert_false(spool_newest_metrics(spool, &number, &r));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_goes_in_comes_out),
		TEST(over_a_restart),
		TEST(delivered_goes),
		TEST(renumbered),
		TEST(lost_and_behind),
		TEST(any_bit_flips),
		TEST(garbage_and_foreign_files),
		TEST(unknown_records),
		TEST(damage_takes_no_time),
		TEST(positions_file_cut_anywhere),
		TEST(after_a_power_failure),
		TEST(random_histories),
		TEST(urgency),
		TEST(newest_metrics),
	};
	return TESTS(tests);
}
