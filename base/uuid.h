#ifndef BASE_UUID_H
#define BASE_UUID_H
/* RFC 9562 UUIDs as 16 bytes, and their 36-character text (lower case out, either case in). */
#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

#define UUID_TEXT 36

void uuid_v7(uint8_t id[16], int64_t unix_ms); /* random part from getrandom(2) */
/* A version 8 UUID out of the first 16 bytes of a digest: where a repeat must get the same id. */
void uuid_v8(uint8_t id[16], const uint8_t digest[16]);
char *uuid_text(const uint8_t id[16], char out[UUID_TEXT + 1]); /* returns out */
int uuid_parse(struct span text, uint8_t id[16]) __attribute__((warn_unused_result));

#endif
