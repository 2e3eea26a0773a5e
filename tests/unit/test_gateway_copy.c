/* pusher-postgres: COPY text, and names of tables that cannot say anything else. */
#include "proto/json.h"
#include "services/data-gateway/plugins/postgres/copy.h"
#include "tests/unit/check.h"

#define UUID "01890a5d-ac96-774b-bcce-b302099a8057"
#define RECEIPT "00000001-0000-7000-8000-000000000000"

static void
text(void)
{
	struct pusher_item it = {.seq = 9, .receipt_text = RECEIPT};
	struct buf body, out, small;
	struct faults f;

	buf_init(&body, 1000);
	buf_init(&out, 1000);
	buf_init(&small, 50);
	faults_init(&f);
	CHECK(json_to_mp(
		  span_str("{\"uuid\":\"" UUID
			   "\",\"rows\":[{\"index\":2,\"data\":{\"b\":\"x\\ty\\\\\\n\",\"a\":1.0}},"
			   "{\"data\":{\"n\":null}}]}"),
		  &body, NULL) == 0);
	CHECK(rows_read(&it.rows, ROWS_IN, buf_span(&body), (struct span){NULL, 0}, &f));
	CHECK(copy_put_item(&out, &it) == 0);
	CHECK_STR(buf_cstr(&out),
	    RECEIPT "\t0\t" UUID "\t2\t{\"b\":\"x\\\\ty\\\\\\\\\\\\n\",\"a\":1.0}\t9\n" RECEIPT
		    "\t1\t" UUID "\t\\N\t{\"n\":null}\t9\n");
	CHECK(copy_put_item(&small, &it) == -1); /* over its limit is said, not cut */
	faults_fini(&f);
	buf_fini(&small);
	buf_fini(&out);
	buf_fini(&body);
}

static void
names(void)
{
	static const char *const bad[] = {"rows", ".rows", "a.", "a.b.c", "a.b;c", "a.\"b\"",
	    "1a.b", "a.b-c", "", "a b.c",
	    "a123456789b123456789c123456789d123456789e123456789f123456789abcd.x"};
	struct copy_sql s;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CHECK(copy_sql_init(&s, bad[i]) == -1);
		copy_sql_fini(&s);
	}
	CHECK(copy_sql_init(&s, "Lab_1.rows") == 0);
	CHECK_STR(buf_cstr(&s.name), "\"Lab_1\".\"rows\"");
	CHECK(strstr(buf_cstr(&s.insert), "INSERT INTO \"Lab_1\".\"rows\" (") != NULL &&
	      !s.insert.failed);
	CHECK(strstr(buf_cstr(&s.table), "PRIMARY KEY (receipt, position))") != NULL &&
	      !s.table.failed);
	copy_sql_fini(&s);
}

int
main(void)
{
	text();
	names();
	return check_done();
}
