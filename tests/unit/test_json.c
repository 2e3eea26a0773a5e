#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>

#include "base/str.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

#define B(lit) span_of("" lit "", sizeof(lit) - 1)

static struct buf out, back;
static struct json_error err;

static bool
reads(struct span text, struct span want)
{
	buf_reset(&out);
	return json_to_mp(text, &out, &err) == 0 && span_eq(buf_span(&out), want);
}

/* Text -> msgpack -> text gives `want`. */
static bool
turns(const char *text, const char *want)
{
	buf_reset(&out);
	buf_reset(&back);
	return json_to_mp(span_str(text), &out, &err) == 0 &&
	       json_from_mp(buf_span(&out), &back, 0) == 0 && span_is(buf_span(&back), want);
}

static bool
stays(const char *text)
{
	return turns(text, text);
}

static bool
refused(const char *cstr, int line, int column, const char *part)
{
	/* no byte behind it, so that a sanitizer sees a read past the end */
	size_t n = strlen(cstr);
	char *exact = malloc(n ? n : 1);
	struct span text = span_of(exact, n);
	bool good;

	memcpy(exact, cstr, n);

	buf_reset(&out);
	buf_puts(&out, "kept");
	memset(&err, 0xee, sizeof err);
	good = json_to_mp(text, &out, &err) == -1 && span_is(buf_span(&out), "kept") &&
	       strstr(err.text, part) != NULL && err.line == line && err.column == column;
	if (!good)
		printf("# %d:%d %s\n", err.line, err.column, err.text);
	good = good && json_to_mp(text, &out, NULL) == -1;
	free(exact);
	return good;
}

static void
test_reading(void)
{
	CHECK(reads(B("null"), B("\xc0")) && reads(B(" true\n"), B("\xc3")) &&
	      reads(B("false"), B("\xc2")));
	CHECK(reads(B("[1,-1,\"x\",{}]"), B("\x94\x01\xff\xa1x\x80")));
	CHECK(reads(B("{\"b\":1,\"a\":{\"c\":[]}}"), B("\x82\xa1"
						       "b\x01\xa1"
						       "a\x81\xa1"
						       "c\x90")));
	CHECK(reads(B("\"a\\u0000b\""), B("\xa3"
					  "a\0b")));
	CHECK(reads(B("\"\\ud834\\udd1e\\n\\/\""), B("\xa6\xf0\x9d\x84\x9e\n/")));
	CHECK(reads(B("1.0"), B("\xcb\x3f\xf0\0\0\0\0\0\0")) && reads(B("1"), B("\x01")));
	CHECK(reads(B("1e0"), B("\xcb\x3f\xf0\0\0\0\0\0\0")));
}

static void
test_integers(void)
{
	CHECK(stays("0") && stays("-1") && stays("9223372036854775807") &&
	      stays("-9223372036854775808"));
	CHECK(stays("9223372036854775808") && stays("18446744073709551615") &&
	      stays("10000000000000000000"));
	CHECK(turns("-0", "0"));
	/* such integers between reals, in strings, as keys, and beside their own stand-ins */
	CHECK(stays("[1.0,18446744073709551615,1.5,9223372036854775808,2.5]"));
	CHECK(stays("{\"18446744073709551615\":[\"18446744073709551615\",18446744073709551615]}"));
	CHECK(stays("[\"\\\"\",18446744073709551615,\"\\\\\",18446744073709551614,\"\\\\\\\"1\"]"));
	CHECK(turns("[1.000000000000000000,18446744073709551615,1.000000000000000000]",
	    "[1.0,18446744073709551615,1.0]"));
	CHECK(turns("{\"a\":18446744073709551615 ,\"b\": 1e1\n,\"c\":18446744073709551613}",
	    "{\"a\":18446744073709551615,\"b\":10.0,\"c\":18446744073709551613}"));
	CHECK(turns("[\n18446744073709551615,\n\n[\n18446744073709551614\n]\n]",
	    "[18446744073709551615,[18446744073709551614]]"));
	CHECK(turns("12345678901234567890e0", "1.2345678901234567e19"));
	CHECK(
	    refused("18446744073709551616", 1, 1, "integer 18446744073709551616 is out of range"));
	CHECK(refused("-9223372036854775809", 1, 1, "out of range"));
	CHECK(refused("[1,\n  {\"\xc3\xa9\": 99999999999999999999999}]", 2, 9, "out of range"));
	CHECK(refused("[18446744073709551615,018446744073709551615]", 1, 23, ""));
	/* the place of a later mistake is still that of the text as it came */
	CHECK(refused("[18446744073709551615, oops]", 1, 27, "oops"));
}

static void
test_many_big(void)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	buf_putc(&text, '[');
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "%s%s", i ? "," : "", i % 3 ? "18446744073709551615" : "0.5");
	buf_putc(&text, ']');
	CHECK(stays(buf_cstr(&text)));
	buf_fini(&text);
}

