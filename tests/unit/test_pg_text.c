/* Text for Postgres: COPY rows, array literals, identifiers. */
#include "tests/unit/check.h"

#include "store/pg.h"

static struct buf b;

static const char *
said(void)
{
	static char out[200];

	snprintf(out, sizeof out, "%s", buf_cstr(&b));
	buf_reset(&b);
	return out;
}

int
main(void)
{
	buf_init(&b, 1000);
	pg_copy_field(&b, span_str("a\tb\\c\nd\re\bf\fg\vh"), true);
	pg_copy_field(&b, span_of(NULL, 0), false);
	pg_copy_field(&b, span_str(""), false);
	pg_copy_field(&b, span_str("\xc3\xa9"), false);
	pg_copy_end_row(&b);
	CHECK_STR(said(), "a\\tb\\\\c\\nd\\re\\bf\\fg\\vh\t\\N\t\t\xc3\xa9\n");
	pg_copy_field(&b, span_str("\\N"), true);
	CHECK_STR(said(), "\\\\N");

	pg_array_item(&b, span_str("a\"b\\"));
	pg_array_item(&b, span_of(NULL, 0));
	pg_array_item(&b, span_str("NULL"));
	pg_array_item(&b, span_str(""));
	pg_array_item(&b, span_str("{,}"));
	pg_array_end(&b);
	CHECK_STR(said(), "{\"a\\\"b\\\\\",NULL,\"NULL\",\"\",\"{,}\"}");
	pg_array_end(&b);
	CHECK_STR(said(), "{}");

	pg_put_ident(&b, span_str("we \"ird\""));
	CHECK_STR(said(), "\"we \"\"ird\"\"\"");
	buf_fini(&b);
	return check_done();
}
