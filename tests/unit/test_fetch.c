/* fetch/http.c against a listener in the same loop: one connection at a time, answers by path. */
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fetch/http.h"

enum { PEERS = 16, ROOM = 8192 };

struct peer {
	struct loop_fd *fd;
	int s;
	size_t n;
	char in[ROOM];
};

static struct server {
	struct loop *loop;
	struct loop_fd *fd;
	int s;
	unsigned port, requests;
	struct peer peers[PEERS];
	char last[ROOM]; /* the last request, whole */
} srv;

/* Path and what is sent back, byte for byte; an empty answer closes, NULL says nothing. */
static const struct route {
	const char *path, *answer;
} routes[] = {
    {"/ok", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"v1\"\r\n"
	    "Last-Modified: Sat, 21 Nov 2026 07:00:00 GMT\r\nX-Price: 7\r\nContent-Length: "
	    "5\r\n\r\nhello"},
    {"/bare", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhalf"},
    {"/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"6\r\nabcdef\r\n6\r\nghijkl\r\n0\r\n\r\n"},
    {"/moved",
	"HTTP/1.1 302 Found\r\nLocation: /ok\r\nETag: \"old\"\r\nContent-Length: 3\r\n\r\nxyz"},
    {"/round", "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n"},
    {"/away", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"},
    {"/close", ""},
    {"/silent", NULL},
};

static void
peer_end(struct peer *p)
{
	if (p->fd == NULL)
		return;
	loop_fd_end(p->fd);
	close(p->s);
	p->fd = NULL;
}

static void
serve(struct peer *p)
{
	const char *path = strchr(p->in, ' ');

	srv.requests++;
	memcpy(srv.last, p->in, p->n + 1);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		const struct route *r = &routes[i];
		size_t n = strlen(r->path);

		if (path == NULL || strncmp(path + 1, r->path, n) != 0 || path[1 + n] != ' ')
			continue;
		p->n = 0;
		if (r->answer == NULL)
			return;
		if (write(p->s, r->answer, strlen(r->answer)) == -1)
			perror("write");
		if (r->answer[0] == '\0' || strstr(r->answer, "Connection: close"))
			peer_end(p);
		return;
	}
	peer_end(p);
}

static bool
is_whole(const char *in, size_t n)
{
	const char *end = strstr(in, "\r\n\r\n");
	const char *len = strstr(in, "Content-Length: ");

	if (end == NULL)
		return false;
	return len == NULL || n - (size_t)(end + 4 - in) >= strtoul(len + 16, NULL, 10);
}

static void
on_peer(void *arg, short revents)
{
	struct peer *p = arg;
	ssize_t n = read(p->s, p->in + p->n, ROOM - 1 - p->n);

	(void)revents;
	if (n <= 0) {
		peer_end(p);
		return;
	}
	p->n += (size_t)n;
	p->in[p->n] = '\0';
	if (is_whole(p->in, p->n))
		serve(p);
}

static void
on_accept(void *arg, short revents)
{
	int s = accept(srv.s, NULL, NULL);

	(void)arg;
	(void)revents;
	for (int i = 0; i < PEERS && s != -1; i++) {
		struct peer *p = &srv.peers[i];

		if (p->fd != NULL)
			continue;
		p->s = s;
		p->n = 0;
		p->fd = loop_fd(srv.loop, s, ZMQ_POLLIN, on_peer, p);
		return;
	}
	close(s);
}

static void
listen_on_loopback(struct loop *l)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;

	srv.loop = l;
	srv.s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(srv.s, (struct sockaddr *)&a, sizeof a) != 0 || listen(srv.s, 8) != 0 ||
	    getsockname(srv.s, (struct sockaddr *)&a, &n) != 0)
		perror("listener");
	srv.port = ntohs(a.sin_port);
	srv.fd = loop_fd(l, srv.s, ZMQ_POLLIN, on_accept, NULL);
}

/* What came of one call. */
static struct got {
	unsigned n;
	enum fetch_end end;
	int status;
	uint64_t bytes;
	char body[64], type[64], etag[64], modified[64], price[16], why[256], url[128];
} got;

static bool in_start;
static struct fetch *free_this;

static void
keep(void *arg, const struct fetch_answer *a)
{
	struct loop *l = arg;

	CHECK(!in_start);
	got.n++;
	got.end = a->end;
	got.status = a->status;
	got.bytes = a->bytes;
	snprintf(got.body, sizeof got.body, "%.*s", (int)a->body.n, (const char *)a->body.p);
	snprintf(got.type, sizeof got.type, "%s", a->type);
	snprintf(got.etag, sizeof got.etag, "%s", a->etag);
	snprintf(got.modified, sizeof got.modified, "%s", a->last_modified);
	snprintf(got.price, sizeof got.price, "%s", fetch_header(a, "x-price"));
	snprintf(got.url, sizeof got.url, "%s", a->url);
	snprintf(got.why, sizeof got.why, "%s", a->why);
	fetch_free(free_this);
	free_this = NULL;
	loop_stop(l);
}

