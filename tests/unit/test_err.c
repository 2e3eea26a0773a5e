#include "tests/unit/check.h"

#include "proto/err.h"

int
main(void)
{
	unsigned bad = 0;

	CHECK_STR(err_name(ERR_OK), "OK");
	CHECK(err_http(ERR_OK) == 200);
	CHECK_STR(err_name(ERR_BAD_ENVELOPE), "BAD_ENVELOPE");
	CHECK_STR(err_title(ERR_NO_WORKERS), "No worker serves this topic");
	CHECK(err_http(ERR_INVALID) == 422 && err_http(ERR_QUOTA) == 429 &&
	      err_http(ERR_WORKER_LOST) == 502);
	CHECK(err_retry(ERR_CONFLICT) == ERR_NEVER && err_retry(ERR_BUSY) == ERR_LATER);
	CHECK(err_retry(ERR_TIMEOUT) == ERR_UNCERTAIN);
	CHECK_STR(err_retry_name(ERR_CONFLICT), "never");
	CHECK_STR(err_retry_name(ERR_BUSY), "later");
	CHECK_STR(err_retry_name(ERR_TIMEOUT), "uncertain");
	for (unsigned e = 0; e < ERR_COUNT; e++) {
		bad += err_of(span_str(err_name((enum err)e))) != (enum err)e;
		bad += err_http((enum err)e) < 200 || err_http((enum err)e) > 599 ||
		       !*err_title((enum err)e);
	}
	CHECK(bad == 0);
	CHECK(err_of(span_str("BUS")) == ERR_INTERNAL && err_of(span_str("BUSYX")) == ERR_INTERNAL);
	CHECK(err_of((struct span){NULL, 0}) == ERR_INTERNAL);
	CHECK_STR(err_name(ERR_COUNT), "INTERNAL");
	CHECK_STR(err_name((enum err)999), "INTERNAL");
	CHECK(err_http((enum err) - 1) == 500);
	return check_done();
}
