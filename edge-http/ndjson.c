#include "edge-http/ndjson.h"

#include "edge-http/text.h"

/* A short text can be three times as long in msgpack ("1.5," is 4 bytes, a double 9). */
enum { LINES_MAX = 4 * 1024 * 1024 };

void
ndjson_init(struct ndjson *n)
{
	*n = (struct ndjson){.nlines = 0};
	buf_init(&n->lines, LINES_MAX);
	buf_init(&n->part, NDJSON_CHUNK_BYTES + 1);
}

void
ndjson_fini(struct ndjson *n)
{
	buf_fini(&n->lines);
	buf_fini(&n->part);
}

static bool
is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
			return false;
	}
	return true;
}

/* One whole line without its end.  MORE: it is in the chunk; FULL: it is not, and has to wait. */
static enum ndjson_say
line_add(struct ndjson *n, struct span line)
{
	size_t before = n->lines.n;

	if (is_blank(line)) {
		n->line++;
		return NDJSON_MORE;
	}
	if (n->nlines == NDJSON_CHUNK_LINES ||
	    (n->nlines > 0 && n->bytes + line.n > NDJSON_CHUNK_BYTES))
		return NDJSON_FULL;
	n->line++;
	if (json_to_mp(line, &n->lines, &n->error) != 0) {
		n->lines.n = before;
		return NDJSON_BAD;
	}
	n->nlines++;
	n->bytes += line.n;
	return NDJSON_MORE;
}

static enum ndjson_say
too_long(struct ndjson *n)
{
	n->line++;
	return NDJSON_LONG;
}

/* The line that waits, if the chunk has room for it now. */
static enum ndjson_say
waiting_add(struct ndjson *n)
{
	enum ndjson_say say;

	if (!n->waiting)
		return NDJSON_MORE;
	say = line_add(n, buf_span(&n->part));
	if (say == NDJSON_MORE) {
		n->waiting = false;
		buf_reset(&n->part);
	}
	return say;
}

/* The end of the line is at in[len]. */
static enum ndjson_say
line_ended(struct ndjson *n, const uint8_t *p, size_t len)
{
	enum ndjson_say say;

	if (n->part.n + len > NDJSON_CHUNK_BYTES)
		return too_long(n);
	if (n->part.n == 0) {
		say = line_add(n, span_of(p, len));
		if (say != NDJSON_FULL)
			return say;
	}
	buf_put(&n->part, p, len);
	n->waiting = true;
	return waiting_add(n);
}

enum ndjson_say
ndjson_feed(struct ndjson *n, struct span in, size_t *taken)
{
	enum ndjson_say say = waiting_add(n);

	*taken = 0;
	while (say == NDJSON_MORE && *taken < in.n) {
		const uint8_t *p = in.p + *taken;
		size_t left = in.n - *taken;
		const uint8_t *end = memchr(p, '\n', left);

		if (end == NULL) {
			if (n->part.n + left > NDJSON_CHUNK_BYTES)
				return too_long(n);
			buf_put(&n->part, p, left);
			*taken = in.n;
			break;
		}
		*taken += (size_t)(end - p) + 1;
		say = line_ended(n, p, (size_t)(end - p));
	}
	return say;
}

enum ndjson_say
ndjson_end(struct ndjson *n)
{
	enum ndjson_say say;

	if (!n->waiting && n->part.n > 0)
		n->waiting = true;
	say = waiting_add(n);
	return say == NDJSON_MORE ? NDJSON_DONE : say;
}

void
ndjson_next(struct ndjson *n)
{
	buf_reset(&n->lines);
	n->nlines = 0;
	n->bytes = 0;
	n->chunk++;
}
