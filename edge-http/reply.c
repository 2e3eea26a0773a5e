#include "edge-http/reply.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/die.h"
#include "edge-http/media.h"
#include "edge-http/text.h"
#include "edge-http/wait.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum {
	GZIP_FROM = 1024,          /* less is sent as it is */
	GZIP_AT_ONCE = 128 * 1024, /* more is compressed a block at a time, as it is sent */
	GZIP_LEVEL = 4,
	GZIP_BITS = MAX_WBITS + 16,
	BLOCK = 32 * 1024,
	STREAM_MAX = 32 * 1024 * 1024,
};

static int
zip_open(z_stream *z)
{
	*z = (z_stream){0};
	return deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK
		   ? 0
		   : -1;
}

/* The whole body in one go; false leaves it as it was. */
static bool
zip_at_once(struct buf *body)
{
	struct buf out;
	z_stream z;
	uint8_t *room;
	size_t most;
	int rc;

	if (zip_open(&z) != 0)
		return false;
	most = deflateBound(&z, body->n);
	buf_init(&out, most);
	room = buf_room(&out, most);
	if (room == NULL) {
		deflateEnd(&z);
		return false;
	}
	z.next_in = body->p;
	z.avail_in = (uInt)body->n;
	z.next_out = room;
	z.avail_out = (uInt)most;
	rc = deflate(&z, Z_FINISH);
	out.n = most - z.avail_out;
	deflateEnd(&z);
	if (rc != Z_STREAM_END || out.n >= body->n) {
		buf_fini(&out);
		return false;
	}
	buf_fini(body);
	*body = out;
	return true;
}

/* A long body, compressed while it is sent. */
struct zipped {
	struct shard *sh;
	z_stream z;
	uint8_t *p;
};

static ssize_t
read_zipped(void *cls, uint64_t pos, char *to, size_t max)
{
	struct zipped *s = cls;
	int rc;

	(void)pos;
	s->sh->moved = true;
	s->z.next_out = (Bytef *)to;
	s->z.avail_out = max > INT_MAX ? INT_MAX : (uInt)max;
	max = s->z.avail_out;
	rc = deflate(&s->z, Z_FINISH);
	if (max == s->z.avail_out) {
		return rc == Z_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
					  : MHD_CONTENT_READER_END_WITH_ERROR;
	}
	return (ssize_t)(max - s->z.avail_out);
}

static void
free_zipped(void *cls)
{
	struct zipped *s = cls;

	deflateEnd(&s->z);
	free(s->p);
	free(s);
}

static struct MHD_Response *
zip_as_sent(struct shard *sh, struct buf *body)
{
	struct zipped *s = xcalloc(1, sizeof *s);
	struct MHD_Response *res;
	size_t n;

	if (zip_open(&s->z) != 0) {
		free(s);
		return NULL;
	}
	s->sh = sh;
	buf_take(body, &s->p, &n);
	s->z.next_in = s->p;
	s->z.avail_in = (uInt)n;
	res =
	    MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_zipped, s, free_zipped);
	if (res == NULL)
		free_zipped(s);
	return res;
}

/* A short body stays where it is: the request lives until its answer is sent, and keeps the memory
 * for the next. */
static struct MHD_Response *
plain(struct buf *body)
{
	struct MHD_Response *res;
	uint8_t *p;
	size_t n;

	if (body->n <= GZIP_FROM) {
		return MHD_create_response_from_buffer(
		    body->n, body->n ? body->p : NULL, MHD_RESPMEM_PERSISTENT);
	}
	buf_take(body, &p, &n);
	res = MHD_create_response_from_buffer_with_free_callback(n, p, free);
	if (res == NULL)
		free(p);
	return res;
}

static ssize_t
read_stream(void *cls, uint64_t pos, char *to, size_t max)
{
	struct stream *s = cls;
	size_t n = s->q.n - s->at;

	(void)pos;
	s->r->sh->moved = true;
	if (n > 0) {
		n = n < max ? n : max;
		memcpy(to, s->q.p + s->at, n);
		s->at += n;
		s->r->out += n;
		return (ssize_t)n;
	}
	if (s->failed)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (s->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	buf_reset(&s->q);
	s->at = 0;
	if (s->parts > 0)
		client_more(s->r->sh->client, s->id, s->parts);
	s->parts = 0;
	s->starved = true;
	wait_suspend(s->r);
	return 0;
}

struct stream *
reply_stream_new(struct http_req *r, const uint8_t id[16])
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->r = r;
	memcpy(s->id, id, sizeof s->id);
	buf_init(&s->q, STREAM_MAX);
	return s;
}

