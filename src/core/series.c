/* series.c: Identity of series. See series.h for what belongs here. */
#include "core/series.h"

#include "core/hash.h"

#include <string.h>

static size_t
size_of(struct slice s)
{
	return (size_t) (s.end - s.p);
}

static int
compare(struct slice a, struct slice b)
{
	size_t na = size_of(a), nb = size_of(b);
	int order = memcmp(a.p, b.p, na < nb ? na : nb);

	return order != 0 ? order : (na > nb) - (na < nb);
}

void
series_sort_labels(struct series_label *labels, int n)
{
	/* Few, and mostly in order already. */
	for (int i = 1; i < n; i++) {
		struct series_label label = labels[i];
		int at = i;

		for (; at > 0 && compare(labels[at - 1].name, label.name) > 0; at--)
			labels[at] = labels[at - 1];
		labels[at] = label;
	}
}

static uint64_t
hash_number(uint64_t h, uint32_t n)
{
	unsigned char bytes[4] = {(unsigned char) n, (unsigned char) (n >> 8), (unsigned char) (n >> 16),
							  (unsigned char) (n >> 24)};

	return hash_span(h, bytes, sizeof bytes);
}

static uint64_t
hash_text(uint64_t h, struct slice s)
{
	return hash_span(hash_number(h, (uint32_t) size_of(s)), s.p, size_of(s));
}

int64_t
series_id(struct slice vps_name, struct slice app_name, struct slice metric_name,
		  const struct series_label *sorted, int n)
{
	uint64_t h = hash_text(HASH_SEED, vps_name);

	h = hash_text(h, app_name);
	h = hash_text(h, metric_name);
	h = hash_number(h, (uint32_t) n);
	for (int i = 0; i < n; i++) {
		h = hash_text(h, sorted[i].name);
		h = hash_text(h, sorted[i].value);
	}
	return (int64_t) hash_finish(h);
}

const char *
series_name_problem(struct slice metric_name)
{
	if (size_of(metric_name) == 0)
		return "metric_name must not be empty";
	if (size_of(metric_name) > SERIES_NAME_MAX)
		return "metric_name is longer than 255 bytes";
	return NULL;
}

const char *
series_labels_problem(const struct series_label *labels, int n)
{
	size_t bytes = 0;

	if (n > SERIES_LABELS_MAX)
		return "there are more than 64 labels";
	for (int i = 0; i < n; i++) {
		if (size_of(labels[i].name) == 0)
			return "the name of a label must not be empty";
		bytes += size_of(labels[i].name) + size_of(labels[i].value);
	}
	return bytes > SERIES_LABEL_BYTES_MAX ? "the labels are longer than 4096 bytes" : NULL;
}

bool
series_is_counter(struct slice metric_name)
{
	static const char *const suffixes[] = {"_total", "_count", "_sum", "_bucket"};

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		size_t len = strlen(suffixes[i]);

		if (size_of(metric_name) > len && memcmp(metric_name.end - len, suffixes[i], len) == 0)
			return true;
	}
	return false;
}