static const char *
url_of(const char *path)
{
	static char url[128];

	snprintf(url, sizeof url, "http://127.0.0.1:%u%s", srv.port, path);
	return url;
}

static struct fetch_spec
spec_of(const char *path)
{
	return (struct fetch_spec){.url = url_of(path), .timeout_ms = 20000, .max_bytes = 1000};
}

static void
call(struct fetch *f, const struct fetch_spec *s)
{
	memset(&got, 0, sizeof got);
	in_start = true;
	CHECK(fetch_start(f, s, keep, srv.loop) != NULL);
	in_start = false;
	loop_run(srv.loop);
	CHECK(got.n == 1);
}

static void
test_answers(struct fetch *f)
{
	struct fetch_spec s = spec_of("/ok");

	call(f, &s);
	CHECK(got.end == FETCH_OK && got.status == 200 && got.bytes == 5);
	CHECK_STR(got.body, "hello");
	CHECK_STR(got.type, "text/plain");
	CHECK_STR(got.etag, "\"v1\"");
	CHECK_STR(got.modified, "Sat, 21 Nov 2026 07:00:00 GMT");
	CHECK_STR(got.price, "7");
	CHECK_STR(got.why, "");
	CHECK(strncmp(srv.last, "GET /ok HTTP/1.1\r\n", 18) == 0);
	CHECK(strstr(srv.last, "Accept-Encoding") == NULL);

	s = spec_of("/bare");
	call(f, &s);
	CHECK(got.end == FETCH_OK && got.status == 404 && got.bytes == 0);
	CHECK_STR(got.etag, "");
	CHECK_STR(got.type, "");
}

static void
test_bounds(struct fetch *f)
{
	struct fetch_spec s = spec_of("/ok");

	s.max_bytes = 5;
	call(f, &s);
	CHECK(got.end == FETCH_OK);
	s.max_bytes = 4;
	call(f, &s);
	CHECK(got.end == FETCH_TOO_BIG);
	CHECK_STR(got.why, "the body is larger than 4 bytes");
	/* A length nobody announced. */
	s = spec_of("/chunks");
	call(f, &s);
	CHECK(got.end == FETCH_OK && got.bytes == 12);
	s.max_bytes = 11;
	call(f, &s);
	CHECK(got.end == FETCH_TOO_BIG);
	CHECK_STR(got.why, "the body is larger than 11 bytes");
	s.max_bytes = 0;
	call(f, &s);
	CHECK(got.end == FETCH_TOO_BIG);
}

static void
test_failures(struct fetch *f)
{
	struct fetch_spec s = spec_of("/short");
	const char *two[] = {"X-One: 1\r\nX-Two: 2", NULL};
	unsigned before;

	call(f, &s);
	CHECK(got.end == FETCH_UNKNOWN && got.why[0] != '\0');
	s = spec_of("/close");
	s.method = "POST";
	before = srv.requests;
	call(f, &s);
	CHECK(got.end == FETCH_UNKNOWN);
	CHECK(srv.requests == before + 1);
	s = spec_of("/silent");
	s.timeout_ms = 50;
	call(f, &s);
	CHECK(got.end == FETCH_TIMEOUT);

	s.url = "http://127.0.0.1:1/";
	s.timeout_ms = 20000;
	call(f, &s);
	CHECK(got.end == FETCH_NOT_SENT && got.why[0] != '\0');
	s.url = "file:///etc/passwd";
	call(f, &s);
	CHECK(got.end == FETCH_BAD_URL);
	s.url = "http://";
	call(f, &s);
	CHECK(got.end == FETCH_BAD_URL);
	s = spec_of("/ok");
	s.headers = two;
	call(f, &s);
	CHECK(got.end == FETCH_BAD_URL);
	CHECK_STR(got.why, "a header holds a line break");
	s = spec_of("/ok");
	s.method = "GET / HTTP/1.1\r\nX: ";
	call(f, &s);
	CHECK(got.end == FETCH_BAD_URL);
}

/* A reused connection that dies under a POST must not make libcurl send it again. */
static void
test_no_silent_repeat(struct fetch *f)
{
	struct fetch_spec s = spec_of("/ok");
	unsigned before;

	call(f, &s);
	s = spec_of("/close");
	s.method = "POST";
	s.body = span_str("pay");
	before = srv.requests;
	call(f, &s);
	CHECK(got.end == FETCH_UNKNOWN);
	CHECK(srv.requests == before + 1);
}

