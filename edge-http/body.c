#include "edge-http/body.h"

#include <stdlib.h>

#include "base/die.h"

enum { PIECE = 64 * 1024, RATIO_MAX = 256 };

int
body_init(struct body *b, enum body_kind kind, bool zipped, size_t max)
{
	*b = (struct body){.kind = kind, .max = max};
	buf_init(&b->bytes, max);
	buf_init(&b->plain, PIECE);
	if (zipped && kind != BODY_NONE) {
		if (gunzip_init(&b->gz) != 0)
			return -1;
		b->zipped = true;
	}
	if (kind == BODY_LINES) {
		b->lines = xcalloc(1, sizeof *b->lines);
		ndjson_init(b->lines);
	}
	return 0;
}

void
body_fini(struct body *b)
{
	if (b->zipped)
		gunzip_fini(&b->gz);
	b->zipped = false;
	if (b->lines)
		ndjson_fini(b->lines);
	free(b->lines);
	b->lines = NULL;
	buf_fini(&b->bytes);
	buf_fini(&b->plain);
}

static enum body_say
of_lines(enum ndjson_say say)
{
	switch (say) {
	case NDJSON_MORE: return BODY_MORE;
	case NDJSON_FULL: return BODY_CHUNK;
	case NDJSON_DONE: return BODY_DONE;
	case NDJSON_BAD: return BODY_LINE;
	case NDJSON_LONG: return BODY_LONG;
	}
	return BODY_LINE;
}

static enum body_say
collect(struct body *b, struct span in)
{
	buf_put(&b->bytes, in.p, in.n);
	return b->bytes.failed ? BODY_TOO_BIG : BODY_MORE;
}

/* What is inflated already, into lines. */
static enum body_say
drain_plain(struct body *b)
{
	struct span rest = span_of(buf_span(&b->plain).p + b->plain_at, b->plain.n - b->plain_at);
	enum body_say say;
	size_t taken;

	if (b->kind == BODY_WHOLE) {
		say = collect(b, rest);
		taken = rest.n;
	} else {
		say = of_lines(ndjson_feed(b->lines, rest, &taken));
	}
	b->plain_at += taken;
	if (b->plain_at == b->plain.n) {
		buf_reset(&b->plain);
		b->plain_at = 0;
	}
	return say;
}

/* A whole body is bounded by its size.  A stream is not, so one that expands beyond all reason is.
 */
static bool
is_bomb(const struct body *b)
{
	return b->kind == BODY_LINES && b->gz.out > b->max && b->gz.out / RATIO_MAX > b->gz.in;
}

static enum body_say
feed_zipped(struct body *b, struct span in, size_t *taken)
{
	size_t all = in.n;
	enum body_say say = drain_plain(b);
	enum gunzip_say zs = GUNZIP_ROOM;

	while (say == BODY_MORE && zs == GUNZIP_ROOM) {
		uint8_t *room = buf_room(&b->plain, PIECE);
		size_t n = 0;

		if (room == NULL)
			return BODY_TOO_BIG;
		zs = gunzip_feed(&b->gz, &in, room, PIECE, &n);
		b->plain.n += n;
		if (zs == GUNZIP_BAD)
			return BODY_GZIP;
		say = is_bomb(b) ? BODY_TOO_BIG : drain_plain(b);
	}
	*taken = all - in.n;
	return say;
}

enum body_say
body_feed(struct body *b, struct span in, size_t *taken)
{
	enum body_say say = BODY_MORE;

	*taken = in.n;
	if (b->kind == BODY_NONE) {
		say = BODY_MORE;
	} else if (b->zipped) {
		say = feed_zipped(b, in, taken);
	} else if (b->kind == BODY_WHOLE) {
		say = collect(b, in);
	} else {
		say = of_lines(ndjson_feed(b->lines, in, taken));
	}
	b->in += *taken;
	return say;
}

enum body_say
body_end(struct body *b)
{
	size_t taken;

	if (b->zipped && b->in > 0) {
		enum body_say say = feed_zipped(b, (struct span){NULL, 0}, &taken);

		if (say != BODY_MORE)
			return say;
		if (!gunzip_is_whole(&b->gz))
			return BODY_GZIP;
	}
	return b->kind == BODY_LINES ? of_lines(ndjson_end(b->lines)) : BODY_DONE;
}

void
body_next(struct body *b)
{
	ndjson_next(b->lines);
}

size_t
body_held(const struct body *b)
{
	return b->bytes.n + b->plain.n + (b->lines ? b->lines->lines.n + b->lines->part.n : 0);
}
