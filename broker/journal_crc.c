#include "broker/journal_crc.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLY 0x82F63B78u /* reflected */

static uint32_t tab[8][256];
static bool in_hardware;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
/* CRC-32C is an instruction since SSE 4.2. */
__attribute__((target("sse4.2"))) static uint32_t
by_hardware(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = ~crc, word;

	for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; n > 0; n--, p++)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p);
	return ~(uint32_t)c;
}

static bool
has_hardware(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}
#else
static uint32_t
by_hardware(uint32_t crc, const uint8_t *p, size_t n)
{
	(void)p, (void)n;
	return crc;
}

static bool
has_hardware(void)
{
	return false;
}
#endif

static void
fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = (c >> 1) ^ ((c & 1) != 0 ? POLY : 0);
		tab[0][i] = c;
	}
	in_hardware = has_hardware();
	for (unsigned t = 1; t < 8; t++) {
		for (unsigned i = 0; i < 256; i++)
			tab[t][i] = (tab[t - 1][i] >> 8) ^ tab[0][tab[t - 1][i] & 0xff];
	}
}

void
journal_crc_init(void)
{
	(void)pthread_once(&once, fill);
}

static uint32_t
le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t
by_table(uint32_t crc, const uint8_t *p, size_t n)
{
	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint32_t a = crc ^ le32(p), b = le32(p + 4);

		crc = tab[7][a & 0xff] ^ tab[6][(a >> 8) & 0xff] ^ tab[5][(a >> 16) & 0xff] ^
		      tab[4][a >> 24] ^ tab[3][b & 0xff] ^ tab[2][(b >> 8) & 0xff] ^
		      tab[1][(b >> 16) & 0xff] ^ tab[0][b >> 24];
	}
	for (; n > 0; n--, p++)
		crc = (crc >> 8) ^ tab[0][(crc ^ *p) & 0xff];
	return ~crc;
}

uint32_t
journal_crc(uint32_t crc, const void *bytes, size_t n)
{
	return in_hardware ? by_hardware(crc, bytes, n) : by_table(crc, bytes, n);
}

static uint8_t *
put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

uint32_t
journal_crc_num(uint32_t crc, uint64_t v)
{
	uint8_t h[8];

	put64(h, v);
	return journal_crc(crc, h, sizeof h);
}

uint32_t
journal_crc_span(uint32_t crc, struct span s)
{
	crc = journal_crc_num(crc, s.p == NULL ? UINT64_MAX : s.n);
	return journal_crc(crc, s.p, s.n);
}

uint32_t
journal_crc_row(const struct journal_row *r)
{
	uint8_t h[6 * 8 + sizeof r->id], *p = h;
	uint32_t c;

	p = put64(p, r->seq);
	p = put64(p, (uint64_t)r->at_ms);
	p = put64(p, (uint64_t)r->exp_ms);
	p = put64(p, r->topic.n);
	p = put64(p, r->key.p == NULL ? UINT64_MAX : r->key.n);
	p = put64(p, r->frame.n);
	memcpy(p, r->id, sizeof r->id);
	c = journal_crc(0, h, sizeof h);
	c = journal_crc(c, r->topic.p, r->topic.n);
	c = journal_crc(c, r->key.p, r->key.n);
	c = journal_crc(c, r->frame.p, r->frame.n);
	/* Without them as it was before there were any. */
	if (r->from.p != NULL || r->only.p != NULL) {
		c = journal_crc_span(c, r->from);
		c = journal_crc_span(c, r->only);
	}
	return c;
}

uint32_t
journal_crc_cursor(struct span src, struct span owner, struct span cur)
{
	return journal_crc_span(journal_crc_span(journal_crc_span(0, src), owner), cur);
}

uint32_t
journal_crc_dead(const struct journal_dead *d)
{
	uint32_t c = journal_crc_num(0, d->no);

	c = journal_crc_num(c, d->seq);
	c = journal_crc_num(c, (uint64_t)d->at_ms);
	c = journal_crc_num(c, d->tries);
	c = journal_crc_span(c, span_of(d->id, sizeof d->id));
	c = journal_crc_span(c, d->group);
	c = journal_crc_span(c, d->topic);
	c = journal_crc_span(c, d->key);
	c = journal_crc_span(c, d->reason);
	c = journal_crc_span(c, d->from);
	return journal_crc_span(c, d->frame);
}
