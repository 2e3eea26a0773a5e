#include "services/data-gateway/plugins/csv-file/reader.h"

#include <errno.h>
#include <unistd.h>

#include "services/data-gateway/plugins/csv-file/csv.h"

#define CHUNK (1024u * 1024)
#define RECORD_MAX (256u * 1024 * 1024)

void
reader_init(struct reader *r, int fd)
{
	*r = (struct reader){.fd = fd};
	buf_init(&r->buf, RECORD_MAX);
}

void
reader_fini(struct reader *r)
{
	buf_fini(&r->buf);
}

/* What is not handed out to the front, a chunk more behind it.  False: nothing more to read. */
static bool
more(struct reader *r)
{
	size_t left = r->buf.n - r->used, want = left > CHUNK ? left : CHUNK;
	uint8_t *to;
	ssize_t n;

	if (r->used > 0)
		memmove(r->buf.p, r->buf.p + r->used, left);
	r->used = 0;
	r->buf.n = left;
	to = buf_room(&r->buf, want);
	if (to == NULL) {
		errno = EFBIG;
		r->failed = true;
		return false;
	}
	do {
		n = pread(r->fd, to, want, r->next);
	} while (n == -1 && errno == EINTR);
	r->failed = n == -1;
	if (n <= 0)
		return false;
	r->buf.n += (size_t)n;
	r->next += n;
	return true;
}

struct span
reader_next(struct reader *r)
{
	struct span record;

	do {
		record = csv_record(span_of(r->buf.p + r->used, r->buf.n - r->used));
	} while (record.p == NULL && more(r));
	r->used += record.n;
	r->good += (off_t)record.n;
	return record;
}
