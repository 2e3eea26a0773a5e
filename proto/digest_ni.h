#ifndef PROTO_DIGEST_NI_H
#define PROTO_DIGEST_NI_H
/* digest_parts by the SHA instructions of x86-64, which take a fifth of the time.  Nobody but
 * digest.c (and its test) includes this. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

/* Asks the processor, which is slow in a virtual machine: once.  Without them digest_ni must not be
 * called. */
bool digest_ni_is_there(void);
void digest_ni(uint8_t out[32], const struct span *parts, size_t n);

#endif
