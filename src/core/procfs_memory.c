/* procfs_memory.c: Parsers: meminfo, vmstat and files of one or three numbers. See procfs.h for what belongs here. */
#include "core/procfs.h"

struct named_number {
	const char *key;
	size_t offset; /* of an int64_t in the result */
};

/* Fills the numbers of `out` whose keys stand at the beginning of a line of `text`. */
static void
parse_named(struct slice text, const struct named_number *wanted, size_t count, void *out)
{
	struct slice line, word;

	for (size_t i = 0; i < count; i++)
		*(int64_t *) ((char *) out + wanted[i].offset) = UNKNOWN;
	while (slice_line(&text, &line)) {
		if (!slice_word(&line, &word))
			continue;
		for (size_t i = 0; i < count; i++)
			if (slice_equals(word, wanted[i].key)) {
				slice_next_i64(&line, (int64_t *) ((char *) out + wanted[i].offset));
				break;
			}
	}
}

void
parse_meminfo(struct slice text, struct memory_info *out)
{
	static const struct named_number wanted[] = {
		{"MemTotal:", offsetof(struct memory_info, total)},
		{"MemAvailable:", offsetof(struct memory_info, available)},
		{"MemFree:", offsetof(struct memory_info, free)},
		{"Buffers:", offsetof(struct memory_info, buffers)},
		{"Cached:", offsetof(struct memory_info, cached)},
		{"SReclaimable:", offsetof(struct memory_info, reclaimable)},
		{"Shmem:", offsetof(struct memory_info, shmem)},
		{"SwapTotal:", offsetof(struct memory_info, swap_total)},
		{"SwapFree:", offsetof(struct memory_info, swap_free)},
		{"SwapCached:", offsetof(struct memory_info, swap_cached)},
	};

	parse_named(text, wanted, sizeof wanted / sizeof wanted[0], out);
}

static int64_t
known(int64_t v)
{
	return v == UNKNOWN ? 0 : v;
}

int64_t
memory_available_kib(const struct memory_info *m)
{
	double sum;

	if (m->available != UNKNOWN)
		return m->available;
	if (m->free == UNKNOWN)
		return UNKNOWN;
	/* In double: hostile numbers near INT64_MAX must not overflow. The values are no atomic snapshot, so below 0 is 0. */
	sum = (double) m->free + (double) known(m->buffers) + (double) known(m->cached) +
		  (double) known(m->reclaimable) - (double) known(m->shmem);
	if (sum < 0)
		return 0;
	return sum < 9e18 ? (int64_t) sum : INT64_MAX;
}

void
parse_vmstat(struct slice text, struct vm_counters *out)
{
	static const struct named_number wanted[] = {
		{"pswpin", offsetof(struct vm_counters, swap_in)},
		{"pswpout", offsetof(struct vm_counters, swap_out)},
		{"oom_kill", offsetof(struct vm_counters, oom_kill)},
	};

	parse_named(text, wanted, sizeof wanted / sizeof wanted[0], out);
}

void
parse_file_nr(struct slice text, struct file_handles *out)
{
	int64_t allocated, unused, limit;
	struct slice line;

	out->used = out->limit = UNKNOWN;
	if (slice_line(&text, &line) && slice_next_i64(&line, &allocated) && slice_next_i64(&line, &unused) &&
		slice_next_i64(&line, &limit) && unused <= allocated) {
		out->used = allocated - unused;
		out->limit = limit;
	}
}

int64_t
parse_number(struct slice text)
{
	struct slice line;
	int64_t n;

	return slice_line(&text, &line) && slice_next_i64(&line, &n) ? n : UNKNOWN;
}
