/* fuzz_statsd.c: any bytes as StatsD lines: what is taken for a line has a name, numbers that are finite, text that is printable. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "core/statsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *) data, (const char *) data + size}, line;
	struct statsd_line s;
	struct statsd_value value;
	struct reservoir timer = {0};
	struct distinct set = {0};

	while (slice_line(&text, &line)) {
		int values = 0;
		if (!statsd_read(line, &s))
			continue;
		if (s.name.p == s.name.end || !slice_is_printable(s.name) || !(s.rate > 0 && s.rate <= 1))
			__builtin_trap();
		for (int i = 0; i < s.tags; i++)
			if (!slice_is_printable(s.tag[i].name) || !slice_is_printable(s.tag[i].value))
				__builtin_trap();
		while (statsd_value(&s, &value)) {
			values++;
			if (s.type == STATSD_SET)
				distinct_add(&set, value.text);
			else if (!isfinite(value.number))
				__builtin_trap();
			else
				reservoir_add(&timer, value.number, s.rate, (uint32_t) values * 2654435761u);
		}
		if (values == 0)
			__builtin_trap();
	}
	double median = reservoir_quantile(&timer, 0.5);
	if (timer.kept > 0 && !(median >= timer.min && median <= timer.max))
		__builtin_trap();
	return distinct_count(&set) < 0 ? __builtin_trap(), 0 : 0;
}