void
reply_stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->q);
	free(s);
}

static void
wake(struct stream *s)
{
	if (!s->starved)
		return;
	s->starved = false;
	wait_end(s->r);
}

void
reply_stream_put(struct stream *s, struct span body)
{
	enum mp_type kind;
	struct span raw;
	struct mp_r r;

	mp_r_init(&r, body);
	kind = body.n ? mp_peek(&r) : MP_NIL;
	if (kind == MP_BIN || kind == MP_STR) {
		raw = kind == MP_BIN ? mp_bin(&r, LIMIT_FRAME) : mp_str(&r, LIMIT_FRAME);
		buf_put(&s->q, raw.p, raw.n);
	} else if (kind != MP_NIL) {
		if (json_from_mp(body, &s->q, 0) != 0)
			s->failed = true;
		buf_putc(&s->q, '\n');
	}
	s->failed |= s->q.failed;
	s->parts++;
	wake(s);
}

void
reply_stream_end(struct stream *s, bool failed)
{
	s->ended = true;
	s->failed |= failed;
	wake(s);
}

static struct MHD_Response *
response_of(struct http_req *r)
{
	struct answer *a = &r->answer;
	struct span type = media_type(span_str(a->type));
	struct MHD_Response *res;
	bool zip = false;

	if (r->stream) {
		return MHD_create_response_from_callback(
		    MHD_SIZE_UNKNOWN, BLOCK, read_stream, r->stream, NULL);
	}
	r->out = a->body.n;
	if (a->body.n <= GZIP_FROM || !media_is_text(type))
		return plain(&a->body);
	if (media_accepts_gzip(r->h.accept_coding)) {
		res = a->body.n > GZIP_AT_ONCE && a->body.n <= INT_MAX
			  ? zip_as_sent(r->sh, &a->body)
			  : NULL;
		zip = res != NULL;
		if (res == NULL) {
			zip = a->body.n <= GZIP_AT_ONCE && zip_at_once(&a->body);
			res = plain(&a->body);
		}
	} else {
		res = plain(&a->body);
	}
	if (res && zip)
		(void)MHD_add_response_header(res, "Content-Encoding", "gzip");
	if (res)
		(void)MHD_add_response_header(res, "Vary", "Accept-Encoding");
	return res;
}

static void
put_headers(struct http_req *r, struct MHD_Response *res)
{
	const struct answer *a = &r->answer;

	if (a->type[0])
		(void)MHD_add_response_header(res, "Content-Type", a->type);
	if (r->root_text[0])
		(void)MHD_add_response_header(res, "X-Request-Id", r->root_text);
	if (r->trace[0])
		(void)MHD_add_response_header(res, "traceparent", r->trace);
	(void)MHD_add_response_header(res, "X-Content-Type-Options", "nosniff");
	for (unsigned i = 0; i < a->nh; i++) {
		if (MHD_add_response_header(res, a->h[i].name, a->h[i].value) == MHD_NO)
			metrics_add(r->sh->m, METRICS_BAD_HEADER, 1);
	}
	if (r->sh->draining || r->must_close)
		(void)MHD_add_response_header(res, "Connection", "close");
}

enum MHD_Result
reply_queue(struct http_req *r)
{
	struct MHD_Response *res;
	enum MHD_Result ok;

	if (r->answer.body.failed && r->stream == NULL) {
		answer_reset(&r->answer);
		http_fail(r, ERR_TOO_BIG, "the answer is too big");
	}
	res = response_of(r);
	if (res == NULL)
		return MHD_NO;
	put_headers(r, res);
	r->phase = HTTP_QUEUED;
	ok = MHD_queue_response(r->mhd, (unsigned)r->answer.status, res);
	MHD_destroy_response(res);
	return ok;
}
