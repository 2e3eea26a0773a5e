#include "tests/unit/check.h"

#include <errno.h>

#include "base/log.h"
#include "tests/unit/capture.h"

static char text[8192];

/* What one log statement wrote, from its lvl= on; the time before it is checked for its shape. */
#define LOGGED(stmt)                                 \
	(capture_start(&cap, STDERR_FILENO), (stmt), \
	    after_time(capture_end(&cap, text, sizeof text)))
static struct capture cap;

static const char *
after_time(size_t n)
{
	const char *shape = "ts=dddd-dd-ddTdd:dd:dd.dddZ ";
	size_t i = 0;

	if (n == 0)
		return "";
	for (; shape[i]; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';

		if (shape[i] == 'd' ? !digit : text[i] != shape[i])
			return "bad time";
	}
	return text + i;
}

static void
test_values(void)
{
	const uint8_t id[16] = {1, 2, 3};

	CHECK_STR(LOGGED(log_info(
		      "started", LOG_S("a", "plain"), LOG_I("b", -5), LOG_U("c", UINT64_MAX))),
	    "lvl=info svc=unit evt=started a=plain b=-5 c=18446744073709551615\n");
	CHECK_STR(LOGGED(log_warn("e", LOG_ID("id", id), LOG_B("b", span_of("xyz", 2)))),
	    "lvl=warn svc=unit evt=e id=01020300-0000-0000-0000-000000000000 b=xy\n");
	CHECK_STR(LOGGED(log_error("e", LOG_S("null", NULL), LOG_S("empty", ""))),
	    "lvl=error svc=unit evt=e null=\"\" empty=\"\"\n");
	errno = ENOENT;
	CHECK_STR(LOGGED((errno = ENOENT, log_error("e", LOG_ERRNO()))),
	    "lvl=error svc=unit evt=e err=\"No such file or directory\"\n");
	errno = EAGAIN;
	log_debug("quiet", LOG_S("x", "y"));
	CHECK(errno == EAGAIN);
	CHECK_STR(LOGGED(log_info("bare")), "lvl=info svc=unit evt=bare\n");
}

static void
test_escapes(void)
{
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "two words"))),
	    "lvl=info svc=unit evt=e v=\"two words\"\n");
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "a=b"))), "lvl=info svc=unit evt=e v=\"a=b\"\n");
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "say \"hi\" \\ there"))),
	    "lvl=info svc=unit evt=e v=\"say \\\"hi\\\" \\\\ there\"\n");
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "1\nts=2 lvl=fake\r\t\x01\x7f"))),
	    "lvl=info svc=unit evt=e v=\"1\\nts=2 lvl=fake\\r\\t\\x01\\x7f\"\n");
	CHECK_STR(LOGGED(log_info("e", LOG_B("v", span_of("a\0b", 3)))),
	    "lvl=info svc=unit evt=e v=\"a\\x00b\"\n");
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "caf\xc3\xa9 \xff\xc3 \xe2\x82\xac"))),
	    "lvl=info svc=unit evt=e v=\"caf\xc3\xa9 \\xff\\xc3 \xe2\x82\xac\"\n");
	/* a space that is no space to a terminal is text */
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "a\xc2\xa0z"))),
	    "lvl=info svc=unit evt=e v=\"a\xc2\xa0z\"\n");
	/* U+009B starts a terminal's control sequence just as ESC [ does */
	CHECK_STR(LOGGED(log_info("e", LOG_S("v", "\xc2\x9b"
						  "31m"))),
	    "lvl=info svc=unit evt=e v=\"\\xc2\\x9b31m\"\n");
}

static unsigned
newlines(void)
{
	unsigned n = 0;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	return n;
}

/* Cut lines end in an ellipsis, stay within 2 KiB, and never split an escape or a character. */
static void
test_cut(void)
{
	char big[4096];
	unsigned bad = 0, full = 0;

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = 0;
	for (size_t fill = 1900; fill < 2060; fill++) {
		size_t n, end;

		for (size_t i = 0; i + 1 < sizeof big; i++)
			big[i] = i < fill ? 'x' : "\xe2\x82\xac\n"[(i - fill) % 4];
		capture_start(&cap, STDERR_FILENO);
		log_info("e", LOG_S("v", big), LOG_S("after", "never seen"));
		n = capture_end(&cap, text, sizeof text);
		end = n - 4;
		full += n == 2048;
		bad += n > 2048 || n < 2030 || newlines() != 1;
		bad += strcmp(text + end, "…\n") != 0 || strstr(text, "after") != NULL;
		/* before the ellipsis: an x, a whole euro sign, or a whole escape */
		bad += !(text[end - 1] == 'x' || (text[end - 1] == 'n' && text[end - 2] == '\\') ||
			 memcmp(text + end - 3, "\xe2\x82\xac", 3) == 0 || text[end - 1] == '"');
	}
	CHECK(bad == 0);
	CHECK(full > 0);
	memset(big, 'k', 1500);
	big[1500] = 0;
	capture_start(&cap, STDERR_FILENO);
	log_info("e", LOG_S("v", big));
	CHECK(capture_end(&cap, text, sizeof text) > 1500);
	CHECK(strstr(text, "…") == NULL);
}

static void
test_levels(void)
{
	CHECK(log_level_of("debug") == LOG_DEBUG && log_level_of("info") == LOG_INFO);
	CHECK(log_level_of("warn") == LOG_WARN && log_level_of("error") == LOG_ERROR);
	CHECK(log_level_of("loud") == -1 && log_level_of("") == -1);
	CHECK_STR(LOGGED(log_debug("e")), "");
	log_set_level(LOG_DEBUG);
	CHECK_STR(LOGGED(log_debug("e")), "lvl=debug svc=unit evt=e\n");
	log_set_level(LOG_ERROR);
	CHECK_STR(LOGGED(log_warn("e")), "");
	log_set_level(LOG_INFO);
}

static void
test_limit(void)
{
	struct log_limit lim = {0};
	int said = 0;

	for (int i = 0; i < 10; i++)
		said += log_allow(&lim, 5000 + i, 3);
	CHECK(said == 3);
	CHECK(!log_allow(&lim, 5999, 3));
	CHECK(log_allow(&lim, 6000, 3) && lim.last == 8);
	CHECK(log_allow(&lim, 6001, 3) && lim.last == 0);
}

int
main(void)
{
	log_init("unit", LOG_INFO);
	test_values();
	test_escapes();
	test_cut();
	test_levels();
	test_limit();
	return check_done();
}
