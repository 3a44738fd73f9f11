#include "core/address_guard.h"

#include <stdbool.h>
#include <string.h>

struct net {
	uint8_t bytes[16];
	int bits;
	const char *what;
};

/*
 * Registries: RFC 6890 and IANA's special-purpose addresses. Metadata services outside of the link: Alibaba Cloud 100.100.100.200, Amazon
 * fd00:ec2::254 (also DNS ::253 and time ::123), Oracle's 192.0.0.192, Azure's 168.63.129.16, Google fd20:ce::254.
 */
static const struct net nets4[] = {
	{{0}, 8, "of this host on no network"},
	{{169, 254}, 16, "link-local, where clouds keep their metadata"},
	{{100, 100, 100, 200}, 32, "a metadata service"},
	{{192, 0, 0, 192}, 32, "a metadata service"},
	{{168, 63, 129, 16}, 32, "a metadata service"},
	{{224}, 4, "multicast"},
	{{240}, 4, "reserved or broadcast"},
};

static const struct net nets6[] = {
	{{0}, 128, "of this host on no network"},
	{{0xfe, 0x80}, 10, "link-local, where clouds keep their metadata"},
	{{0xfd, 0x00, 0x0e, 0xc2}, 32, "a metadata service"},
	{{0xfd, 0x20, 0x00, 0xce}, 32, "a metadata service"},
	{{0xff}, 8, "multicast"},
};

/* Prefixes whose addresses hold one of IPv4, and where in them. */
static const struct {
	uint8_t bytes[12];
	int bits, at;
} carriers[] = {
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12}, /* mapped, RFC 4291 2.5.5.2 */
	{{0}, 96, 12},                                        /* compatible, RFC 4291 2.5.5.1 */
	{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12},       /* translated, RFC 2765 */
	{{0, 0x64, 0xff, 0x9b}, 96, 12},                      /* NAT64, RFC 6052 */
	{{0x20, 0x02}, 16, 2},                                /* 6to4, RFC 3056 */
};

static bool
in_net(const uint8_t *address, const uint8_t *net, int bits)
{
	int whole = bits / 8, rest = bits % 8;

	return memcmp(address, net, (size_t) whole) == 0 &&
		   (rest == 0 || (address[whole] ^ net[whole]) >> (8 - rest) == 0);
}

static const char *
find_net(const struct net *nets, size_t n, const uint8_t *address)
{
	for (size_t i = 0; i < n; i++)
		if (in_net(address, nets[i].bytes, nets[i].bits))
			return nets[i].what;
	return NULL;
}

const char *
address_refused(const uint8_t *bytes, size_t len)
{
	static const uint8_t loopback6[16] = {[15] = 1};
	const char *what;

	if (len == 4)
		return find_net(nets4, sizeof nets4 / sizeof *nets4, bytes);
	if (len != 16)
		return "of an unknown kind";
	if (memcmp(bytes, loopback6, sizeof loopback6) == 0)
		return NULL; /* ::1, which is 0.0.0.1 in the compatible form */
	what = find_net(nets6, sizeof nets6 / sizeof *nets6, bytes);
	for (size_t i = 0; !what && i < sizeof carriers / sizeof *carriers; i++)
		if (in_net(bytes, carriers[i].bytes, carriers[i].bits))
			what = find_net(nets4, sizeof nets4 / sizeof *nets4, bytes + carriers[i].at);
	return what;
}
