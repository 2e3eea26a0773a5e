#ifndef BASE_LOG_H
#define BASE_LOG_H
/* logfmt on stderr: ts=… lvl=… svc=… evt=… k=v….  One line, one write(2); values are escaped here and
 * nowhere else, so no peer can inject a line; a line longer than 2 KiB is cut and ends in "…".
 * `evt` is a fixed token that tests and operators search for.  Thread-safe: no state but the level
 * and the name, both set once at start.
 *
 *	log_info("group_created", LOG_S("group", name), LOG_U("next", seq));
 */
#include <stdint.h>
#include <syslog.h>
#include "base/span.h"

/* czmq.h brings syslog.h; included above, it cannot turn our names into its numbers later. */
#undef LOG_DEBUG
#undef LOG_INFO

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NOTHING };

enum log_kind { LOG_K_END, LOG_K_STR, LOG_K_SPAN, LOG_K_INT, LOG_K_UINT, LOG_K_ID, LOG_K_ERRNO };

struct log_field {
	const char *key;
	enum log_kind kind;
	union {
		const char *s;
		struct span b;
		int64_t i;
		uint64_t u;
		const uint8_t *id;
	} v;
};

#define LOG_S(k, x) {(k), LOG_K_STR, {.s = (x)}}	   /* C string; NULL prints as empty */
#define LOG_B(k, x) {(k), LOG_K_SPAN, {.b = (x)}}	   /* struct span */
#define LOG_I(k, x) {(k), LOG_K_INT, {.i = (x)}}	   /* signed */
#define LOG_U(k, x) {(k), LOG_K_UINT, {.u = (x)}}	   /* unsigned */
#define LOG_ID(k, x) {(k), LOG_K_ID, {.id = (x)}}	   /* 16 bytes, printed as a UUID */
#define LOG_ERRNO() {"err", LOG_K_ERRNO, {.i = 0}}	   /* strerror(errno) */

/* `svc` is kept, not copied. */
void log_init(const char *svc, enum log_level level);
void log_set_level(enum log_level level);
/* "debug", "info", "warn", "error"; -1 for anything else. */
int log_level_of(const char *name);

void log_write(enum log_level level, const char *evt, const struct log_field *fields);

#define LOG_END {NULL, LOG_K_END, {.i = 0}}
#define LOG_AT(l, evt, ...) log_write((l), (evt), (const struct log_field[]){__VA_ARGS__})
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__, LOG_END)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__, LOG_END)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__, LOG_END)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__, LOG_END)

/* For a line that a peer can trigger: at most `burst` a second from this place, then a count.
 *	static struct log_limit lim;
 *	if (log_allow(&lim, now_ms, 5)) log_warn("bad_frame", …, LOG_U("suppressed", lim.last));
 * One limiter belongs to one thread. */
struct log_limit {
	int64_t window;
	unsigned n, suppressed, last;
};
int log_allow(struct log_limit *lim, int64_t now_ms, unsigned burst);

#endif
