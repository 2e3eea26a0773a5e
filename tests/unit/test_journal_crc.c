#include "tests/unit/check.h"

#include "broker/journal_crc.h"

/* In one piece, and cut in two anywhere, as it must not matter. */
static bool
is(const void *p, size_t n, uint32_t want)
{
	const uint8_t *b = p;

	for (size_t cut = 0; cut <= n; cut++) {
		if (journal_crc(journal_crc(0, b, cut), b + cut, n - cut) != want)
			return false;
	}
	return true;
}

int
main(void)
{
	uint8_t b[32];

	/* The vectors of RFC 3720, B.4. */
	journal_crc_init();
	CHECK(is("123456789", 9, 0xe3069283));
	memset(b, 0, sizeof b);
	CHECK(is(b, sizeof b, 0x8a9136aa));
	memset(b, 0xff, sizeof b);
	CHECK(is(b, sizeof b, 0x62a8ab43));
	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (uint8_t)i;
	CHECK(is(b, sizeof b, 0x46dd794e));
	CHECK(journal_crc(0, NULL, 0) == 0);
	return check_done();
}
