#include "fetch/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/die.h"
#include "base/list.h"

enum { REDIRECTS = 5, CONNECTIONS = 64, VALIDATOR = 512 };

struct fetch {
	struct loop *loop;
	CURLM *multi;
	struct timer timer;
	struct list calls; /* in libcurl's hands */
	struct list ended; /* waiting for the end of the turn */
	struct list watches;
	bool in_callback, gone; /* freed by a callback: run_ended frees the rest */
};

struct fetch_call {
	struct list link;
	struct fetch *f;
	CURL *easy;
	struct curl_slist *headers;
	fetch_done_fn *done;
	void *arg;
	struct buf body;
	int fd;
	int write_errno;
	size_t max;
	uint64_t bytes;
	bool too_big;
	bool running; /* added to the multi handle */
	enum fetch_end end;
	char etag[VALIDATOR], modified[VALIDATOR];
	char why[CURL_ERROR_SIZE];
};

/* libcurl names a socket, the loop a handle. */
struct watch {
	struct list link;
	struct fetch *f;
	curl_socket_t s;
	struct loop_fd *fd;
};

static void
call_free(struct fetch_call *c)
{
	list_remove(&c->link);
	if (c->running)
		curl_multi_remove_handle(c->f->multi, c->easy);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	buf_fini(&c->body);
	free(c);
}

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static size_t
on_body(char *p, size_t size, size_t nmemb, void *arg)
{
	struct fetch_call *c = arg;
	size_t n = size * nmemb;

	if (n > c->max - c->bytes) {
		c->too_big = true;
		return 0;
	}
	if (c->fd > 0) {
		if (write_all(c->fd, p, n) == -1) {
			c->write_errno = errno;
			return 0;
		}
	} else {
		buf_put(&c->body, p, n);
		if (c->body.failed)
			return 0;
	}
	c->bytes += n;
	return n;
}

static const char *
header_of(CURL *easy, const char *name)
{
	struct curl_header *h;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return "";
	return h->value;
}

static enum fetch_end
end_of(struct fetch_call *c, CURLcode code)
{
	long sent = 0;

	if (code == CURLE_OK)
		return FETCH_OK;
	if (c->too_big || code == CURLE_FILESIZE_EXCEEDED)
		return FETCH_TOO_BIG;
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return FETCH_BAD_URL;
	/* Bytes of requests handed to a connection, over all redirects. */
	if (curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent) != CURLE_OK || sent == 0)
		return FETCH_NOT_SENT;
	return code == CURLE_OPERATION_TIMEDOUT ? FETCH_TIMEOUT : FETCH_UNKNOWN;
}

static void
explain(struct fetch_call *c, CURLcode code)
{
	if (c->too_big || code == CURLE_FILESIZE_EXCEEDED) {
		snprintf(c->why, sizeof c->why, "the body is larger than %zu bytes", c->max);
	} else if (c->write_errno != 0) {
		snprintf(c->why, sizeof c->why, "writing the body: %s", strerror(c->write_errno));
	} else if (code != CURLE_OK && c->why[0] == '\0') {
		snprintf(c->why, sizeof c->why, "%s", curl_easy_strerror(code));
	} else if (code == CURLE_OK) {
		c->why[0] = '\0';
	}
}

static void
answer(struct fetch_call *c)
{
	struct fetch_answer a = {.end = c->end, .body = buf_span(&c->body), .bytes = c->bytes};
	const char *type = NULL, *url = NULL;
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &url);
	snprintf(c->etag, sizeof c->etag, "%s", header_of(c->easy, "ETag"));
	snprintf(c->modified, sizeof c->modified, "%s", header_of(c->easy, "Last-Modified"));
	a.status = (int)status;
	a.url = url ? url : "";
	a.type = type ? type : "";
	a.etag = c->etag;
	a.last_modified = c->modified;
	a.why = c->why;
	a.call = c;
	c->done(c->arg, &a);
}

