/* health_state.c: See health_state.h for what belongs here. */
#include "collector/health_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector/state_dir.h"
#include "core/slice.h"

#define HEADER   "observ health 1"
#define MAX_FILE 262144

/* "IDENTITY LAST_MS breaker words"; LAST_MS "-": never. */
static void
load_line(struct slice line, struct health_target *targets, int count, int64_t now_ms)
{
	struct slice identity, last;
	struct breaker breaker;
	int64_t last_ms = INT64_MIN;
	char hex[17];

	if (!slice_word(&line, &identity) || !slice_word(&line, &last) || !breaker_read(line, now_ms, &breaker) ||
		(!slice_equals(last, "-") && !slice_to_i64(last, &last_ms)))
		return;
	for (int i = 0; i < count; i++) {
		snprintf(hex, sizeof hex, "%016" PRIx64, targets[i].identity);
		/* Two checks may look the same in this; each line is for one. */
		if (targets[i].last_wall_ms != INT64_MIN || targets[i].tried || !slice_equals(identity, hex))
			continue;
		targets[i].breaker = breaker;
		targets[i].last_wall_ms = last_ms;
		return;
	}
}

void
health_state_load(const char *path, struct health_target *targets, int count, int64_t now_ms)
{
	struct strbuf text = STRBUF_INIT;
	char chunk[4096];
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	while (text.len < MAX_FILE && (got = read(fd, chunk, sizeof chunk)) > 0)
		strbuf_add(&text, chunk, (size_t) got);
	close(fd);
	struct slice all = {text.data, text.data + text.len}, line;
	if (text.len > 0 && slice_line(&all, &line) && slice_equals(line, HEADER))
		while (slice_line(&all, &line))
			load_line(line, targets, count, now_ms);
	strbuf_free(&text);
}

bool
health_state_save(const char *path, const struct health_target *targets, int count, int64_t now_ms)
{
	struct strbuf text = STRBUF_INIT;
	char breaker[BREAKER_TEXT_SIZE];

	strbuf_puts(&text, HEADER "\n");
	for (int i = 0; i < count; i++) {
		breaker_write(&targets[i].breaker, now_ms, breaker);
		strbuf_printf(&text, "%016" PRIx64 " ", targets[i].identity);
		if (targets[i].last_wall_ms == INT64_MIN)
			strbuf_puts(&text, "-");
		else
			strbuf_printf(&text, "%" PRId64, targets[i].last_wall_ms);
		strbuf_printf(&text, " %s\n", breaker);
	}
	bool ok = state_file_replace(path, &text, 0600);
	strbuf_free(&text);
	return ok;
}
