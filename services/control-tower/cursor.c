#include "services/control-tower/cursor.h"

enum { RAW = 8 + 16 };

/* The first letter is the format's: what an older process handed out is refused, not misread. */
#define FORMAT 'a'

char *
cursor_text(const struct cursor *c, char out[CURSOR_TEXT])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[RAW];
	char *to = out;

	for (unsigned i = 0; i < 8; i++)
		raw[i] = (uint8_t)((uint64_t)c->at_us >> (56 - 8 * i));
	memcpy(raw + 8, c->uuid, 16);
	*to++ = FORMAT;
	for (unsigned i = 0; i < RAW; i++) {
		*to++ = hex[raw[i] >> 4];
		*to++ = hex[raw[i] & 15];
	}
	*to = '\0';
	return out;
}

static int
nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
cursor_parse(struct span text, struct cursor *c)
{
	uint8_t raw[RAW];
	uint64_t at = 0;

	if (text.n != CURSOR_TEXT - 1 || text.p[0] != FORMAT)
		return -1;
	for (unsigned i = 0; i < RAW; i++) {
		int hi = nibble(text.p[1 + 2 * i]), lo = nibble(text.p[2 + 2 * i]);

		if (hi < 0 || lo < 0)
			return -1;
		raw[i] = (uint8_t)(hi << 4 | lo);
	}
	for (unsigned i = 0; i < 8; i++)
		at = at << 8 | raw[i];
	c->at_us = (int64_t)at;
	memcpy(c->uuid, raw + 8, 16);
	return 0;
}