static void
run_ended(void *arg)
{
	struct fetch *f = arg;
	struct fetch_call *c;
	struct list batch;

	/* Calls that end because of these callbacks wait for their own turn. */
	list_init(&batch);
	while ((c = LIST_FIRST(&f->ended, struct fetch_call, link)) != NULL) {
		list_remove(&c->link);
		list_push_back(&batch, &c->link);
	}
	f->in_callback = true;
	while ((c = LIST_FIRST(&batch, struct fetch_call, link)) != NULL) {
		list_remove(&c->link);
		answer(c);
		if (f->gone)
			break;
		call_free(c);
	}
	f->in_callback = false;
	if (!f->gone)
		return;
	/* The fetch went away in a callback: its calls end silently. */
	if (c != NULL)
		call_free(c);
	while ((c = LIST_FIRST(&batch, struct fetch_call, link)) != NULL)
		call_free(c);
	free(f);
}

static void
put_ended(struct fetch_call *c)
{
	list_remove(&c->link);
	if (list_empty(&c->f->ended))
		loop_later(c->f->loop, run_ended, c->f);
	list_push_back(&c->f->ended, &c->link);
}

static void
collect(struct fetch *f)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
		struct fetch_call *c = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		c->end = end_of(c, code);
		explain(c, code);
		/* `m` is gone after this. */
		curl_multi_remove_handle(f->multi, c->easy);
		c->running = false;
		put_ended(c);
	}
}

static void
on_fd(void *arg, short revents)
{
	struct watch *w = arg;
	struct fetch *f = w->f;
	curl_socket_t s = w->s; /* w may be gone after the action */
	int running;
	int what = 0;

	if (revents & ZMQ_POLLIN)
		what |= CURL_CSELECT_IN;
	if (revents & ZMQ_POLLOUT)
		what |= CURL_CSELECT_OUT;
	if (revents & ZMQ_POLLERR)
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(f->multi, s, what, &running);
	collect(f);
}

static void
on_timer(struct timer *t)
{
	struct fetch *f = LIST_ITEM(t, struct fetch, timer);
	int running;

	curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(f);
}

static int
want_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct fetch *f = arg;

	(void)multi;
	if (timeout_ms < 0) {
		loop_timer_clear(f->loop, &f->timer);
	} else {
		loop_timer(f->loop, &f->timer, loop_now(f->loop) + timeout_ms);
	}
	return 0;
}

static void
watch_end(struct watch *w)
{
	loop_fd_end(w->fd);
	list_remove(&w->link);
	free(w);
}

static int
want_socket(CURL *easy, curl_socket_t s, int what, void *arg, void *mine)
{
	struct fetch *f = arg;
	struct watch *w = mine;
	short events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			watch_end(w);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= ZMQ_POLLIN;
	if (what & CURL_POLL_OUT)
		events |= ZMQ_POLLOUT;
	if (w != NULL) {
		loop_fd_events(w->fd, events);
		return 0;
	}
	w = xcalloc(1, sizeof *w);
	w->f = f;
	w->s = s;
	w->fd = loop_fd(f->loop, s, events, on_fd, w);
	list_push_back(&f->watches, &w->link);
	curl_multi_assign(f->multi, s, w);
	return 0;
}

struct fetch *
fetch_new(struct loop *l)
{
	struct fetch *f = xcalloc(1, sizeof *f);

	list_init(&f->calls);
	list_init(&f->ended);
	list_init(&f->watches);
	f->loop = l;
	f->timer.fn = on_timer;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		die(EXIT_AGAIN, "libcurl cannot start");
	f->multi = curl_multi_init();
	if (f->multi == NULL)
		die(EXIT_AGAIN, "libcurl cannot start");
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	return f;
}

void
fetch_free(struct fetch *f)
{
	struct fetch_call *c;
	struct watch *w;

	if (f == NULL)
		return;
	LIST_EACH (c, &f->calls, struct fetch_call, link)
		call_free(c);
	LIST_EACH (c, &f->ended, struct fetch_call, link)
		call_free(c);
	curl_multi_cleanup(f->multi);
	LIST_EACH (w, &f->watches, struct watch, link)
		watch_end(w);
	loop_timer_clear(f->loop, &f->timer);
	loop_later_cancel(f->loop, f);
	curl_global_cleanup();
	f->gone = f->in_callback;
	if (!f->gone)
		free(f);
}

static bool
has_break(const char *s)
{
	return strpbrk(s, "\r\n") != NULL;
}

