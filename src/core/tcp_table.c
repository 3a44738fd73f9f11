/* tcp_table.c: Sockets by their other end. See tcp_table.h for what belongs here. */
#include "core/tcp_table.h"

#include "core/hash.h"

#define SLOTS (int) (sizeof((struct tcp_peers *) 0)->slot / sizeof(int16_t))

enum { STATE_ESTABLISHED = 0x01, STATE_LISTEN = 0x0a };

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Hexadecimal digits, `n` of them at `p`. */
static bool
read_hex(const char *p, const char *end, int n, uint32_t *out)
{
	*out = 0;
	if (end - p < n)
		return false;
	for (int i = 0; i < n; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
					: c >= 'A' && c <= 'F' ? c - 'A' + 10
					: c >= 'a' && c <= 'f' ? c - 'a' + 10
										   : -1;
		if (digit < 0)
			return false;
		*out = *out << 4 | (uint32_t) digit;
	}
	return true;
}

/* "0100007F:1F90", or four such groups of eight in front: 32-bit words as they lie in memory, printed as numbers of this machine. */
static bool
read_end(struct slice word, struct tcp_address *address, uint16_t *port)
{
	ptrdiff_t len = word.end - word.p;
	int words = len == 13 ? 1 : len == 37 ? 4 : 0;
	uint32_t number;

	if (words == 0 || word.p[words * 8] != ':' || !read_hex(word.p + words * 8 + 1, word.end, 4, &number))
		return false;
	*port = (uint16_t) number;
	memcpy(address->byte, v4_prefix, sizeof v4_prefix);
	for (int i = 0; i < words; i++) {
		if (!read_hex(word.p + i * 8, word.end, 8, &number))
			return false;
		memcpy(address->byte + (words == 1 ? 12 : i * 4), &number, sizeof number);
	}
	return true;
}

bool
next_tcp(struct slice *text, struct tcp_entry *out)
{
	struct slice line, local, remote, state;
	uint32_t number;

	while (slice_line(text, &line)) {
		/* sl local_address rem_address st ...; see proc_net_tcp of the kernel's documentation */
		if (!slice_skip_words(&line, 1) || !slice_word(&line, &local) || !slice_word(&line, &remote) ||
			!slice_word(&line, &state))
			continue;
		if (!read_end(local, &out->local, &out->local_port) ||
			!read_end(remote, &out->remote, &out->remote_port) || state.end - state.p != 2 ||
			!read_hex(state.p, state.end, 2, &number))
			continue;
		out->listens = number == STATE_LISTEN;
		out->established = number == STATE_ESTABLISHED;
		return true;
	}
	return false;
}

bool
tcp_is_v4(const struct tcp_address *a)
{
	return memcmp(a->byte, v4_prefix, sizeof v4_prefix) == 0;
}

bool
tcp_is_nowhere(const struct tcp_address *a)
{
	static const unsigned char zero[15];
	const unsigned char *v4 = a->byte + 12;

	if (tcp_is_v4(a))
		return v4[0] == 127 || v4[0] == 0 || (v4[0] == 169 && v4[1] == 254);
	if (memcmp(a->byte, zero, sizeof zero) == 0 && a->byte[15] <= 1)
		return true;
	return a->byte[0] == 0xfe && (a->byte[1] & 0xc0) == 0x80;
}

static bool
listens(const struct tcp_peers *p, uint16_t port)
{
	return p->listening[port / 64] >> (port % 64) & 1;
}

void
tcp_peers_listen(struct tcp_peers *p, const struct tcp_entry *e)
{
	if (e->listens)
		p->listening[e->local_port / 64] |= UINT64_C(1) << (e->local_port % 64);
}

static bool
same_group(const struct tcp_peer *a, const struct tcp_peer *b)
{
	return a->port == b->port && a->inbound == b->inbound &&
		   memcmp(&a->address, &b->address, sizeof a->address) == 0;
}

/* Where the group is, or would be. */
static int
find_slot(const struct tcp_peers *p, const struct tcp_peer *wanted)
{
	uint64_t h = hash_span(HASH_SEED ^ wanted->inbound, &wanted->address, sizeof wanted->address);
	int at = (int) (hash_finish(hash_span(h, &wanted->port, sizeof wanted->port)) % SLOTS);

	while (p->slot[at] && !same_group(&p->peer[p->slot[at] - 1], wanted))
		at = (at + 1) % SLOTS;
	return at;
}

void
tcp_peers_add(struct tcp_peers *p, const struct tcp_entry *e)
{
	if (!e->established || tcp_is_nowhere(&e->remote))
		return;
	/* Who listens on the port is who was called; a machine that listens on both ends' ports is rare enough. */
	bool inbound = listens(p, e->local_port);
	struct tcp_peer peer = {e->remote, inbound ? e->local_port : e->remote_port, inbound, 1};
	int at = find_slot(p, &peer);

	if (p->slot[at])
		p->peer[p->slot[at] - 1].connections++;
	else if (p->count == TCP_PEERS_MAX)
		p->left_out++;
	else {
		p->peer[p->count++] = peer;
		p->slot[at] = (int16_t) p->count;
	}
}

/* Groups of `a` that `b` does not have. */
static int
missing(const struct tcp_peers *a, const struct tcp_peers *b)
{
	int n = 0;

	for (int i = 0; i < a->count; i++)
		n += b->slot[find_slot(b, &a->peer[i])] == 0;
	return n;
}

int
tcp_peers_changes(const struct tcp_peers *a, const struct tcp_peers *b)
{
	return missing(a, b) + missing(b, a);
}
