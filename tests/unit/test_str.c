#include "tests/unit/check.h"

#include <stdlib.h>

#include "base/str.h"

#define S(lit) span_of("" lit "", sizeof(lit) - 1)

static bool
i64_is(const char *text, int64_t want)
{
	int64_t v = ~want;

	return str_i64(span_str(text), INT64_MIN, INT64_MAX, &v) == 0 && v == want;
}

static bool
i64_refused(const char *text, int64_t min, int64_t max)
{
	int64_t v = 4242;

	return str_i64(span_str(text), min, max, &v) == -1 && v == 4242;
}

static void
test_i64(void)
{
	CHECK(i64_is("0", 0));
	CHECK(i64_is("-0", 0));
	CHECK(i64_is("007", 7));
	CHECK(i64_is("9223372036854775807", INT64_MAX));
	CHECK(i64_is("-9223372036854775808", INT64_MIN));
	CHECK(i64_is("-9223372036854775807", INT64_MIN + 1));
	CHECK(i64_refused("9223372036854775808", INT64_MIN, INT64_MAX));
	CHECK(i64_refused("-9223372036854775809", INT64_MIN, INT64_MAX));
	CHECK(i64_refused("99999999999999999999999", INT64_MIN, INT64_MAX));
	CHECK(i64_refused("5", 6, 10));
	CHECK(i64_refused("11", 6, 10));
	static const char *const bad[] = {
	    "", "-", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "--1", "a"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_at(i64_refused(bad[i], INT64_MIN, INT64_MAX), bad[i], __FILE__, __LINE__);
}

static void
test_u64(void)
{
	uint64_t v = 1;

	CHECK(str_u64(S("18446744073709551615"), UINT64_MAX, &v) == 0 && v == UINT64_MAX);
	CHECK(str_u64(S("18446744073709551616"), UINT64_MAX, &v) == -1 && v == UINT64_MAX);
	CHECK(str_u64(S("18446744073709551620"), UINT64_MAX, &v) == -1);
	CHECK(str_u64(S("10"), 9, &v) == -1);
	CHECK(str_u64(S("-1"), UINT64_MAX, &v) == -1);
	CHECK(str_u64(S("1\0"), UINT64_MAX, &v) == -1);
	CHECK(str_u64((struct span){NULL, 0}, UINT64_MAX, &v) == -1);
}

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static bool
exact_is_double(const char *text)
{
	size_t n = strlen(text);
	char *p = malloc(n ? n : 1);
	double v;
	bool is;

	memcpy(p, text, n);
	is = str_double(span_of(p, n), &v) == 0;
	free(p);
	return is;
}

static void
test_double(void)
{
	static const char *const bad[] = {"", ".", "-", "e5", "1e", "1e+", "0x1p3", "inf", "nan",
	    " 1", "1 ", "1.2.3", "1e400", "-1e400", "1_0", "1,5", "++1"};
	char longest[600];
	double v = 7;

	CHECK(str_double(S("1.5"), &v) == 0 && v == 1.5);
	CHECK(str_double(S("-.5e1"), &v) == 0 && v == -5);
	CHECK(str_double(S("+3."), &v) == 0 && v == 3);
	CHECK(str_double(S("5e-324"), &v) == 0 && v == 0x1p-1074);
	CHECK(str_double(S("1.7976931348623157e308"), &v) == 0 && v == 0x1.fffffffffffffp1023);
	CHECK(str_double(S("0"), &v) == 0 && v == 0);
	CHECK(exact_is_double("1") && exact_is_double("1.") && exact_is_double("1.5e7"));
	CHECK(!exact_is_double("1e") && !exact_is_double("-") && !exact_is_double("1e-") &&
	      !exact_is_double("."));
	v = 7;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		check_at(
		    str_double(span_str(bad[i]), &v) == -1 && v == 7, bad[i], __FILE__, __LINE__);
	}
	CHECK(str_double(S("1\0002"), &v) == -1);
	memset(longest, '0', sizeof longest);
	longest[510] = '3';
	CHECK(str_double(span_of(longest, 511), &v) == 0 && v == 3);
	CHECK(str_double(span_of(longest, 512), &v) == -1);
}

