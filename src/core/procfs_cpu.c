/* procfs_cpu.c: Parsers: stat, loadavg, uptime, pressure, PID/stat. See procfs.h for what belongs here. */
#include "core/procfs.h"

static void
parse_cpu_line(struct slice line, struct cpu_times *out)
{
	struct cpu_times t = *out;
	int n = 0;

	while (n < CPU_FIELDS && slice_next_i64(&line, &t.tick[n]))
		n++;
	if (n <= CPU_IDLE)
		return; /* even 2.4 had four columns */
	for (; n < CPU_FIELDS; n++)
		t.tick[n] = 0; /* a column that this kernel does not have yet */
	*out = t;
}

void
parse_stat(struct slice text, struct cpu_times *out)
{
	struct slice line, word;

	out->tick[CPU_USER] = UNKNOWN;
	out->online = 0;
	while (slice_line(&text, &line)) {
		if (!slice_word(&line, &word) || !slice_starts(word, "cpu"))
			continue;
		int64_t number;
		if (slice_equals(word, "cpu"))
			parse_cpu_line(line, out);
		else if (slice_to_i64((struct slice){word.p + 3, word.end}, &number))
			out->online++;
	}
	if (out->online == 0)
		out->online = UNKNOWN;
}

bool
parse_loadavg(struct slice text, double load[3])
{
	double value[3];
	struct slice word;

	for (int i = 0; i < 3; i++)
		if (!slice_word(&text, &word) || !slice_to_double(word, &value[i]))
			return false;
	for (int i = 0; i < 3; i++)
		load[i] = value[i];
	return true;
}

int64_t
parse_uptime(struct slice text)
{
	struct slice word;
	double seconds;

	return slice_word(&text, &word) && slice_to_double(word, &seconds) && seconds < 1e12 ? (int64_t) seconds
																						 : UNKNOWN;
}

int64_t
parse_pressure_some(struct slice text)
{
	struct slice line, word;
	int64_t total;

	while (slice_line(&text, &line)) {
		if (!slice_word(&line, &word) || !slice_equals(word, "some"))
			continue;
		while (slice_word(&line, &word))
			if (slice_starts(word, "total=") && slice_to_i64((struct slice){word.p + 6, word.end}, &total))
				return total;
	}
	return UNKNOWN;
}

char
parse_pid_state(struct slice text)
{
	const char *c = text.end;

	while (c > text.p && c[-1] != ')')
		c--;
	if (c == text.p)
		return 0;
	struct slice rest = {c, text.end}, word;
	if (!slice_word(&rest, &word) || word.end - word.p != 1)
		return 0;
	return *word.p;
}