static void
test_refusals(void)
{
	CHECK(refused("", 1, 1, "") && refused("[1,]", 1, 4, "") && refused("[1 2]", 1, 4, ""));
	CHECK(refused("{\"a\":1,\"a\":2}", 1, 10, "duplicate"));
	CHECK(refused("1 2", 1, 3, "end of file expected"));
	CHECK(refused("[1,\n2,\nx]", 3, 1, "invalid token"));
	CHECK(refused("1e999", 1, 5, "overflow"));
	CHECK(refused("\"\xff\"", 1, 1, "unable to decode byte 0xff"));
	CHECK(refused("\"\\ud800\"", 1, 8, "invalid Unicode"));
	CHECK(refused("{\"a\\u0000b\":1}", 1, 11, "NUL"));
	CHECK(refused("nul", 1, 3, "") && refused("NaN", 1, 3, "") && refused("'a'", 1, 1, "") &&
	      refused("01", 1, 1, ""));
	CHECK(refused("\"abc", 1, 4, "") && refused("\"a\\", 1, 3, "") && refused("-", 1, 1, "") &&
	      refused("]", 1, 1, ""));
	CHECK(json_to_mp((struct span){NULL, 0}, &out, &err) == -1);
	CHECK(!out.failed);
}

static void
test_nest(void)
{
	char text[256];
	size_t n = LIMIT_NEST;

	memset(text, '[', n);
	memset(text + n, ']', n);
	text[2 * n] = 0;
	CHECK(stays(text));
	memset(text, '[', n + 1);
	memset(text + n + 1, ']', n + 1);
	text[2 * n + 2] = 0;
	CHECK(refused(text, 1, (int)n + 1, "nested deeper than 32 levels"));
	/* objects nest as arrays do */
	for (size_t i = 0; i <= n; i++)
		memcpy(text + 5 * i, "{\"a\":", 5);
	text[5 * n + 5] = 0;
	CHECK(refused(text, 1, 5 * (int)n + 1, "nested deeper than 32 levels"));
	/* what closes is no longer nested, and nothing else nests */
	CHECK(stays("[[[]],[{}],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[["
		    "]],[[]],[[]],[[]],"
		    "[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]"
		    "],true,false,null,"
		    "true,true,true,true,true,true,true,true,true,true,true,true,true,true,true,"
		    "true,true,true,true,true,"
		    "true,true,true,true,true,true,true,true,true,true]"));
	/* brackets inside strings do not nest */
	memset(text, '[', 200);
	text[0] = text[199] = '"';
	text[200] = 0;
	CHECK(stays(text));
}

static void
test_elements(void)
{
	size_t n = LIMIT_BODY_ELEMENTS;
	char *text = malloc(2 * n + 2);
	struct buf big;

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = i ? ',' : '[';
		text[2 * i + 1] = '7';
	}
	buf_init(&big, 32u << 20);
	/* the array itself is one */
	text[2 * n - 2] = ']';
	CHECK(json_to_mp(span_of(text, 2 * n - 1), &big, &err) == 0 && big.n == n + 4);
	CHECK(mp_scan(buf_span(&big), LIMIT_NEST, LIMIT_BODY_ELEMENTS) == big.n);
	text[2 * n - 2] = ',';
	text[2 * n] = ']';
	buf_reset(&big);
	CHECK(json_to_mp(span_of(text, 2 * n + 1), &big, &err) == -1 &&
	      strstr(err.text, "more than"));
	CHECK(err.line == 1 && err.column == (int)(2 * n));
	buf_fini(&big);
	free(text);
}

static bool
writes(struct span mp, const char *want)
{
	buf_reset(&back);
	return json_from_mp(mp, &back, 0) == 0 && span_is(buf_span(&back), want);
}

static bool
unwritable(struct span mp)
{
	buf_reset(&back);
	buf_puts(&back, "kept");
	return json_from_mp(mp, &back, 0) == -1 && span_is(buf_span(&back), "kept");
}

