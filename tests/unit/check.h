#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H
/* TAP on stdout, one program a file, no allocation, no setjmp. */
#include <stdio.h>
#include <string.h>

static int check_n, check_bad;

static inline int
check_at(int ok, const char *what, const char *file, int line)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++check_n, what);
	if (!ok) {
		check_bad++;
		printf("# at %s:%d\n", file, line);
	}
	return ok;
}

#define CHECK(e) check_at(!!(e), #e, __FILE__, __LINE__)
#define CHECK_STR(a, b) check_at(strcmp((a), (b)) == 0, #a " == " #b, __FILE__, __LINE__)

static inline int
check_done(void)
{
	printf("1..%d\n", check_n);
	return check_bad != 0;
}
#endif
