#include "proto/digest_ni.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

enum { BLOCK = 64 };

struct sha {
	uint32_t h[8];
	uint64_t bytes;
	size_t n; /* of block */
	uint8_t block[BLOCK];
};

static const uint32_t keys[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
    0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
    0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3,
    0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354,
    0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3,
    0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa,
    0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static __m128i
load(const void *p)
{
	return _mm_loadu_si128(p);
}

/* The instructions want the eight words as ABEF and CDGH. */
__attribute__((target("sha,sse4.1"))) static void
blocks(uint32_t h[8], const uint8_t *p, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i lo = _mm_shuffle_epi32(load(h), 0xb1), hi = _mm_shuffle_epi32(load(h + 4), 0x1b);
	__m128i abef = _mm_alignr_epi8(lo, hi, 8), cdgh = _mm_blend_epi16(hi, lo, 0xf0);

	for (; n > 0; n--, p += BLOCK) {
		const __m128i abef_was = abef, cdgh_was = cdgh;
		__m128i w[16];

#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			__m128i m;

			w[i] = i < 4 ? _mm_shuffle_epi8(load(p + 16 * i), swap)
				     : _mm_sha256msg2_epu32(
					   _mm_add_epi32(_mm_sha256msg1_epu32(w[i - 4], w[i - 3]),
					       _mm_alignr_epi8(w[i - 1], w[i - 2], 4)),
					   w[i - 1]);
			m = _mm_add_epi32(w[i], load(keys + 4 * i));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, m);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(m, 0x0e));
		}
		abef = _mm_add_epi32(abef, abef_was);
		cdgh = _mm_add_epi32(cdgh, cdgh_was);
	}
	lo = _mm_shuffle_epi32(abef, 0x1b);
	hi = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(lo, hi, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(hi, lo, 8));
}

static void
add(struct sha *s, const uint8_t *p, size_t n)
{
	s->bytes += n;
	while (n > 0) {
		size_t part = BLOCK - s->n < n ? BLOCK - s->n : n;

		if (s->n == 0 && n >= BLOCK) {
			part = n - n % BLOCK;
			blocks(s->h, p, part / BLOCK);
		} else {
			memcpy(s->block + s->n, p, part);
			s->n = (s->n + part) % BLOCK;
			if (s->n == 0)
				blocks(s->h, s->block, 1);
		}
		p += part;
		n -= part;
	}
}

static void
add_number(struct sha *s, uint64_t v)
{
	uint8_t b[8];

	for (unsigned k = 0; k < 8; k++)
		b[k] = (uint8_t)(v >> (56 - 8 * k));
	add(s, b, sizeof b);
}

static void
finish(struct sha *s, uint8_t out[32])
{
	static const uint8_t pad[BLOCK] = {0x80};
	uint64_t bits = s->bytes * 8;

	add(s, pad, 1 + (BLOCK + 55 - s->n) % BLOCK);
	add_number(s, bits);
	for (unsigned i = 0; i < 32; i++)
		out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void
digest_ni(uint8_t out[32], const struct span *parts, size_t n)
{
	struct sha s = {.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
			    0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};

	for (size_t i = 0; i < n; i++) {
		add_number(&s, parts[i].n);
		add(&s, parts[i].p, parts[i].n);
	}
	finish(&s, out);
}

bool
digest_ni_is_there(void)
{
	unsigned a, b, c, d;

	/* gcc 12 has no name for the extension. */
	return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
	       (b >> 29 & 1) != 0;
}
#else
void
digest_ni(uint8_t out[32], const struct span *parts, size_t n)
{
	(void)out, (void)parts, (void)n;
}

bool
digest_ni_is_there(void)
{
	return false;
}
#endif