static void
test_writing(void)
{
	struct buf small;

	CHECK(writes((struct span){NULL, 0}, "null") && writes(B(""), "null") &&
	      writes(B("\xc0"), "null"));
	CHECK(writes(B("\xc4\x03"
		       "abc"),
		  "\"YWJj\"") &&
	      writes(B("\xc4\x00"), "\"\"") && writes(B("\xc4\x01\xff"), "\"/w==\""));
	CHECK(writes(B("\xa7\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\""));
	CHECK(writes(B("\xa4\x00\x1f\x7f/"), "\"\\u0000\\u001f\x7f/\""));
	CHECK(unwritable(B("\x81\x01\x02")) && unwritable(B("\x81\xc4\x01k\x02")) &&
	      unwritable(B("\xd4\x01\x02")));
	CHECK(unwritable(B("\x91\xd4\x01\x02")) && unwritable(B("\x01\x02")) &&
	      unwritable(B("\xc1")) && unwritable(B("\x91")));
	CHECK(unwritable(B("\xdd\xff\xff\xff\xff")) && unwritable(B("\xa1\xff")));
	CHECK(writes(B("\xcb\x7f\xf8\0\0\0\0\0\0"), "null") &&
	      writes(B("\xcb\xff\xf0\0\0\0\0\0\0"), "null"));
	CHECK(writes(B("\xca\x3f\xc0\0\0"), "1.5"));
	buf_reset(&back);
	CHECK(json_from_mp(B("\x82\xa1"
			     "a\x92\x01\x80\xa1"
			     "b\x90"),
		  &back, 2) == 0);
	CHECK_STR(buf_cstr(&back), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
	buf_init(&small, 5);
	CHECK(json_from_mp(B("\xa7"
			     "1234567"),
		  &small, 0) == -1);
	buf_fini(&small);
	buf_reset(&back);
	json_put_str(&back, B("a\xff\xc3z\xe2\x82"));
	CHECK_STR(buf_cstr(&back), "\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"");
}

static bool
double_is(double v, const char *want)
{
	buf_reset(&out);
	mp_put_double(&out, v);
	return writes(buf_span(&out), want);
}

static void
test_doubles(void)
{
	CHECK(double_is(0, "0.0") && double_is(-0.0, "-0.0") && double_is(1, "1.0") &&
	      double_is(-1.5, "-1.5"));
	CHECK(double_is(0.1, "0.1") && double_is(0.1 + 0.2, "0.30000000000000004") &&
	      double_is(1.0 / 3, "0.3333333333333333"));
	CHECK(double_is(100000, "100000.0") && double_is(1e15, "1000000000000000.0") &&
	      double_is(1e16, "1e16"));
	CHECK(double_is(123456.789, "123456.789") && double_is(1e-5, "0.00001") &&
	      double_is(1.5e-6, "1.5e-6"));
	CHECK(double_is(5e-324, "5e-324") &&
	      double_is(0x1.fffffffffffffp1023, "1.7976931348623157e308"));
	CHECK(double_is(0x1p-1022, "2.2250738585072014e-308") &&
	      double_is(0x0.fffffffffffffp-1022, "2.225073858507201e-308"));
	CHECK(double_is(1e23, "1e23") && double_is(9007199254740993.0, "9007199254740992.0"));
	/* here the nearest decimal of 16 digits lies in the narrow half below a power of two */
	CHECK(double_is(0x1p-44, "5.684341886080802e-14"));
	CHECK(stays("\" a b!\""));
	CHECK(stays("[0.1,1.0,-2.5e-7,1e300]") && turns("1E2", "100.0") && turns("-0.0", "-0.0"));
}

static unsigned
digits_in(const char *text)
{
	unsigned n = 0, zeros = 0;

	for (; *text && *text != 'e'; text++) {
		if (*text < '0' || *text > '9' || (n == 0 && *text == '0'))
			continue;
		n++;
		zeros = *text == '0' ? zeros + 1 : 0;
	}
	return n - zeros;
}

/* Any bits: reads back the same, and no decimal of one digit less does, nor the ones next to it. */
static void
test_shortest(void)
{
	uint64_t seed = UINT64_C(88172645463325252);
	unsigned wrong = 0, longer = 0;

	for (int i = 0; i < 20000; i++) {
		char less[64];
		uint64_t bits;
		double v, again;
		unsigned n;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		bits = i % 4 == 0 ? (uint64_t)(i / 4 % 2047) << 52 : seed;
		memcpy(&v, &bits, sizeof v);
		if (!isfinite(v))
			continue;
		buf_reset(&out);
		buf_reset(&back);
		mp_put_double(&out, v);
		wrong += json_from_mp(buf_span(&out), &back, 0) != 0;
		wrong +=
		    str_double(buf_span(&back), &again) != 0 || memcmp(&again, &v, sizeof v) != 0;
		n = digits_in(buf_cstr(&back));
		if (n < 2)
			continue;
		snprintf(less, sizeof less, "%.*e", (int)n - 2, v);
		longer += strtod(less, NULL) == v;
	}
	CHECK(wrong == 0);
	CHECK(longer == 0);
}

static void
test_limit(void)
{
	struct buf small;

	buf_init(&small, 4);
	CHECK(json_to_mp(B("\"12345\""), &small, &err) == -1 && strstr(err.text, "too big") &&
	      err.line == 0);
	CHECK(small.n == 0);
	buf_fini(&small);
}

int
main(void)
{
	buf_init(&out, 1 << 24);
	buf_init(&back, 1 << 24);
	test_reading();
	test_integers();
	test_many_big();
	test_refusals();
	test_nest();
	test_elements();
	test_writing();
	test_doubles();
	test_shortest();
	test_limit();
	buf_fini(&out);
	buf_fini(&back);
	return check_done();
}
