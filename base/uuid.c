#include "base/uuid.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/die.h"

static void
stamp(uint8_t id[16], unsigned version)
{
	id[6] = (uint8_t)((id[6] & 0x0fu) | version << 4);
	id[8] = (uint8_t)((id[8] & 0x3fu) | 0x80u);
}

/* Fetched for many ids at once: the call costs as much as all else about a message.  A child of
 * fork must not go on with what its parent has. */
static atomic_uint forks;

static void
on_fork(void)
{
	atomic_fetch_add(&forks, 1);
}

static void
watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, on_fork) != 0)
		die(EXIT_AGAIN, "pthread_atfork: out of memory");
}

static void
fetch(uint8_t *p, size_t n)
{
	ssize_t got;

	/* Up to 256 bytes are given whole or not at all. */
	do {
		got = getrandom(p, n, 0);
	} while (got == -1 && errno == EINTR);
	if (got != (ssize_t)n)
		die(EXIT_AGAIN, "getrandom: %s", strerror(errno));
}

static void
random_bytes(uint8_t out[10])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static _Thread_local uint8_t ahead[250];
	static _Thread_local size_t left;
	static _Thread_local unsigned seen;
	unsigned now;

	(void)pthread_once(&once, watch_forks);
	now = atomic_load_explicit(&forks, memory_order_relaxed);
	if (left == 0 || seen != now) {
		fetch(ahead, sizeof ahead);
		left = sizeof ahead;
		seen = now;
	}
	left -= 10;
	memcpy(out, ahead + left, 10);
}

void
uuid_v7(uint8_t id[16], int64_t unix_ms)
{
	uint64_t ms = unix_ms < 0 ? 0 : (uint64_t)unix_ms;

	random_bytes(id + 6);
	for (int i = 0; i < 6; i++)
		id[i] = (uint8_t)(ms >> (40 - 8 * i));
	stamp(id, 7);
}

void
uuid_v8(uint8_t id[16], const uint8_t digest[16])
{
	memmove(id, digest, 16);
	stamp(id, 8);
}

static bool
is_dash_place(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

char *
uuid_text(const uint8_t id[16], char out[UUID_TEXT + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	for (size_t i = 0; i < 16; i++) {
		if (is_dash_place((size_t)(p - out)))
			*p++ = '-';
		*p++ = hex[id[i] >> 4];
		*p++ = hex[id[i] & 15];
	}
	*p = 0;
	return out;
}

static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
uuid_parse(struct span text, uint8_t id[16])
{
	uint8_t out[16] = {0};
	unsigned n = 0;

	if (text.n != UUID_TEXT)
		return -1;
	for (size_t i = 0; i < UUID_TEXT; i++) {
		int v = hex_value(text.p[i]);

		if (is_dash_place(i)) {
			if (text.p[i] != '-')
				return -1;
			continue;
		}
		if (v < 0)
			return -1;
		out[n / 2] = (uint8_t)(out[n / 2] << 4 | v);
		n++;
	}
	memcpy(id, out, 16);
	return 0;
}
