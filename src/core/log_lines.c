/* log_lines.c: from lines of a log file to entries. See log_lines.h for what belongs here. */
#include "core/log_lines.h"

void
log_workspace_init(struct log_workspace *w, struct log_memory memory)
{
	*w = (struct log_workspace){.memory = memory};
}

void
log_workspace_free(struct log_workspace *w)
{
	log_buffer_reset(&w->clean, &w->memory, 0);
}

void
log_lines_init(struct log_lines *l, struct log_workspace *w)
{
	*l = (struct log_lines){.level = "info", .space = w};
}

void
log_lines_free(struct log_lines *l)
{
	(void) l;
}

void
log_lines_feed(struct log_lines *l, const struct log_line *line, int64_t read_us, log_emit emit, void *into)
{
	struct log_workspace *w = l->space;
	struct log_entry entry = {
		.level = slice_of(l->level), .timestamp_us = read_us, .flags = LOG_ENTRY_NO_TIME};
	struct slice text = line->text;
	int64_t replaced = 0;

	if (text.p < text.end && text.end[-1] == '\r')
		text.end--;
	if (text.p >= text.end)
		return;
	w->clean.used = 0;
	if (!log_buffer_reserve(&w->clean, &w->memory, LOG_CLEANED_MAX((size_t) (text.end - text.p))))
		return;
	w->clean.used = log_clean(text, w->clean.p, &replaced);
	entry.message = (struct slice){w->clean.p, w->clean.p + w->clean.used};
	emit(into, &entry);
}

void
log_lines_flush(struct log_lines *l, int64_t now_us, log_emit emit, void *into)
{
	(void) l, (void) now_us, (void) emit, (void) into;
}

int64_t
log_lines_due_us(const struct log_lines *l)
{
	(void) l;
	return INT64_MAX;
}

uint32_t
log_lines_pending(const struct log_lines *l)
{
	return l->held_lines;
}

size_t
log_lines_pending_bytes(const struct log_lines *l)
{
	return l->held.used;
}

const char *
log_lines_format(const struct log_lines *l)
{
	(void) l;
	return "text";
}
