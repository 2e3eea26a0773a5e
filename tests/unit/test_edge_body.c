/* Bodies on their way in, and what the counters look like from outside. */
#include <stdlib.h>

#include "edge-http/body.h"
#include "edge-http/metrics.h"
#include "edge-http/scrape_text.h"
#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static size_t
gzip(uint8_t *to, size_t room, const void *p, size_t n)
{
	z_stream z = {0};

	deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = to;
	z.avail_out = (uInt)room;
	deflate(&z, Z_FINISH);
	n = room - z.avail_out;
	deflateEnd(&z);
	return n;
}

/* Feed in pieces; every chunk of lines is noted as its number of lines. */
static enum body_say
run(struct body *b, struct span in, size_t piece, struct buf *log)
{
	enum body_say say = BODY_MORE;
	size_t at = 0, taken;

	while (at < in.n && (say == BODY_MORE || say == BODY_CHUNK)) {
		size_t left = in.n - at;

		say = body_feed(b, span_of(in.p + at, left < piece ? left : piece), &taken);
		at += taken;
		if (say == BODY_CHUNK) {
			buf_printf(log, "%u,", b->lines->nlines);
			body_next(b);
		}
	}
	while (say == BODY_MORE || say == BODY_CHUNK) {
		say = body_end(b);
		if (b->lines && (say == BODY_CHUNK || say == BODY_DONE))
			buf_printf(log, "%u,", b->lines->nlines);
		if (say == BODY_CHUNK)
			body_next(b);
	}
	return say;
}

static struct buf log_text;

static enum body_say
whole(enum body_kind kind, bool zipped, size_t max, struct span in, size_t piece)
{
	struct body b;
	enum body_say say;

	buf_reset(&log_text);
	CHECK(body_init(&b, kind, zipped, max) == 0);
	say = run(&b, in, piece, &log_text);
	CHECK(body_held(&b) <= max + 8u * 1024 * 1024);
	body_fini(&b);
	body_fini(&b);
	return say;
}

static void
plain(size_t piece)
{
	static uint8_t big[20000];
	uint8_t packed[2000];
	size_t n;

	memset(big, 'x', sizeof big);
	CHECK(whole(BODY_WHOLE, false, 20000, span_of(big, 20000), piece) == BODY_DONE);
	CHECK(whole(BODY_WHOLE, false, 19999, span_of(big, 20000), piece) == BODY_TOO_BIG);
	CHECK(whole(BODY_NONE, false, 10, span_of(big, 20000), piece) == BODY_DONE);
	n = gzip(packed, sizeof packed, big, sizeof big);
	CHECK(whole(BODY_WHOLE, true, 20000, span_of(packed, n), piece) == BODY_DONE);
	CHECK(whole(BODY_WHOLE, true, 19999, span_of(packed, n), piece) == BODY_TOO_BIG);
	CHECK(whole(BODY_WHOLE, true, 20000, span_of(packed, n - 1), piece) == BODY_GZIP);
	CHECK(whole(BODY_WHOLE, true, 20000, span_of(big, 100), piece) == BODY_GZIP);
	CHECK(whole(BODY_WHOLE, true, 20000, (struct span){NULL, 0}, piece) == BODY_DONE);
}

static void
lines(size_t piece)
{
	static uint8_t packed[200000];
	struct buf text;
	size_t n;

	buf_init(&text, 1u << 24);
	for (int i = 0; i < 9000; i++)
		buf_printf(&text, "{\"i\":%d}\n", i);
	CHECK(whole(BODY_LINES, false, 1000, buf_span(&text), piece) == BODY_DONE);
	CHECK_STR(buf_cstr(&log_text), "4096,4096,808,");
	n = gzip(packed, sizeof packed, text.p, text.n);
	CHECK(whole(BODY_LINES, true, 1000, span_of(packed, n), piece) == BODY_DONE);
	CHECK_STR(buf_cstr(&log_text), "4096,4096,808,");
	/* a stream has no limit of size, but one that grows 500-fold is no honest one */
	buf_reset(&text);
	for (int i = 0; i < 1000000; i++)
		buf_puts(&text, "1234567\n");
	n = gzip(packed, sizeof packed, text.p, text.n);
	CHECK(text.n / n > 256);
	CHECK(whole(BODY_LINES, true, 100000, span_of(packed, n), piece) == BODY_TOO_BIG);
	CHECK(whole(BODY_LINES, false, 100, span_str("1\n{\n"), piece) == BODY_LINE);
	buf_fini(&text);
}

