#include "tests/unit/check.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/uuid.h"

static void
test_v7(void)
{
	uint8_t a[16], b[16], always[16], never[16];
	char text[UUID_TEXT + 1];

	uuid_v7(a, INT64_C(0x0192ab34cd56));
	CHECK(memcmp(a, "\x01\x92\xab\x34\xcd\x56", 6) == 0);
	CHECK(a[6] >> 4 == 7);
	CHECK(a[8] >> 6 == 2);
	CHECK(uuid_text(a, text) == text && strlen(text) == UUID_TEXT);
	CHECK(text[14] == '7');
	uuid_v7(b, INT64_C(0x0192ab34cd56));
	CHECK(memcmp(a, b, 16) != 0);
	/* a later millisecond sorts later */
	uuid_v7(b, INT64_C(0x0192ab34cd57));
	CHECK(memcmp(a, b, 16) < 0);
	uuid_v7(b, -5);
	CHECK(memcmp(b, "\0\0\0\0\0\0", 6) == 0);
	/* every random bit is seen both ways within 256 draws, or the odds were 2^-248 */
	memset(always, 0xff, 16);
	memset(never, 0xff, 16);
	for (int i = 0; i < 256; i++) {
		uuid_v7(b, 0);
		for (int k = 0; k < 16; k++) {
			always[k] &= b[k];
			never[k] &= (uint8_t)~b[k];
		}
	}
	CHECK(memcmp(always, "\0\0\0\0\0\0\x70\0\x80\0\0\0\0\0\0\0", 16) == 0);
	CHECK(memcmp(never, "\xff\xff\xff\xff\xff\xff\x80\0\x40\0\0\0\0\0\0\0", 16) == 0);
}

static void
test_v8(void)
{
	uint8_t digest[16], a[16];
	char text[UUID_TEXT + 1];

	memset(digest, 0xff, 16);
	uuid_v8(a, digest);
	CHECK_STR(uuid_text(a, text), "ffffffff-ffff-8fff-bfff-ffffffffffff");
	memset(digest, 0, 16);
	uuid_v8(a, digest);
	CHECK_STR(uuid_text(a, text), "00000000-0000-8000-8000-000000000000");
	uuid_v8(digest, digest);
	CHECK(memcmp(a, digest, 16) == 0);
}

static void
test_parse(void)
{
	static const char *const bad[] = {"", "0192ab34-cd56-7000-8000-00000000000",
	    "0192ab34-cd56-7000-8000-0000000000000", "0192ab34cd56-7000-8000-0000000000000",
	    "0192ab34-cd56-7000-8000-00000000000g", "{192ab34-cd56-7000-8000-000000000000",
	    "0192ab34_cd56-7000-8000-000000000000", "0192ab3--cd56-7000-8000-000000000000",
	    "0192ab340cd56-7000-8000-000000000000"};
	uint8_t id[16], same[16];
	char text[UUID_TEXT + 1];

	CHECK(uuid_parse(span_str("0192AB34-cd56-7EF0-8123-456789abcdEF"), id) == 0);
	CHECK(memcmp(id, "\x01\x92\xab\x34\xcd\x56\x7e\xf0\x81\x23\x45\x67\x89\xab\xcd\xef", 16) ==
	      0);
	CHECK_STR(uuid_text(id, text), "0192ab34-cd56-7ef0-8123-456789abcdef");
	memcpy(same, id, 16);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		check_at(uuid_parse(span_str(bad[i]), id) == -1 && memcmp(id, same, 16) == 0,
		    bad[i], __FILE__, __LINE__);
	}
}

/* What is random is fetched ahead: a child must not hand out what its parent will. */
static void
test_fork(void)
{
	uint8_t ours[16], theirs[16];
	int fd[2];
	pid_t child;

	uuid_v7(ours, 1);
	CHECK(pipe(fd) == 0);
	(void)fflush(stdout); /* or a sanitizer's _exit says it twice */
	child = fork();
	if (child == 0) {
		uuid_v7(theirs, 1);
		_exit(write(fd[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
	}
	uuid_v7(ours, 1);
	CHECK(child > 0 && read(fd[0], theirs, sizeof theirs) == sizeof theirs);
	CHECK(memcmp(ours, theirs, sizeof ours) != 0);
	CHECK(waitpid(child, NULL, 0) == child);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static void
test_all_differ(void)
{
	enum { N = 1000 };
	static uint8_t id[N][16];
	bool ok = true;

	for (unsigned i = 0; i < N; i++) {
		uuid_v7(id[i], 1);
		for (unsigned k = 0; k < i; k++)
			ok = memcmp(id[i], id[k], 16) != 0 && ok;
	}
	CHECK(ok);
}

int
main(void)
{
	test_fork();
	test_all_differ();
	test_v7();
	test_v8();
	test_parse();
	return check_done();
}
