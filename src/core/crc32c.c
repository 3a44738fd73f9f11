/* crc32c.c: CRC-32C eight bytes at a time ("slicing by 8", Kounavis and Berry, 2005). See crc32c.h for what belongs here. */
#include "core/crc32c.h"

/*
 * Table K holds what a byte adds when K more bytes follow it. It is linear: an entry is the exclusive or of the entries of its bits,
 * which are written here; bit B of table 0 is 1 << B divided by the polynomial 0x82f63b78 (reflected).
 */
#define BASIS_0 0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78
#define BASIS_1 0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9
#define BASIS_2 0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743
#define BASIS_3 0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f
#define BASIS_4 0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c
#define BASIS_5 0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6
#define BASIS_6 0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4
#define BASIS_7 0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664

#define BIT(i, b, word) (((i) >> (b) &1) ? (word) : 0u)
#define MIX(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                               \
	(BIT(i, 0, b0) ^ BIT(i, 1, b1) ^ BIT(i, 2, b2) ^ BIT(i, 3, b3) ^ BIT(i, 4, b4) ^ BIT(i, 5, b5) ^         \
	 BIT(i, 6, b6) ^ BIT(i, 7, b7))
#define ENTRY(i, ...) MIX(i, __VA_ARGS__)
#define FOUR(i, ...)                                                                                         \
	ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__),                         \
		ENTRY((i) + 3, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                                      \
	FOUR(i, __VA_ARGS__), FOUR((i) + 4, __VA_ARGS__), FOUR((i) + 8, __VA_ARGS__), FOUR((i) + 12, __VA_ARGS__)
#define SIXTY_FOUR(i, ...)                                                                                   \
	SIXTEEN(i, __VA_ARGS__), SIXTEEN((i) + 16, __VA_ARGS__), SIXTEEN((i) + 32, __VA_ARGS__),                 \
		SIXTEEN((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                           \
	{                                                                                                        \
		SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__),               \
			SIXTY_FOUR(192, __VA_ARGS__)                                                                     \
	}

static const uint32_t table[8][256] = {
	TABLE(BASIS_0), TABLE(BASIS_1), TABLE(BASIS_2), TABLE(BASIS_3),
	TABLE(BASIS_4), TABLE(BASIS_5), TABLE(BASIS_6), TABLE(BASIS_7),
};

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t size)
{
	const unsigned char *p = bytes;

	crc = ~crc;
	for (; size >= 8; p += 8, size -= 8)
		crc = table[7][(crc ^ p[0]) & 0xff] ^ table[6][(crc >> 8 ^ p[1]) & 0xff] ^
			  table[5][(crc >> 16 ^ p[2]) & 0xff] ^ table[4][(crc >> 24 ^ p[3]) & 0xff] ^ table[3][p[4]] ^
			  table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	for (; size > 0; p++, size--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}