/* 0; -1 when memory is gone; a header that could smuggle a second one is noted in c->why. */
static int
set_headers(struct fetch_call *c, const struct fetch_spec *s)
{
	/* Without this libcurl waits a second for servers that do not know "100 Continue". */
	struct curl_slist *l = curl_slist_append(NULL, "Expect:");

	for (size_t i = 0; l != NULL && s->headers != NULL && s->headers[i] != NULL; i++) {
		struct curl_slist *more = curl_slist_append(l, s->headers[i]);

		if (has_break(s->headers[i]))
			snprintf(c->why, sizeof c->why, "a header holds a line break");
		if (more == NULL)
			curl_slist_free_all(l);
		l = more;
	}
	c->headers = l;
	if (l == NULL)
		return -1;
	return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, l) == CURLE_OK ? 0 : -1;
}

static int
set_method(struct fetch_call *c, const struct fetch_spec *s)
{
	const char *m = s->method ? s->method : "GET";
	bool get = strcmp(m, "GET") == 0;
	bool head = strcmp(m, "HEAD") == 0;
	CURLcode r = CURLE_OK;

	if (m[strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0' || m[0] == '\0')
		snprintf(c->why, sizeof c->why, "the method is not a name in capitals");
	if (head)
		return curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L) == CURLE_OK ? 0 : -1;
	if (!get || s->body.p != NULL) {
		r = curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->body.n);
		if (r == CURLE_OK) {
			r = curl_easy_setopt(c->easy, CURLOPT_COPYPOSTFIELDS,
			    s->body.p ? (const char *)s->body.p : "");
		}
	}
	if (r == CURLE_OK && strcmp(m, "POST") != 0 && !(get && s->body.p == NULL))
		r = curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, m);
	if (r == CURLE_OK && !get)
		r = curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 1L);
	return r == CURLE_OK ? 0 : -1;
}

static int
set_rules(struct fetch_call *c, const struct fetch_spec *s)
{
	CURL *e = c->easy;
	bool tls = strncasecmp(s->url, "https:", 6) == 0;
	CURLcode bad = CURLE_OK;

#define SET(opt, v)                                            \
	do {                                                   \
		if (bad == CURLE_OK)                           \
			bad = curl_easy_setopt(e, (opt), (v)); \
	} while (0)
	SET(CURLOPT_PRIVATE, c);
	SET(CURLOPT_ERRORBUFFER, c->why);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* Else the end of a call waits for a stuck name look-up, and the loop with it. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_URL, s->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
	SET(CURLOPT_FOLLOWLOCATION, s->redirects ? 1L : 0L);
	SET(CURLOPT_MAXREDIRS, (long)REDIRECTS);
	SET(CURLOPT_TIMEOUT_MS, (long)(s->timeout_ms > 0 ? s->timeout_ms : 1));
	SET(CURLOPT_USERAGENT, "taxiway/" TAXI_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, c);
	if (s->max_bytes > 0 && s->max_bytes < INT64_MAX)
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)s->max_bytes);
#undef SET
	return bad == CURLE_OK ? 0 : -1;
}

struct fetch_call *
fetch_start(struct fetch *f, const struct fetch_spec *s, fetch_done_fn *done, void *arg)
{
	struct fetch_call *c = xcalloc(1, sizeof *c);

	list_init(&c->link);
	c->f = f;
	c->done = done;
	c->arg = arg;
	c->fd = s->to_fd;
	c->max = s->max_bytes;
	buf_init(&c->body, s->max_bytes);
	c->easy = curl_easy_init();
	if (c->easy == NULL || set_rules(c, s) == -1 || set_method(c, s) == -1 ||
	    set_headers(c, s) == -1) {
		call_free(c);
		return NULL;
	}
	if (c->why[0] != '\0') {
		c->end = FETCH_BAD_URL;
		put_ended(c);
		return c;
	}
	if (curl_multi_add_handle(f->multi, c->easy) != CURLM_OK) {
		call_free(c);
		return NULL;
	}
	c->running = true;
	list_push_back(&f->calls, &c->link);
	return c;
}

void
fetch_cancel(struct fetch_call *c)
{
	call_free(c);
}

const char *
fetch_header(const struct fetch_answer *a, const char *name)
{
	return header_of(a->call->easy, name);
}
