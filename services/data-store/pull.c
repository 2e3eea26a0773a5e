#include "services/data-store/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/die.h"

enum { SLICE = 256 * 1024, VALIDATOR = 512 };

struct pull {
	struct loop *loop;
	struct fetch_call *call;
	pull_done_fn *done;
	void *arg;
	char *dir;
	bool html;
	int fd;
	char temp[PATH_MAX]; /* "" when there is none to remove */
	crypto_hash_sha256_state hash;
	uint8_t *slice;
	uint64_t bytes, hashed;
	char etag[VALIDATOR], modified[VALIDATOR];
	char sha256[OBJECTS_HEX + 1];
	char why[600];
	enum pull_end end;
};

static void
pull_free(struct pull *p)
{
	loop_later_cancel(p->loop, p);
	if (p->fd != -1)
		close(p->fd);
	if (p->temp[0] != '\0')
		unlink(p->temp);
	free(p->slice);
	free(p->dir);
	free(p);
}

static void
tell(void *arg)
{
	struct pull *p = arg;
	struct pull_answer a = {
	    p->end, p->end == PULL_STORED ? p->sha256 : "", p->bytes, p->etag, p->modified, p->why};

	p->done(p->arg, &a);
	pull_free(p);
}

static void
fail(struct pull *p, const char *what)
{
	p->end = PULL_LATER;
	snprintf(p->why, sizeof p->why, "%s: %s", what, strerror(errno));
	tell(p);
}

static void
store(struct pull *p)
{
	uint8_t digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(&p->hash, digest);
	sodium_bin2hex(p->sha256, sizeof p->sha256, digest, sizeof digest);
	if (objects_commit(p->dir, p->temp, p->fd, p->sha256) != 0) {
		fail(p, "keeping the file");
		return;
	}
	p->temp[0] = '\0';
	p->end = PULL_STORED;
	tell(p);
}

/* A slice a turn, so that a big file does not hold up the loop; and its pages go to the disk
 * meanwhile, so that the fsync at the end is short. */
static void
digest_more(void *arg)
{
	struct pull *p = arg;
	ssize_t n = pread(p->fd, p->slice, SLICE, (off_t)p->hashed);

	if (n == -1) {
		fail(p, "reading the file back");
		return;
	}
	if (n == 0 && p->hashed != p->bytes) {
		errno = EIO;
		fail(p, "reading the file back");
		return;
	}
	if (n == 0) {
		store(p);
		return;
	}
	crypto_hash_sha256_update(&p->hash, p->slice, (size_t)n);
	sync_file_range(p->fd, (off_t)p->hashed, n, SYNC_FILE_RANGE_WRITE);
	p->hashed += (uint64_t)n;
	loop_later(p->loop, digest_more, p);
}

enum pull_end
pull_judge(const struct fetch_answer *a, char *why, size_t size)
{
	if (a->end == FETCH_OK) {
		snprintf(why, size, "the server answered %d", a->status);
		return a->status == 304                                           ? PULL_SAME
		       : a->status >= 500 || a->status == 429 || a->status == 408 ? PULL_LATER
										  : PULL_REFUSED;
	}
	snprintf(why, size, "%s", a->why);
	return a->end == FETCH_TOO_BIG || a->end == FETCH_BAD_URL ? PULL_REFUSED : PULL_LATER;
}

/* Bytes that are no text could be neither kept nor sent back. */
static void
keep_validator(char dst[VALIDATOR], const char *s)
{
	const char *p = s;

	while (*p >= ' ' && *p <= '~')
		p++;
	snprintf(dst, VALIDATOR, "%s", *p == '\0' && p - s < VALIDATOR ? s : "");
}

static void
fetched(void *arg, const struct fetch_answer *a)
{
	struct pull *p = arg;

	p->call = NULL;
	p->bytes = a->bytes;
	keep_validator(p->etag, a->etag);
	keep_validator(p->modified, a->last_modified);
	if (a->end != FETCH_OK || a->status != 200) {
		p->end = pull_judge(a, p->why, sizeof p->why);
		tell(p);
	} else if (!p->html && strncasecmp(a->type, "text/html", 9) == 0) {
		p->end = PULL_REFUSED;
		snprintf(p->why, sizeof p->why,
		    "the server answered a page of HTML instead of the file");
		tell(p);
	} else {
		loop_later(p->loop, digest_more, p);
	}
}

static void
ask(struct pull *p, struct fetch *f, const struct pull_spec *s)
{
	char match[VALIDATOR + 32], since[VALIDATOR + 32];
	const char *headers[3] = {NULL};
	size_t n = 0;

	/* RFC 9110: who sends both is understood by the tag alone. */
	if (s->etag[0] != '\0') {
		snprintf(match, sizeof match, "If-None-Match: %s", s->etag);
		headers[n++] = match;
	}
	if (s->last_modified[0] != '\0') {
		snprintf(since, sizeof since, "If-Modified-Since: %s", s->last_modified);
		headers[n] = since;
	}
	struct fetch_spec get = {.url = s->url,
	    .headers = headers,
	    .timeout_ms = s->timeout_ms,
	    .max_bytes = (size_t)s->max_bytes,
	    .to_fd = p->fd,
	    .redirects = true};

	p->call = fetch_start(f, &get, fetched, p);
	if (p->call == NULL) {
		p->end = PULL_LATER;
		snprintf(p->why, sizeof p->why, "out of memory");
		loop_later(p->loop, tell, p);
	}
}

struct pull *
pull_start(
    struct fetch *f, struct loop *l, const struct pull_spec *s, pull_done_fn *done, void *arg)
{
	struct pull *p = xcalloc(1, sizeof *p);

	p->loop = l;
	p->done = done;
	p->arg = arg;
	p->html = s->html;
	p->dir = xstrdup(s->dir);
	p->slice = xcalloc(1, SLICE);
	crypto_hash_sha256_init(&p->hash);
	p->fd = objects_temp(s->dir, p->temp, sizeof p->temp);
	if (p->fd == -1) {
		p->temp[0] = '\0';
		p->end = PULL_LATER;
		snprintf(p->why, sizeof p->why, "the object store cannot be written");
		loop_later(l, tell, p);
		return p;
	}
	ask(p, f, s);
	return p;
}

void
pull_cancel(struct pull *p)
{
	if (p == NULL)
		return;
	if (p->call != NULL)
		fetch_cancel(p->call);
	pull_free(p);
}
