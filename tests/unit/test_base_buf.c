#include "tests/unit/check.h"

#include <stdlib.h>

#include "base/buf.h"

static void
test_limit(void)
{
	struct buf b;

	buf_init(&b, 8);
	buf_put(&b, "1234", 4);
	buf_puts(&b, "5678");
	CHECK(!b.failed && b.n == 8);
	CHECK_STR(buf_cstr(&b), "12345678");
	CHECK(!b.failed && b.n == 8);
	buf_putc(&b, '9');
	CHECK(b.failed && b.n == 8);
	CHECK_STR(buf_cstr(&b), "");
	CHECK(buf_room(&b, 0) == NULL);
	buf_reset(&b);
	CHECK(!b.failed && b.n == 0 && b.cap >= 8);
	buf_putc(&b, 'x');
	CHECK_STR(buf_cstr(&b), "x");
	buf_put(&b, NULL, 0);
	CHECK(!b.failed && b.n == 1);
	CHECK(buf_room(&b, SIZE_MAX) == NULL);
	CHECK(b.failed);
	buf_fini(&b);
	buf_fini(&b);
	CHECK(b.p == NULL && b.n == 0 && b.max == 8);
	buf_puts(&b, "12345678");
	CHECK(!b.failed);
	buf_fini(&b);
}

static void
test_sticky(void)
{
	struct buf b;

	buf_init(&b, 4);
	buf_puts(&b, "12345");
	CHECK(b.failed && b.n == 0);
	/* would fit, but what was written is already not what was meant */
	buf_puts(&b, "1");
	buf_printf(&b, "%d", 1);
	CHECK(b.n == 0);
	buf_fini(&b);
	buf_init(&b, 0);
	CHECK_STR(buf_cstr(&b), "");
	CHECK(!b.failed);
	buf_putc(&b, 'x');
	CHECK(b.failed);
	buf_fini(&b);
}

static void
test_printf(void)
{
	struct buf b;

	buf_init(&b, 10);
	buf_printf(&b, "%s=%d", "ab", 1234);
	CHECK_STR(buf_cstr(&b), "ab=1234");
	buf_printf(&b, "%s", "xyz");
	CHECK(!b.failed && b.n == 10);
	CHECK_STR(buf_cstr(&b), "ab=1234xyz");
	buf_printf(&b, "%s", "");
	CHECK(!b.failed);
	buf_printf(&b, "%d", 1);
	CHECK(b.failed && b.n == 10);
	buf_fini(&b);
	buf_init(&b, 4);
	buf_printf(&b, "%d", 1234);
	CHECK(!b.failed && b.n == 4);
	buf_fini(&b);
}

static void
test_take(void)
{
	struct buf b;
	uint8_t *p;
	size_t n;

	buf_init(&b, 100);
	buf_puts(&b, "mine");
	buf_take(&b, &p, &n);
	CHECK(n == 4 && memcmp(p, "mine", 4) == 0);
	CHECK(b.p == NULL && b.n == 0 && b.max == 100);
	CHECK(buf_span(&b).p != NULL && buf_span(&b).n == 0);
	free(p);
	buf_take(&b, &p, &n);
	CHECK(p == NULL && n == 0);
	buf_puts(&b, "some");
	b.failed = true;
	buf_take(&b, &p, &n);
	CHECK(p == NULL && n == 0 && !b.failed);
}

static void
test_growth(void)
{
	struct buf b;
	size_t bad = 0;
	uint8_t *room;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < 1 << 20; i++)
		buf_putc(&b, (char)(i * 7));
	CHECK(!b.failed && b.n == 1 << 20);
	for (size_t i = 0; i < b.n; i++)
		bad += b.p[i] != (uint8_t)(i * 7);
	CHECK(bad == 0);
	CHECK(b.cap == b.max);
	buf_putc(&b, 0);
	CHECK(b.failed);
	buf_reset(&b);
	room = buf_room(&b, 100);
	CHECK(room != NULL && b.n == 0);
	memset(room, 'r', 100);
	b.n += 100;
	CHECK(b.p[99] == 'r');
	buf_fini(&b);
}

/* Memory that is not there is a failure like any other. */
static void
test_no_memory(void)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	buf_puts(&b, "12345678");
#ifndef __SANITIZE_ADDRESS__
	CHECK(buf_room(&b, SIZE_MAX - 8) == NULL && b.failed && b.n == 8);
	buf_reset(&b);
	buf_puts(&b, "again");
#endif
	CHECK(!b.failed && b.p != NULL);
	buf_fini(&b);
}

int
main(void)
{
	test_limit();
	test_sticky();
	test_printf();
	test_take();
	test_growth();
	test_no_memory();
	return check_done();
}
