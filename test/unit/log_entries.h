/* log_entries.h: lines in, entries out, for the tests of log_lines.h. */
#ifndef OBSERV_TEST_LOG_ENTRIES_H
#define OBSERV_TEST_LOG_ENTRIES_H

#include "unit.h"

#include "core/log_lines.h"

/* 2026-01-02 12:00:00 UTC, and in the tests' lines 03:04:05.678 of that day. */
#define READ_US INT64_C(1767355200000000)
#define TIME_US INT64_C(1767323045678000)

#define ENTRIES_MAX 2048

struct kept_entry {
	char *level, *message, *context, *logger; /* NULL: none */
	int64_t timestamp_us;
	unsigned flags;
};

static struct kept_entry entries[ENTRIES_MAX];
static int entry_count;
static struct log_workspace workspace;
static struct log_lines lines;
static size_t heap_bytes, heap_peak;
static long resizes;

static void *
counting_resize(void *arg, void *p, size_t size)
{
	size_t *head = p != NULL ? (size_t *) p - 2 : NULL;

	(void) arg;
	heap_bytes -= head != NULL ? *head : 0;
	heap_bytes += size;
	heap_peak = heap_bytes > heap_peak ? heap_bytes : heap_peak;
	resizes++;
	if (size == 0) {
		free(head);
		return NULL;
	}
	head = realloc(head, size + 2 * sizeof *head);
	*head = size;
	return head + 2;
}

static char *
kept(struct slice s)
{
	if (s.p == NULL)
		return NULL;
	size_t len = (size_t) (s.end - s.p);
	char *copy = malloc(len + 1);

	memcpy(copy, s.p, len);
	copy[len] = '\0';
	return copy;
}

static void
keep_entry(void *into, const struct log_entry *e)
{
	(void) into;
	assert_true(entry_count < ENTRIES_MAX);
	entries[entry_count++] = (struct kept_entry){kept(e->level),  kept(e->message), kept(e->context),
												 kept(e->logger), e->timestamp_us,  e->flags};
}

static void
forget_entries(void)
{
	for (int i = 0; i < entry_count; i++) {
		free(entries[i].level);
		free(entries[i].message);
		free(entries[i].context);
		free(entries[i].logger);
	}
	entry_count = 0;
}

/* Before and after each test. */
static int
begin_lines(void **state)
{
	(void) state;
	log_workspace_init(&workspace, (struct log_memory){counting_resize, NULL});
	log_lines_init(&lines, &workspace);
	heap_peak = heap_bytes;
	return 0;
}

static int
end_lines(void **state)
{
	(void) state;
	forget_entries();
	log_lines_free(&lines);
	log_workspace_free(&workspace);
	return heap_bytes == 0 ? 0 : -1;
}

static void
feed_bytes(const char *bytes, size_t len, unsigned flags, int64_t read_us)
{
	char *exact = malloc(len > 0 ? len : 1);
	struct log_line line = {{exact, exact + len}, flags, (int64_t) len};

	memcpy(exact, bytes, len);
	log_lines_feed(&lines, &line, read_us, keep_entry, NULL);
	free(exact);
}

/* Each line of the text. */
static void __attribute__((unused)) feed(const char *text)
{
	struct slice in = slice_of(text), line;

	while (slice_line(&in, &line))
		feed_bytes(line.p, (size_t) (line.end - line.p), 0, READ_US);
}

static void __attribute__((unused)) flush(void)
{
	log_lines_flush(&lines, INT64_MAX, keep_entry, NULL);
}

/* One line that gives one entry. */
static const struct kept_entry *__attribute__((unused)) entry_of(const char *text)
{
	forget_entries();
	feed(text);
	flush();
	assert_int_equal(entry_count, 1);
	return &entries[0];
}

#define assert_text(actual, expected)                                                                        \
	do {                                                                                                     \
		const char *actual_ = (actual), *expected_ = (expected);                                             \
		if (expected_ == NULL ? actual_ != NULL : actual_ == NULL || strcmp(actual_, expected_) != 0)        \
			fail_msg("%s is %s, not %s", #actual, actual_ != NULL ? actual_ : "NULL",                        \
					 expected_ != NULL ? expected_ : "NULL");                                                \
	} while (0)

#define assert_entry(e, level_, message_, context_, logger_)                                                 \
	do {                                                                                                     \
		assert_text((e)->level, level_);                                                                     \
		assert_text((e)->message, message_);                                                                 \
		assert_text((e)->context, context_);                                                                 \
		assert_text((e)->logger, logger_);                                                                   \
	} while (0)

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_lines, end_lines)

#endif
