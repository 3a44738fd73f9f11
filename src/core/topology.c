/* topology.c: The choice of interfaces and disks. See topology.h for what belongs here. */
#include "core/topology.h"

#include "core/procfs.h"

#include <string.h>

static bool
has_flag(struct slice flags, char c)
{
	return memchr(flags.p, c, (size_t) (flags.end - flags.p)) != NULL;
}

static bool
by_hardware(struct slice name, struct slice flags, struct slice route)
{
	return has_flag(flags, 'd') && !has_flag(flags, 'l');
}

static bool
by_default_route(struct slice name, struct slice flags, struct slice route)
{
	return name.end - name.p == route.end - route.p &&
		   memcmp(name.p, route.p, (size_t) (name.end - name.p)) == 0;
}

static bool
by_exclusion(struct slice name, struct slice flags, struct slice route)
{
	return !has_flag(flags, 'l') && !has_flag(flags, 'o') && !has_flag(flags, 'v') && !has_flag(flags, 't') &&
		   !has_flag(flags, 'b');
}

/* One line of the scan; false when it is about no interface. */
static bool
read_nic(struct slice line, struct slice *name, struct slice *flags, struct counted_nic *out)
{
	struct slice word, speed;

	if (!slice_word(&line, &word) || !slice_equals(word, "net") || !slice_word(&line, name) ||
		!slice_next_i64(&line, &out->ifindex) || !slice_word(&line, &speed) || !slice_word(&line, flags))
		return false;
	out->speed_mbit = UNKNOWN;
	slice_to_i64(speed, &out->speed_mbit);
	return slice_copy(*name, out->name, sizeof out->name);
}

static void
choose_nics(struct slice scan, struct slice route, struct topology *out,
			bool (*counts)(struct slice name, struct slice flags, struct slice route))
{
	struct slice line, name, flags;
	struct counted_nic nic;

	while (slice_line(&scan, &line)) {
		if (!read_nic(line, &name, &flags, &nic) || !counts(name, flags, route))
			continue;
		if (out->nics == MAX_NICS) {
			out->too_many = true;
			return;
		}
		out->nic[out->nics++] = nic;
	}
}

int
list_nics(struct slice scan, struct slice default_route, struct counted_nic *out, int max)
{
	struct slice line, name, flags;
	struct counted_nic nic;
	int n = 0;

	while (n < max && slice_line(&scan, &line))
		if (read_nic(line, &name, &flags, &nic) && !has_flag(flags, 'o') &&
			(!has_flag(flags, 'v') || by_default_route(name, flags, default_route)))
			out[n++] = nic;
	return n;
}

/* Memory and removable media: no load on a disk, or none that matters. */
static bool
is_pseudo_disk(struct slice name)
{
	static const char *const prefix[] = {"loop", "ram", "zram", "sr", "fd"};

	for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
		size_t len = strlen(prefix[i]);
		int64_t number;
		if (slice_starts(name, prefix[i]) && slice_to_i64((struct slice){name.p + len, name.end}, &number))
			return true;
	}
	return false;
}

static void
choose_disks(struct slice scan, struct topology *out)
{
	struct slice line, word, name, flags;

	while (slice_line(&scan, &line)) {
		if (!slice_word(&line, &word) || !slice_equals(word, "block") || !slice_word(&line, &name) ||
			!slice_word(&line, &flags))
			continue;
		out->disks_known = true;
		if (has_flag(flags, 's') || is_pseudo_disk(name))
			continue;
		if (out->disks == MAX_DISKS) {
			out->too_many = true;
			return;
		}
		if (slice_copy(name, out->disk[out->disks], DISK_NAME_MAX))
			out->disks++;
	}
}

void
choose_topology(struct slice scan, struct slice default_route, struct topology *out)
{
	out->too_many = out->disks_known = false;
	out->nics = out->disks = 0;
	choose_nics(scan, default_route, out, by_hardware);
	if (out->nics == 0)
		choose_nics(scan, default_route, out, by_default_route);
	if (out->nics == 0)
		choose_nics(scan, default_route, out, by_exclusion);
	out->nics_known = out->nics > 0;
	choose_disks(scan, out);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
disk_counts_by_name(struct slice name)
{
	if (name.p >= name.end || is_pseudo_disk(name) || slice_starts(name, "dm-") || slice_starts(name, "md"))
		return false;
	const char *end = name.end;
	while (end > name.p && is_digit(end[-1]))
		end--;
	if (end == name.end)
		return true; /* sda */
	if (slice_starts(name, "nvme") || slice_starts(name, "mmcblk") || slice_starts(name, "nbd") ||
		slice_starts(name, "rbd"))
		return !(end - name.p >= 2 && end[-1] == 'p' && is_digit(end[-2])); /* nvme0n1p1 */
	return false;                                                           /* sda1, vda1, xvda1 */
}

int
topology_nic(const struct topology *t, struct slice name)
{
	for (int i = 0; i < t->nics; i++)
		if (slice_equals(name, t->nic[i].name))
			return i;
	return -1;
}

bool
topology_disk(const struct topology *t, struct slice name)
{
	if (!t->disks_known)
		return disk_counts_by_name(name);
	for (int i = 0; i < t->disks; i++)
		if (slice_equals(name, t->disk[i]))
			return true;
	return false;
}
