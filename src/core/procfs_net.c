/* procfs_net.c: Parsers: net/dev, net/snmp, net/route, diskstats. See procfs.h for what belongs here. */
#include "core/procfs.h"

#include <string.h>

/*
 * /proc/net/snmp has two lines per protocol: names, then numbers in the same order. The number line may hold negative
 * numbers (MaxConn is -1), so only the wanted columns are read as numbers.
 */
void
parse_snmp(struct slice text, struct tcp_counters *out)
{
	struct slice line, names = {NULL, NULL}, name, value;

	out->out_segments = out->retransmitted = UNKNOWN;
	while (slice_line(&text, &line)) {
		if (!slice_word(&line, &name) || !slice_equals(name, "Tcp:"))
			continue;
		if (!names.p) {
			names = line;
			continue;
		}
		while (slice_word(&names, &name) && slice_word(&line, &value)) {
			if (slice_equals(name, "OutSegs"))
				slice_to_i64(value, &out->out_segments);
			else if (slice_equals(name, "RetransSegs"))
				slice_to_i64(value, &out->retransmitted);
		}
		return;
	}
}

static int64_t
sum(int64_t a, int64_t b)
{
	return a > INT64_MAX - b ? INT64_MAX : a + b;
}

bool
next_net_dev(struct slice *text, struct net_counters *out)
{
	struct slice line;

	while (slice_line(text, &line)) {
		const char *colon = memchr(line.p, ':', (size_t) (line.end - line.p));
		int64_t v[12];
		int n = 0;

		if (!colon)
			continue;
		struct slice before = {line.p, colon}, after = {colon + 1, line.end}, rest;
		if (!slice_word(&before, &out->name) || slice_word(&before, &rest))
			continue;
		while (n < 12 && slice_next_i64(&after, &v[n]))
			n++;
		if (n < 12)
			continue;
		/* receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets errs ... */
		out->rx_bytes = v[0];
		out->tx_bytes = v[8];
		out->errors = sum(sum(v[2], v[3]), sum(v[10], v[11]));
		return true;
	}
	return false;
}

bool
parse_default_route(struct slice text, struct slice *name)
{
	struct slice line, iface, destination, mask;
	int64_t best = INT64_MAX, metric;
	bool found = false;

	while (slice_line(&text, &line)) {
		/* Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
		if (!slice_word(&line, &iface) || !slice_word(&line, &destination) || !slice_skip_words(&line, 4) ||
			!slice_next_i64(&line, &metric) || !slice_word(&line, &mask))
			continue;
		if (!slice_equals(destination, "00000000") || !slice_equals(mask, "00000000"))
			continue;
		if (!found || metric < best) {
			*name = iface;
			best = metric;
			found = true;
		}
	}
	return found;
}

bool
next_diskstat(struct slice *text, struct disk_counters *out)
{
	struct slice line;

	while (slice_line(text, &line)) {
		int64_t v[10];
		int n = 0;

		if (!slice_skip_words(&line, 2) || !slice_word(&line, &out->name))
			continue;
		while (n < 10 && slice_next_i64(&line, &v[n]))
			n++;
		if (n < 10)
			continue;
		/* reads, merged, sectors, ms; writes, merged, sectors, ms; in flight, busy ms; later columns vary by kernel */
		out->sectors_read = v[2];
		out->sectors_written = v[6];
		out->busy_ms = (uint32_t) v[9];
		return true;
	}
	return false;
}
