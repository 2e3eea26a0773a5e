#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/uuid.h"

#define ELLIPSIS "…"
enum { LINE_MAX_BYTES = 2048, LINE_ROOM = LINE_MAX_BYTES - sizeof ELLIPSIS };

static const char *log_svc;
static enum log_level log_min = LOG_INFO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
	char p[LINE_MAX_BYTES];
	size_t n;
	bool cut;
};

void
log_init(const char *svc, enum log_level level)
{
	log_svc = svc;
	log_min = level;
}

void
log_set_level(enum log_level level)
{
	log_min = level;
}

int
log_level_of(const char *name)
{
	for (int i = 0; i < (int)(sizeof level_names / sizeof level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0)
			return i;
	}
	return -1;
}

/* All of it or nothing, so that no escape and no character is ever cut in two. */
static void
put(struct line *l, const void *p, size_t n)
{
	if (l->cut || n > LINE_ROOM - l->n) {
		l->cut = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void
puts_raw(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

static bool
is_control(const uint8_t *p, size_t len)
{
	/* C0, DEL, and C1 (U+0080..U+009F), which terminals obey too */
	return p[0] < 0x20 || p[0] == 0x7f || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

static bool
needs_quotes(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
			return true;
	}
	return s.n == 0;
}

static void
put_escaped(struct line *l, const uint8_t *p, size_t n)
{
	static const char from[] = "\"\\\n\r\t", to[] = "\"\\nrt";
	const char *at = n == 1 && *p ? strchr(from, *p) : NULL;
	char esc[16];
	size_t len = 0;

	if (at != NULL) {
		esc[len++] = '\\';
		esc[len++] = to[at - from];
	} else {
		for (size_t i = 0; i < n; i++)
			len += (size_t)snprintf(esc + len, sizeof esc - len, "\\x%02x", p[i]);
	}
	put(l, esc, len);
}

static void
put_value(struct line *l, struct span s)
{
	size_t i = 0;

	if (!needs_quotes(s)) {
		/* plain ASCII: one byte is one character */
		for (; i < s.n && !l->cut; i++)
			put(l, s.p + i, 1);
		return;
	}
	puts_raw(l, "\"");
	while (i < s.n && !l->cut) {
		size_t n = str_utf8_len(span_of(s.p + i, s.n - i));
		size_t step = n ? n : 1;

		if (n == 0 || s.p[i] == '"' || s.p[i] == '\\' || is_control(s.p + i, n)) {
			put_escaped(l, s.p + i, step);
		} else {
			put(l, s.p + i, step);
		}
		i += step;
	}
	puts_raw(l, "\"");
}

static void
put_field(struct line *l, const struct log_field *f, int err)
{
	char tmp[128];

	puts_raw(l, " ");
	puts_raw(l, f->key);
	puts_raw(l, "=");
	switch (f->kind) {
	case LOG_K_STR: put_value(l, span_str(f->v.s)); break;
	case LOG_K_SPAN: put_value(l, f->v.b); break;
	case LOG_K_INT:
		snprintf(tmp, sizeof tmp, "%" PRId64, f->v.i);
		puts_raw(l, tmp);
		break;
	case LOG_K_UINT:
		snprintf(tmp, sizeof tmp, "%" PRIu64, f->v.u);
		puts_raw(l, tmp);
		break;
	case LOG_K_ID: puts_raw(l, uuid_text(f->v.id, tmp)); break;
	case LOG_K_ERRNO: put_value(l, span_str(strerror_r(err, tmp, sizeof tmp))); break;
	case LOG_K_END: break;
	}
}

void
log_write(enum log_level level, const char *evt, const struct log_field *fields)
{
	struct line l;
	int err = errno;
	char ts[25];
	ssize_t n;

	if (level < log_min)
		return;
	l.n = 0;
	l.cut = false;
	puts_raw(&l, "ts=");
	puts_raw(&l, clock_rfc3339(clock_real_ms(), ts));
	puts_raw(&l, " lvl=");
	puts_raw(&l, level_names[level]);
	puts_raw(&l, " svc=");
	put_value(&l, span_str(log_svc ? log_svc : program_invocation_short_name));
	puts_raw(&l, " evt=");
	put_value(&l, span_str(evt));
	for (; fields->kind != LOG_K_END; fields++)
		put_field(&l, fields, err);
	if (l.cut) {
		memcpy(l.p + l.n, ELLIPSIS, sizeof ELLIPSIS - 1);
		l.n += sizeof ELLIPSIS - 1;
	}
	l.p[l.n++] = '\n';
	do {
		n = write(STDERR_FILENO, l.p, l.n);
	} while (n == -1 && errno == EINTR);
	errno = err;
}

int
log_allow(struct log_limit *lim, int64_t now_ms, unsigned burst)
{
	if (lim->n == 0 || now_ms - lim->window >= 1000) {
		lim->window = now_ms;
		lim->n = 0;
	}
	if (lim->n >= burst) {
		lim->suppressed++;
		return 0;
	}
	lim->n++;
	lim->last = lim->suppressed;
	lim->suppressed = 0;
	return 1;
}
