/* test_tcp_table.c: tcp_table.h: sockets, directions, groups. */
#include "unit.h"

#include "core/tcp_table.h"

#define HEAD                                                                                                 \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define TAIL " 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0\n"

static struct tcp_peers p;

static void
feed(const char *text)
{
	struct slice rest = slice_of(text);
	struct tcp_entry e;

	memset(&p, 0, sizeof p);
	while (next_tcp(&rest, &e))
		tcp_peers_listen(&p, &e);
	rest = slice_of(text);
	while (next_tcp(&rest, &e))
		tcp_peers_add(&p, &e);
}

/* The group's address is that IPv4 one. */
static void
expect(int i, unsigned a, unsigned b, unsigned c, unsigned d, int port, bool inbound, int connections)
{
	assert_true(i < p.count);
	assert_true(tcp_is_v4(&p.peer[i].address));
	const unsigned char *v4 = p.peer[i].address.byte + 12;
	assert_true(v4[0] == a && v4[1] == b && v4[2] == c && v4[3] == d);
	assert_int_equal(p.peer[i].port, port);
	assert_int_equal(p.peer[i].inbound, inbound);
	assert_int_equal(p.peer[i].connections, connections);
}

/* Recorded on x86-64: 10.0.0.1 serves 443 to two ports of 203.0.113.7 and asks 10.0.0.2's PostgreSQL. */
static void
who_listens_decides_the_direction(void **state)
{
	feed(HEAD "   0: 00000000:01BB 00000000:0000 0A" TAIL "   1: 0100000A:01BB 077100CB:C001 01" TAIL
			  "   2: 0100000A:01BB 077100CB:C002 01" TAIL "   3: 0100000A:D431 0200000A:1538 01" TAIL
			  "   4: 0100007F:D431 0100007F:1538 01" TAIL "   5: 0100000A:D432 0300000A:1538 06" TAIL);
	assert_int_equal(p.count, 2);
	expect(0, 203, 0, 113, 7, 443, true, 2);
	expect(1, 10, 0, 0, 2, 5432, false, 1);
}

static void
mapped_addresses_are_ipv4(void **state)
{
	feed("   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A" TAIL
		 "   1: 0000000000000000FFFF00000100000A:0050 0000000000000000FFFF0000077100CB:C001 01" TAIL
		 "   2: B80D0120000000000000000001000000:C001 B80D0120000000000000000002000000:0050 01" TAIL
		 "   3: 000080FE000000000000000001000000:0050 000080FE000000000000000002000000:C001 01" TAIL
		 "   4: 00000000000000000000000001000000:0050 00000000000000000000000001000000:C001 01" TAIL);
	assert_int_equal(p.count, 2);
	expect(0, 203, 0, 113, 7, 80, true, 1);
	static const unsigned char address[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 2};
	assert_memory_equal(p.peer[1].address.byte, address, 16);
	assert_false(p.peer[1].inbound);
	assert_int_equal(p.peer[1].port, 80);
}

static void
nonsense_is_passed_over(void **state)
{
	feed(HEAD "\n x\n 0: 0100000A:01BB\n 0: 0100000A 0200000A 01\n 0: 0100000A:01BB 0200000G:01BB 01\n"
			  " 0: 0100000A:01BB 0200000A:01B 01\n 0: 0100000A:01BB 0200000A:01BB 1\n"
			  " 0: 0100000A:01BB 0200000A:01BB 01");
	assert_int_equal(p.count, 1);
}

static void
more_groups_than_fit_are_counted(void **state)
{
	struct tcp_entry e = {.established = true, .remote_port = 443};
	static struct tcp_peers before;

	memset(&p, 0, sizeof p);
	e.remote.byte[10] = e.remote.byte[11] = 0xff;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < TCP_PEERS_MAX + 10; i++) {
			e.remote.byte[12] = 10;
			e.remote.byte[14] = (unsigned char) (i / 256);
			e.remote.byte[15] = (unsigned char) i;
			tcp_peers_add(&p, &e);
		}
	assert_int_equal(p.count, TCP_PEERS_MAX);
	assert_int_equal(p.left_out, 20);
	for (int i = 0; i < p.count; i++)
		assert_int_equal(p.peer[i].connections, 2);
	assert_int_equal(tcp_peers_changes(&p, &before), TCP_PEERS_MAX);
	assert_int_equal(tcp_peers_changes(&p, &p), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_listens_decides_the_direction),
		cmocka_unit_test(mapped_addresses_are_ipv4),
		cmocka_unit_test(nonsense_is_passed_over),
		cmocka_unit_test(more_groups_than_fit_are_counted),
	};
	return TESTS(tests);
}
