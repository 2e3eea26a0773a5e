#include "tests/unit/check.h"

#include <sodium.h>
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

/* Every length round the blocks, in one part and cut in three, as libsodium has it. */
static bool
agrees_with_sodium(void)
{
	uint8_t bytes[300];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 64);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		const struct span parts[] = {
		    span_of(bytes, n / 3), span_of(bytes + n / 3, n - n / 3), span_of(bytes, n)};
		uint8_t flat[3 * (8 + 300)], want[DIGEST_BYTES], got[DIGEST_BYTES];
		size_t at = 0;

		for (size_t i = 0; i < 3; i++) {
			memset(flat + at, 0, 6);
			flat[at + 6] = (uint8_t)(parts[i].n >> 8);
			flat[at + 7] = (uint8_t)parts[i].n;
			memcpy(flat + at + 8, parts[i].p, parts[i].n);
			at += 8 + parts[i].n;
		}
		crypto_hash_sha256(want, flat, at);
		digest_parts(got, parts, 3);
		if (memcmp(got, want, sizeof want) != 0)
			return false;
	}
	return true;
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
	CHECK(agrees_with_sodium());
	return check_done();
}
