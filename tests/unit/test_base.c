#include "tests/unit/check.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/span.h"
#include "tests/unit/capture.h"

static void
test_span(void)
{
	struct span none = {NULL, 0}, empty = span_of("", 0);
	char *s = span_dup(span_of("ab\0c", 4));

	CHECK(span_eq(none, empty));
	CHECK(none.p == NULL && empty.p != NULL);
	CHECK(span_str(NULL).p == NULL && span_str(NULL).n == 0);
	CHECK(span_is(span_of("abc", 2), "ab"));
	CHECK(!span_is(span_of("abc", 3), "ab"));
	CHECK(!span_is(span_of("ab", 2), "ac"));
	CHECK(memcmp(s, "ab\0c", 5) == 0);
	free(s);
	s = span_dup(none);
	CHECK_STR(s, "");
	free(s);
}

static void
test_alloc(void)
{
	char *p = xcalloc(3, 4), *q = xstrdup("tab"), *r = xasprintf("%s-%d", "n", 7);
	void *none = xcalloc(0, 8);

	CHECK(memcmp(p, "\0\0\0\0\0\0\0\0\0\0\0\0", 12) == 0);
	p = xrealloc(p, 100);
	p[99] = 1;
	CHECK(memcmp(p, "\0\0\0\0", 4) == 0);
	CHECK_STR(q, "tab");
	CHECK_STR(r, "n-7");
	CHECK(none != NULL);
	free(p);
	free(q);
	free(r);
	free(none);
}

/* The exit code of a child that breaks an invariant of its own, and what it said. */
static void
test_die(void)
{
	char text[512];
	struct capture c;
	int status = 0;
	pid_t pid;

	capture_start(&c, STDERR_FILENO);
	pid = fork();
	if (pid == 0) {
		log_init("child", LOG_INFO);
		INVARIANT(1 + 1 == 3);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	capture_end(&c, text, sizeof text);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_AGAIN);
	CHECK(strstr(text, "lvl=error svc=child evt=fatal msg=\"invariant 1 + 1 == 3 at ") != NULL);
}

static void
test_clock(void)
{
	char s[25];
	int64_t a = clock_mono_us(), b = clock_mono_us();

	CHECK(b >= a);
	CHECK(clock_mono_ms() >= a / 1000);
	CHECK(clock_real_ms() > INT64_C(1700000000000));
	CHECK(clock_real_us() / 1000 >= clock_real_ms() - 1000);
	CHECK_STR(clock_rfc3339(0, s), "1970-01-01T00:00:00.000Z");
	CHECK_STR(clock_rfc3339(INT64_C(1795246784123), s), "2026-11-21T07:39:44.123Z");
	CHECK_STR(clock_rfc3339(-1, s), "1969-12-31T23:59:59.999Z");
	CHECK_STR(clock_rfc3339(INT64_C(951782400000), s), "2000-02-29T00:00:00.000Z");
	CHECK_STR(clock_rfc3339(INT64_MAX, s), "9999-12-31T23:59:59.999Z");
	CHECK_STR(clock_rfc3339(INT64_MIN, s), "0000-01-01T00:00:00.000Z");
}

struct item {
	int v;
	struct list at;
};

static int
digits_of(struct list *l)
{
	struct item *it;
	int v = 0;

	LIST_EACH (it, l, struct item, at) {
		v = v * 10 + it->v;
	}
	return v;
}

static void
test_list(void)
{
	struct item i[4] = {{.v = 1}, {.v = 2}, {.v = 3}, {.v = 4}}, *it;
	struct list l;

	list_init(&l);
	CHECK(list_empty(&l));
	CHECK(LIST_FIRST(&l, struct item, at) == NULL);
	for (int k = 1; k < 4; k++)
		list_push_back(&l, &i[k].at);
	list_push_front(&l, &i[0].at);
	CHECK(digits_of(&l) == 1234);
	CHECK(LIST_FIRST(&l, struct item, at)->v == 1);
	list_remove(&i[1].at);
	list_remove(&i[1].at);
	CHECK(digits_of(&l) == 134);
	LIST_EACH (it, &l, struct item, at) {
		if (it->v == 3)
			list_remove(&it->at);
	}
	CHECK(digits_of(&l) == 14);
	list_remove(&i[0].at);
	list_remove(&i[3].at);
	CHECK(list_empty(&l));
}

int
main(void)
{
	test_span();
	test_alloc();
	test_die();
	test_clock();
	test_list();
	return check_done();
}
