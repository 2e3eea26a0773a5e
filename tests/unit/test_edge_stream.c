/* NDJSON cut into chunks, whatever pieces it comes in; gzip a bounded piece at a time. */
#include <stdlib.h>
#include "base/die.h"
#include "edge-http/gunzip.h"
#include "edge-http/ndjson.h"
#include "tests/unit/check.h"
#include "tests/unit/edge.h"

/* What a run said: "<lines>,<lines>,…" for each chunk, "!" for the last. */
struct run {
	struct buf log, first;
	enum ndjson_say end;
	uint64_t line;
};

static void
chunk_note(struct run *r, struct ndjson *n)
{
	buf_printf(&r->log, "%u,", n->nlines);
	if (n->chunk == 0)
		buf_put(&r->first, n->lines.p, n->lines.n);
}

static void
run(struct run *r, struct span text, size_t piece)
{
	struct ndjson n;
	enum ndjson_say say = NDJSON_MORE;
	size_t at = 0, taken;

	buf_init(&r->log, 1000);
	buf_init(&r->first, 1u << 23);
	ndjson_init(&n);
	while (at < text.n && (say == NDJSON_MORE || say == NDJSON_FULL)) {
		size_t left = text.n - at;

		say = ndjson_feed(&n, span_of(text.p + at, left < piece ? left : piece), &taken);
		at += taken;
		if (say == NDJSON_FULL) {
			chunk_note(r, &n);
			ndjson_next(&n);
		}
	}
	while (say == NDJSON_MORE || say == NDJSON_FULL) {
		say = ndjson_end(&n);
		if (say == NDJSON_FULL || say == NDJSON_DONE)
			chunk_note(r, &n);
		if (say == NDJSON_FULL)
			ndjson_next(&n);
	}
	r->end = say;
	r->line = n.line;
	ndjson_fini(&n);
}

static void
run_fini(struct run *r)
{
	buf_fini(&r->log);
	buf_fini(&r->first);
}

static void
small(size_t piece)
{
	struct run r;

	run(&r, span_str("{\"a\":1}\n\n \r\n[2]\r\ntrue"), piece);
	CHECK(r.end == NDJSON_DONE);
	CHECK_STR(buf_cstr(&r.log), "3,");
	CHECK(span_eq(buf_span(&r.first), span_of("\x81\xa1"
						  "a\x01\x91\x02\xc3",
					      7)));
	CHECK(r.line == 5);
	run_fini(&r);
	run(&r, span_str("1\n2\n{\n4\n"), piece);
	CHECK(r.end == NDJSON_BAD && r.line == 3);
	run_fini(&r);
	run(&r, span_str("1"), piece);
	CHECK(r.end == NDJSON_DONE);
	CHECK_STR(buf_cstr(&r.log), "1,");
	run_fini(&r);
	run(&r, span_str("\n"), piece);
	CHECK(r.end == NDJSON_DONE);
	CHECK_STR(buf_cstr(&r.log), "0,");
	run_fini(&r);
}

static void
many(size_t piece)
{
	struct buf b;
	struct run r;

	buf_init(&b, 1u << 23);
	for (int i = 0; i < 9000; i++)
		buf_puts(&b, "7\n");
	run(&r, buf_span(&b), piece);
	CHECK_STR(buf_cstr(&r.log), "4096,4096,808,");
	run_fini(&r);
	buf_reset(&b);
	for (int i = 0; i < 4096; i++)
		buf_puts(&b, "7\n");
	run(&r, buf_span(&b), piece);
	CHECK_STR(buf_cstr(&r.log), "4096,");
	run_fini(&r);
	buf_fini(&b);
}

/* Lines of 300,000 bytes: three fit into 1 MiB, a fourth does not. */
static void
big(size_t piece)
{
	struct buf b;
	struct run r;

	buf_init(&b, 1u << 23);
	for (int i = 0; i < 7; i++) {
		buf_putc(&b, '"');
		for (int k = 0; k < 299998; k++)
			buf_putc(&b, 'x');
		buf_puts(&b, "\"\n");
	}
	run(&r, buf_span(&b), piece);
	CHECK(r.end == NDJSON_DONE);
	CHECK_STR(buf_cstr(&r.log), "3,3,1,");
	run_fini(&r);
	buf_reset(&b);
	buf_puts(&b, "1\n\"");
	for (int k = 0; k < 1048580; k++)
		buf_putc(&b, 'x');
	run(&r, buf_span(&b), piece);
	CHECK(r.end == NDJSON_LONG && r.line == 2);
	run_fini(&r);
	buf_fini(&b);
}

static size_t
gzip(uint8_t *to, size_t room, const void *p, size_t n)
{
	z_stream z = {0};

	deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = to;
	z.avail_out = (uInt)room;
	deflate(&z, Z_FINISH);
	n = room - z.avail_out;
	deflateEnd(&z);
	return n;
}

/* Inflate in pieces of `piece` with `room` bytes of room; the text is in out. */
static enum gunzip_say
inflate_all(struct gunzip *g, struct span in, size_t piece, size_t room, struct buf *out)
{
	uint8_t *to = xcalloc(1, room);
	enum gunzip_say say = GUNZIP_MORE;
	size_t n;

	CHECK(gunzip_init(g) == 0);
	while (in.n > 0 && say != GUNZIP_BAD) {
		size_t len = in.n < piece ? in.n : piece;
		struct span part = span_of(in.p, len);

		do {
			say = gunzip_feed(g, &part, to, room, &n);
			buf_put(out, to, n);
		} while (say == GUNZIP_ROOM);
		in = span_of(in.p + len - part.n, in.n - len + part.n);
	}
	free(to);
	return say;
}

static void
gunzips(size_t piece, size_t room)
{
	static char text[100000];
	static uint8_t packed[5000];
	struct gunzip g;
	struct buf out;
	size_t n, first;

	memset(text, 'a', sizeof text);
	buf_init(&out, 1u << 20);
	first = gzip(packed, sizeof packed, text, sizeof text);
	n = first + gzip(packed + first, sizeof packed - first, "tail", 4);
	CHECK(inflate_all(&g, span_of(packed, n), piece, room, &out) == GUNZIP_MORE);
	CHECK(gunzip_is_whole(&g));
	CHECK(out.n == sizeof text + 4 && memcmp(out.p + sizeof text, "tail", 4) == 0);
	CHECK(g.in == n && g.out == out.n);
	gunzip_fini(&g);
	buf_reset(&out);
	CHECK(inflate_all(&g, span_of(packed, first - 1), piece, room, &out) == GUNZIP_MORE);
	CHECK(!gunzip_is_whole(&g));
	gunzip_fini(&g);
	packed[first / 2] ^= 0xff;
	packed[first / 2 + 1] ^= 0xff;
	buf_reset(&out);
	(void)inflate_all(&g, span_of(packed, first), piece, room, &out);
	CHECK(!gunzip_is_whole(&g));
	gunzip_fini(&g);
	CHECK(inflate_all(&g, span_str("plain text, no gzip"), piece, room, &out) == GUNZIP_BAD);
	gunzip_fini(&g);
	buf_fini(&out);
}

int
main(void)
{
	static const size_t pieces[] = {1, 7, 4096, 1u << 22};

	for (size_t i = 0; i < 4; i++) {
		small(pieces[i]);
		many(pieces[i]);
		big(pieces[i]);
		gunzips(pieces[i], i % 2 ? 1000 : 64);
	}
	return check_done();
}
