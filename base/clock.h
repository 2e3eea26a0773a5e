#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
/* The only place that reads a clock.  Cores take time as an argument. */
#include <stdint.h>

int64_t clock_mono_ms(void);  /* CLOCK_MONOTONIC: deadlines, intervals */
int64_t clock_mono_us(void);
int64_t clock_real_ms(void);  /* CLOCK_REALTIME, unix ms: what is stored or shown */
int64_t clock_real_us(void);

/* "2026-11-21T07:39:44.123Z" (RFC 3339) into dst[25]; returns dst. */
char *clock_rfc3339(int64_t unix_ms, char dst[25]);

#endif
