#ifndef PROTO_DIGEST_H
#define PROTO_DIGEST_H
/* SHA-256 (FIPS 180-4) from libsodium, over parts. */
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

#define DIGEST_BYTES 32

/* Over the parts, each preceded by its length as 8 bytes big-endian, so that ("ab","c") != ("a","bc"). */
void digest_parts(uint8_t out[DIGEST_BYTES], const struct span *parts, size_t n);

#endif
