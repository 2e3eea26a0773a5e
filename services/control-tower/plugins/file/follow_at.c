#include "services/control-tower/plugins/file/follow_at.h"

#include <string.h>
#include <unistd.h>

#include "proto/digest.h"
#include "proto/mp.h"

#define TAIL_BYTES 256u

void
follow_at_put(const struct follow_at *at, struct buf *out)
{
	mp_put_array(out, 7);
	mp_put_cstr(out, "ndjson");
	mp_put_u64(out, at->gen);
	mp_put_u64(out, at->offset);
	mp_put_u64(out, at->line);
	mp_put_u64(out, at->bad);
	mp_put_bool(out, at->closed);
	mp_put_bin(out, span_of(at->tail, FOLLOW_TAIL));
}

int
follow_at_read(struct follow_at *at, struct span cursor)
{
	struct mp_r r;
	struct span tail;

	if (cursor.n == 0 || mp_scan(cursor, 2, 16) != cursor.n)
		return -1;
	mp_r_init(&r, cursor);
	if (mp_array(&r) != 7 || !span_is(mp_str(&r, 8), "ndjson"))
		return -1;
	at->gen = mp_u64(&r, INT64_MAX);
	at->offset = mp_u64(&r, INT64_MAX);
	at->line = mp_u64(&r, INT64_MAX);
	at->bad = mp_u64(&r, INT64_MAX);
	at->closed = mp_bool(&r);
	tail = mp_bin(&r, FOLLOW_TAIL);
	if (!mp_done(&r) || tail.n != FOLLOW_TAIL)
		return -1;
	memcpy(at->tail, tail.p, FOLLOW_TAIL);
	return 0;
}

int
follow_at_tail(int fd, uint64_t offset, uint8_t tail[FOLLOW_TAIL])
{
	size_t n = offset < TAIL_BYTES ? (size_t)offset : TAIL_BYTES;
	uint8_t bytes[TAIL_BYTES], digest[DIGEST_BYTES];
	struct span part = span_of(bytes, n);

	if (pread(fd, bytes, n, (off_t)(offset - n)) != (ssize_t)n)
		return -1;
	digest_parts(digest, &part, 1);
	memcpy(tail, digest, FOLLOW_TAIL);
	return 0;
}
