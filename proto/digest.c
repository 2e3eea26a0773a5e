#include "proto/digest.h"

#include <pthread.h>
#include <sodium.h>

#include "base/die.h"
#include "proto/digest_ni.h"

_Static_assert(DIGEST_BYTES == crypto_hash_sha256_BYTES, "the digest is SHA-256");

static bool has_ni;

static void
start(void)
{
	if (sodium_init() == -1)
		die(EXIT_AGAIN, "libsodium does not start");
	has_ni = digest_ni_is_there();
}

static void
by_sodium(uint8_t out[DIGEST_BYTES], const struct span *parts, size_t n)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	for (size_t i = 0; i < n; i++) {
		uint8_t len[8];

		for (unsigned k = 0; k < 8; k++)
			len[k] = (uint8_t)((uint64_t)parts[i].n >> (56 - 8 * k));
		crypto_hash_sha256_update(&st, len, sizeof len);
		if (parts[i].n > 0)
			crypto_hash_sha256_update(&st, parts[i].p, parts[i].n);
	}
	crypto_hash_sha256_final(&st, out);
}

void
digest_parts(uint8_t out[DIGEST_BYTES], const struct span *parts, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
	if (has_ni) {
		digest_ni(out, parts, n);
	} else {
		by_sodium(out, parts, n);
	}
}
