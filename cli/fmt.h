#ifndef CLI_FMT_H
#define CLI_FMT_H
/* Figures as people read them.  Pure, but for the time zone of the process.  The text lives as long
 * as the expression: printf("%s", fmt_bytes(n).s). */
#include <stdint.h>

struct fmt {
	char s[48];
};

struct fmt fmt_time(int64_t unix_ms);    /* RFC 3339 with ms and the local offset; "-" for 0 */
struct fmt fmt_age(int64_t ms);          /* 870ms, 1.2s, 45s, 3m20s, 2h05m, 3d04h */
struct fmt fmt_us(int64_t us);           /* 277us, 1.4ms, 2.0s */
struct fmt fmt_bytes(uint64_t n);        /* 512 B, 1.5 KiB, 10 GiB */
struct fmt fmt_count(uint64_t n);        /* 0 to 99999, then 123k, 4.5M, 12G */
struct fmt fmt_rate(double per_s);       /* 0, 0.4, 12, 3.1k */
struct fmt fmt_id(const uint8_t id[16]); /* the whole UUID */
struct fmt fmt_short_id(const uint8_t id[16]); /* its last 8 digits: a v7's first are its time */

#endif