static void
test_utf8(void)
{
	CHECK(str_is_utf8((struct span){NULL, 0}));
	CHECK(str_is_utf8(S("plain ascii that is longer than a word")));
	CHECK(str_is_utf8(S("a\0b")));
	CHECK(str_is_utf8(
	    S("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf")));
	CHECK(str_is_utf8(S("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf")));
	CHECK(!str_is_utf8(S("12345678\x80")));
	CHECK(!str_is_utf8(S("\xbf")));
	CHECK(!str_is_utf8(S("\xc0\x80")));         /* overlong NUL */
	CHECK(!str_is_utf8(S("\xc1\xbf")));         /* overlong */
	CHECK(!str_is_utf8(S("\xe0\x9f\xbf")));     /* overlong */
	CHECK(!str_is_utf8(S("\xf0\x8f\xbf\xbf"))); /* overlong */
	CHECK(!str_is_utf8(S("\xed\xa0\x80")));     /* surrogate */
	CHECK(!str_is_utf8(S("\xed\xbf\xbf")));     /* surrogate */
	CHECK(!str_is_utf8(S("\xf4\x90\x80\x80"))); /* past U+10FFFF */
	CHECK(!str_is_utf8(S("\xf5\x80\x80\x80")));
	CHECK(!str_is_utf8(S("\xff")));
	CHECK(!str_is_utf8(S("abc\xe2\x82"))); /* cut short */
	CHECK(!str_is_utf8(S("abc\xe2\x82X")));
	CHECK(!str_is_utf8(S("\xf0\x9f\x92")));
	CHECK(!str_is_utf8(S("\xc3")));
	CHECK(str_utf8_len(S("\xe2\x82\xacx")) == 3);
	CHECK(str_utf8_len(S("\xe2\x82")) == 0);
	CHECK(str_utf8_len(S("")) == 0);
}

/* Every code point, encoded here by the book, is taken; the two bytes before the end are not
 * enough. */
static void
test_utf8_all(void)
{
	unsigned bad = 0;

	for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
		uint8_t b[4];
		size_t n = 0;

		if (c < 0x800) {
			b[n++] = (uint8_t)(0xc0 | c >> 6);
		} else {
			if (c < 0x10000) {
				b[n++] = (uint8_t)(0xe0 | c >> 12);
			} else {
				b[n++] = (uint8_t)(0xf0 | c >> 18);
				b[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
			}
			b[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
		}
		b[n++] = (uint8_t)(0x80 | (c & 63));
		bad += str_is_utf8(span_of(b, n)) != (c < 0xd800 || c > 0xdfff);
		bad += str_is_utf8(span_of(b, n - 1));
	}
	CHECK(bad == 0);
}

static void
test_names(void)
{
	char dst[4];

	CHECK(str_is_name(S("aZ0_-"), 5));
	CHECK(str_is_name(S("azAZ09"), 6));
	CHECK(str_is_camel(S("zAzZ09")));
	CHECK(!str_is_name(S("a@"), 5) && !str_is_name(S("a["), 5) && !str_is_name(S("a`"), 5));
	CHECK(!str_is_name(S("a{"), 5) && !str_is_name(S("a/"), 5) && !str_is_name(S("a:"), 5));
	CHECK(!str_is_name(S("aZ0_-x"), 5));
	CHECK(!str_is_name(S(""), 5));
	CHECK(!str_is_name(S("a.b"), 5));
	CHECK(!str_is_name(S("a\0"), 5));
	CHECK(!str_is_name(S("\xc3\xa9"), 5));
	CHECK(str_is_camel(S("a")));
	CHECK(str_is_camel(S("camelCase9")));
	CHECK(!str_is_camel(S("Camel")));
	CHECK(!str_is_camel(S("9a")));
	CHECK(!str_is_camel(S("a_b")));
	CHECK(!str_is_camel(S("")));
	CHECK(str_copy(dst, sizeof dst, S("abc")));
	CHECK_STR(dst, "abc");
	CHECK(!str_copy(dst, sizeof dst, S("wxyz")));
	CHECK_STR(dst, "wxy");
	CHECK(str_copy(dst, sizeof dst, (struct span){NULL, 0}));
	CHECK_STR(dst, "");
	CHECK(!str_copy(dst, 0, S("")));
}

int
main(void)
{
	test_i64();
	test_u64();
	test_double();
	test_utf8();
	test_utf8_all();
	test_names();
	return check_done();
}