static void
test_redirects(struct fetch *f)
{
	struct fetch_spec s = spec_of("/moved");

	call(f, &s);
	CHECK(got.end == FETCH_OK && got.status == 302);
	CHECK_STR(got.body, "xyz");
	s = spec_of("/moved");
	s.redirects = true;
	call(f, &s);
	CHECK(got.end == FETCH_OK && got.status == 200);
	CHECK_STR(got.body, "hello");
	CHECK_STR(got.etag, "\"v1\"");
	CHECK_STR(got.url, url_of("/ok"));
	s = spec_of("/round");
	s.redirects = true;
	call(f, &s);
	CHECK(got.end == FETCH_UNKNOWN);
	s = spec_of("/away");
	s.redirects = true;
	call(f, &s);
	CHECK(got.end == FETCH_BAD_URL);
}

static void
test_methods(struct fetch *f)
{
	static const char *const headers[] = {"Content-Type: application/json", "X-Key: k", NULL};
	struct fetch_spec s = spec_of("/ok");

	s.method = "POST";
	s.headers = headers;
	s.body = span_of("{\"a\":\0}", 7);
	call(f, &s);
	CHECK(got.end == FETCH_OK && got.status == 200);
	CHECK(strncmp(srv.last, "POST /ok ", 9) == 0);
	CHECK(strstr(srv.last, "\r\nContent-Type: application/json\r\n") != NULL);
	CHECK(strstr(srv.last, "\r\nX-Key: k\r\n") != NULL);
	CHECK(strstr(srv.last, "\r\nContent-Length: 7\r\n") != NULL);
	CHECK(strstr(srv.last, "Expect") == NULL);
	CHECK(memcmp(strstr(srv.last, "\r\n\r\n") + 4, "{\"a\":\0}", 7) == 0);
	s = spec_of("/ok");
	s.method = "PUT";
	s.body = span_str("abc");
	call(f, &s);
	CHECK(strncmp(srv.last, "PUT /ok ", 8) == 0 && strstr(srv.last, "\r\n\r\nabc") != NULL);
	s = spec_of("/ok");
	s.method = "DELETE";
	call(f, &s);
	CHECK(strncmp(srv.last, "DELETE /ok ", 11) == 0);
	s = spec_of("/ok");
	s.method = "HEAD";
	call(f, &s);
	CHECK(strncmp(srv.last, "HEAD /ok ", 9) == 0);
	CHECK(got.end == FETCH_OK && got.bytes == 0);
	CHECK_STR(got.etag, "\"v1\"");
}

static void
test_to_fd(struct fetch *f)
{
	struct fetch_spec s = spec_of("/ok");
	char path[] = "/tmp/test_fetch_XXXXXX";
	char text[16] = "";
	int fd = mkstemp(path);
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	s.to_fd = fd;
	call(f, &s);
	CHECK(got.end == FETCH_OK && got.bytes == 5);
	CHECK_STR(got.body, "");
	CHECK(pread(fd, text, sizeof text - 1, 0) == 5);
	CHECK_STR(text, "hello");
	s = spec_of("/ok");
	s.to_fd = full;
	call(f, &s);
	CHECK(got.end == FETCH_UNKNOWN);
	CHECK_STR(got.why, "writing the body: No space left on device");
	close(full);
	close(fd);
	unlink(path);
}

static void
test_ends(struct fetch *f)
{
	struct fetch_spec s = spec_of("/silent");
	struct fetch_spec ok;
	struct fetch *g = fetch_new(srv.loop);
	struct fetch_call *c;

	memset(&got, 0, sizeof got);
	c = fetch_start(f, &s, keep, srv.loop);
	ok = spec_of("/ok");
	CHECK(fetch_start(f, &ok, keep, srv.loop) != NULL);
	loop_run(srv.loop);
	CHECK(got.n == 1 && got.status == 200);
	fetch_cancel(c);
	CHECK(got.n == 1);

	/* Freed in a callback, with one more ended in the same turn and one under way. */
	memset(&got, 0, sizeof got);
	s = spec_of("/silent");
	CHECK(fetch_start(g, &s, keep, srv.loop) != NULL);
	ok.url = "ftp://127.0.0.1/";
	CHECK(fetch_start(g, &ok, keep, srv.loop) != NULL);
	CHECK(fetch_start(g, &ok, keep, srv.loop) != NULL);
	free_this = g;
	loop_run(srv.loop);
	CHECK(got.n == 1 && got.end == FETCH_BAD_URL);
	fetch_free(NULL);
}

int
main(void)
{
	struct loop *l = loop_new();
	struct fetch *f = fetch_new(l);

	listen_on_loopback(l);
	test_answers(f);
	test_bounds(f);
	test_failures(f);
	test_no_silent_repeat(f);
	test_redirects(f);
	test_methods(f);
	test_to_fd(f);
	test_ends(f);
	fetch_free(f);
	for (int i = 0; i < PEERS; i++)
		peer_end(&srv.peers[i]);
	loop_fd_end(srv.fd);
	close(srv.s);
	loop_free(l);
	return check_done();
}
