#include "edge-http/gunzip.h"

#include <limits.h>

enum { GZIP_ONLY = MAX_WBITS + 16 };

int
gunzip_init(struct gunzip *g)
{
	*g = (struct gunzip){.between = true};
	if (inflateInit2(&g->z, GZIP_ONLY) != Z_OK)
		return -1;
	g->open = true;
	return 0;
}

void
gunzip_fini(struct gunzip *g)
{
	if (g->open)
		inflateEnd(&g->z);
	g->open = false;
}

static uInt
capped(size_t n)
{
	return n > INT_MAX ? INT_MAX : (uInt)n;
}

enum gunzip_say
gunzip_feed(struct gunzip *g, struct span *in, uint8_t *to, size_t room, size_t *n)
{
	uint8_t none = 0;
	int rc;

	*n = 0;
	for (;;) {
		uInt had = capped(in->n), free_before = capped(room - *n);

		if (g->between && had == 0)
			return GUNZIP_MORE;
		/* zlib wants an address even for no input; it does not write to it */
		g->z.next_in = had ? (Bytef *)(uintptr_t)in->p : &none;
		g->z.avail_in = had;
		g->z.next_out = to + *n;
		g->z.avail_out = free_before;
		g->between = false;
		rc = inflate(&g->z, Z_NO_FLUSH);
		if (had)
			*in = span_of(in->p + (had - g->z.avail_in), in->n - (had - g->z.avail_in));
		*n += free_before - g->z.avail_out;
		g->in += had - g->z.avail_in;
		g->out += free_before - g->z.avail_out;
		if (rc == Z_STREAM_END) {
			g->between = true;
			if (inflateReset(&g->z) != Z_OK)
				return GUNZIP_BAD;
			continue;
		}
		if (rc != Z_OK && rc != Z_BUF_ERROR)
			return GUNZIP_BAD;
		if (*n == room)
			return GUNZIP_ROOM;
		if (in->n == 0)
			return GUNZIP_MORE;
		if (rc == Z_BUF_ERROR)
			return GUNZIP_BAD;
	}
}

bool
gunzip_is_whole(const struct gunzip *g)
{
	return g->between && g->in > 0;
}