static void
counters(void)
{
	struct metrics *a = metrics_new(), *b = metrics_new();
	const struct metrics *all[2] = {a, b};
	struct metrics_slot *s = metrics_slot(a, "GET", "/x/{y}");
	struct buf out;
	char name[32];

	CHECK(metrics_slot(a, "GET", "/x/{y}") == s);
	CHECK(metrics_slot(a, "PUT", "/x/{y}") != s);
	metrics_done(s, 200, 700);
	metrics_done(s, 200, 20000000);
	metrics_done(s, 404, 100);
	metrics_done(metrics_slot(b, "GET", "/x/{y}"), 200, 900);
	metrics_add(a, METRICS_CONNECTIONS, 3);
	metrics_add(a, METRICS_CONNECTIONS, -1);
	metrics_add(b, METRICS_CONNECTIONS, 5);
	buf_init(&out, 1u << 20);
	metrics_write(all, 2, &out);
	CHECK(strstr(
	    buf_cstr(&out), "requests_total{method=\"GET\",route=\"/x/{y}\",status=\"200\"} 3\n"));
	CHECK(strstr(
	    buf_cstr(&out), "requests_total{method=\"GET\",route=\"/x/{y}\",status=\"404\"} 1\n"));
	CHECK(strstr(buf_cstr(&out), "_bucket{method=\"GET\",route=\"/x/{y}\",le=\"0.0005\"} 1\n"));
	CHECK(strstr(buf_cstr(&out), "_bucket{method=\"GET\",route=\"/x/{y}\",le=\"0.001\"} 3\n"));
	CHECK(strstr(buf_cstr(&out), "_bucket{method=\"GET\",route=\"/x/{y}\",le=\"10\"} 3\n"));
	CHECK(strstr(buf_cstr(&out), "_bucket{method=\"GET\",route=\"/x/{y}\",le=\"+Inf\"} 4\n"));
	CHECK(strstr(buf_cstr(&out), "_count{method=\"GET\",route=\"/x/{y}\"} 4\n"));
	CHECK(strstr(buf_cstr(&out), "taxiway_http_connections 7\n"));
	CHECK(!strstr(buf_cstr(&out), "PUT"));
	for (int i = 0; i < METRICS_SLOTS + 10; i++) {
		snprintf(name, sizeof name, "/%d", i);
		s = metrics_slot(a, "GET", name);
	}
	CHECK_STR(s->route, "(other)");
	for (int i = 400; i < 440; i++)
		metrics_done(s, i, 1);
	buf_reset(&out);
	metrics_write(all, 2, &out);
	CHECK(strstr(buf_cstr(&out), "route=\"(other)\",status=\"999\"} 25\n"));
	buf_reset(&out);
	metrics_label(&out, "k", span_str("a\"b\\c\nd"));
	CHECK_STR(buf_cstr(&out), "k=\"a\\\"b\\\\c\\nd\"");
	buf_fini(&out);
	metrics_free(a);
	metrics_free(b);
}

static void
others(void)
{
	struct edge_doc d;
	struct buf out;

	buf_init(&out, 1u << 20);
	scrape_text_broker(NULL, &out);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_up 0\n") != NULL);
	buf_reset(&out);
	(void)edge_doc_init(&d,
	    "{\"head\":7,\"counters\":{\"pub\":3,\"name\":\"x\"},\"drops\":{\"full\":2},"
	    "\"dead\":{\"NAK\":5},\"errors\":"
	    "{\"BUSY\":4},"
	    "\"latency\":{\"fsyncUs\":{\"sum\":1500,\"le\":{\"100\":2,\"1000\":1,\"inf\":1}}}}");
	scrape_text_broker(&d.doc.root, &out);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_errors_total{code=\"BUSY\"} 4\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_journal_commit_seconds_bucket{le=\"0.0001\"} 2\n"
				     "taxiway_journal_commit_seconds_bucket{le=\"0.001\"} 3\n"
				     "taxiway_journal_commit_seconds_bucket{le=\"+Inf\"} 4\n"
				     "taxiway_journal_commit_seconds_sum 0.001500\n"
				     "taxiway_journal_commit_seconds_count 4\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_up 1\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_head 7\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_total{what=\"pub\"} 3\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_drops_total{reason=\"full\"} 2\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_broker_dead_total{reason=\"NAK\"} 5\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "name") == NULL);
	edge_doc_fini(&d);
	buf_reset(&out);
	(void)edge_doc_init(
	    &d, "{\"groups\":[{\"group\":\"g\",\"owed\":4,\"oldestMs\":1500},{\"group\":\"h\"}]}");
	scrape_text_groups(&d.doc.root, &out);
	CHECK(strstr(buf_cstr(&out), "taxiway_group_owed{group=\"g\"} 4\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "taxiway_group_oldest_seconds{group=\"g\"} 1.500\n") != NULL);
	CHECK(strstr(buf_cstr(&out), "{group=\"h\"}") == NULL);
	edge_doc_fini(&d);
	buf_reset(&out);
	(void)edge_doc_init(
	    &d, "{\"name\":\"n\",\"loop\":{\"slow\":1,\"lag\":{\"p99\":0.5}},\"list\":[1]}");
	scrape_text_process(span_str("sys.stats.n.17"), &d.doc.root, &out);
	CHECK_STR(buf_cstr(&out),
	    "taxiway_stat{process=\"n\",pid=\"17\",stat=\"loop.slow\"} 1\n"
	    "taxiway_stat{process=\"n\",pid=\"17\",stat=\"loop.lag.p99\"} 0.5\n");
	edge_doc_fini(&d);
	buf_fini(&out);
}

int
main(void)
{
	static const size_t pieces[] = {1, 100, 65536};

	buf_init(&log_text, 1000);
	for (size_t i = 0; i < 3; i++) {
		plain(pieces[i]);
		lines(pieces[i]);
	}
	counters();
	others();
	buf_fini(&log_text);
	return check_done();
}
