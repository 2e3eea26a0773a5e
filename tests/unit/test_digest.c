#include "tests/unit/check.h"

#include <stdbool.h>

#include "proto/digest.h"

static bool
digest_is(const struct span *parts, size_t n, const char *hex)
{
	uint8_t d[DIGEST_BYTES];
	char text[2 * DIGEST_BYTES + 1];

	digest_parts(d, parts, n);
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", d[i]);
	return strcmp(text, hex) == 0;
}

int
main(void)
{
	const struct span abc[] = {span_str("ab"), span_str("c")},
			  a_bc[] = {span_str("a"), span_str("bc")};
	const struct span none = {NULL, 0};
	uint8_t x[DIGEST_BYTES], y[DIGEST_BYTES];

	/* what sha256sum says of the same bytes with their lengths before them */
	CHECK(
	    digest_is(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	CHECK(digest_is(
	    &none, 1, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"));
	CHECK(
	    digest_is(abc, 2, "601d5476e2ccfe2c87a2bba7a322659734a05749d5b5aa781f513e4912db0d5f"));
	digest_parts(x, abc, 2);
	digest_parts(y, a_bc, 2);
	CHECK(memcmp(x, y, sizeof x) != 0);
	return check_done();
}
