#include "cli/map.h"

#include "proto/limits.h"
#include "proto/mp.h"

enum { HEADER = 3 }; /* map 16 */

void
map_init(struct map *m)
{
	m->n = 0;
	buf_init(&m->b, LIMIT_FRAME);
	buf_put(&m->b, "\xde\0\0", HEADER);
}

void
map_fini(struct map *m)
{
	buf_fini(&m->b);
}

static void
put_key(struct map *m, const char *key)
{
	mp_put_cstr(&m->b, key);
	m->n++;
}

void
map_str(struct map *m, const char *key, const char *v)
{
	put_key(m, key);
	mp_put_cstr(&m->b, v);
}

void
map_i64(struct map *m, const char *key, int64_t v)
{
	put_key(m, key);
	mp_put_i64(&m->b, v);
}

void
map_given(struct map *m, const char *key, int64_t v)
{
	if (v >= 0)
		map_i64(m, key, v);
}

void
map_bool(struct map *m, const char *key, bool v)
{
	put_key(m, key);
	mp_put_bool(&m->b, v);
}

void
map_bin(struct map *m, const char *key, struct span v)
{
	put_key(m, key);
	mp_put_bin(&m->b, v);
}

void
map_raw(struct map *m, const char *key, struct span v)
{
	put_key(m, key);
	buf_put(&m->b, v.p, v.n);
}

struct span
map_span(struct map *m)
{
	if (!m->b.failed) {
		m->b.p[1] = (uint8_t)(m->n >> 8);
		m->b.p[2] = (uint8_t)m->n;
	}
	return buf_span(&m->b);
}
