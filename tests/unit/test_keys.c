/* Key files, the text they are written in, and the edits of the acl file. */
#include <czmq.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/acl_text.h"
#include "proto/keys.h"
#include "proto/zpl.h"
#include "tests/unit/check.h"

#define K1 "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define K2 "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static char dir[] = "/tmp/taxikeysXXXXXX";

static struct span
s(const char *t)
{
	return span_str(t);
}

static const char *
path(const char *name)
{
	static char p[4][256];
	static int at;
	char *out = p[at++ % 4];

	snprintf(out, sizeof(p[0]), "%s/%s", dir, name);
	return out;
}

static void
put(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(path(name), "w");

	fputs(text, f);
	fclose(f);
	chmod(path(name), mode);
}

/* ---- zpl ---- */

static unsigned
items(const char *text, const char **why)
{
	struct zpl_item it;
	struct zpl z;
	unsigned n = 0;

	zpl_init(&z, s(text));
	while (zpl_next(&z, &it))
		n++;
	*why = z.why;
	return n;
}

static void
test_zpl_reads_lines(void)
{
	const char text[] = "# c\n\nmain\n    a = 1   # c\n    b = \"x # y\"\n    sub\n"
			    "        c = 'q\"'\r\nempty =\nlast = z";
	const char *const values[] = {NULL, "1", "x # y", NULL, "q\"", "", "z"};
	const unsigned levels[] = {0, 1, 1, 1, 2, 0, 0};
	struct zpl_item it;
	struct zpl z;
	unsigned n = 0, good = 0;

	zpl_init(&z, s(text));
	for (; zpl_next(&z, &it); n++) {
		good += it.level == levels[n] &&
			(values[n] ? span_is(it.value, values[n]) : it.value.p == NULL);
	}
	CHECK(z.why == NULL && n == 7 && good == 7);
}

static void
test_zpl_guesses_at_nothing(void)
{
	static const char *const bad[] = {"a b", "a\n        deep = 1", "  a", "a = \"x",
	    "a = 'x' y", "\ta", "a\x01", "= x", "\"a\"",
	    "a\n    b\n        c\n            d\n                e"};
	const char *why;
	unsigned refused = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		(void)items(bad[i], &why);
		refused += why != NULL;
	}
	CHECK(refused == sizeof(bad) / sizeof(*bad));
	CHECK(items("", &why) == 0 && why == NULL);
	CHECK(items("\n\n#", &why) == 0 && why == NULL);
}

/* ---- keys ---- */

static void
test_a_pair_is_written_once(void)
{
	struct keys k, back;
	char why[KEYS_WHY] = "";
	struct stat st;
	zcert_t *cert;

	CHECK(keys_new(path("a.key"), "ann", &k, why) == 0);
	CHECK(stat(path("a.key_secret"), &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(keys_new(path("a.key"), "ann", &back, why) != 0 && strstr(why, "a.key") != NULL);
	CHECK(unlink(path("a.key")) == 0);
	CHECK(keys_new(path("a.key"), "ann", &back, why) != 0);
	CHECK(access(path("a.key"), F_OK) != 0);
	CHECK(keys_load(path("a.key"), &back, why) == 0);
	CHECK_STR(back.public_key, k.public_key);
	CHECK_STR(back.secret_key, k.secret_key);
	cert = zcert_load(path("a.key"));
	CHECK(cert != NULL && strcmp(zcert_public_txt(cert), k.public_key) == 0 &&
	      strcmp(zcert_secret_txt(cert), k.secret_key) == 0 &&
	      strcmp(zcert_meta(cert, "name"), "ann") == 0);
	zcert_destroy(&cert);
	CHECK(keys_new(path("none/a.key"), "", &k, why) != 0);
}

static void
test_what_czmq_writes_is_read(void)
{
	zcert_t *cert = zcert_new();
	char why[KEYS_WHY] = "", out[KEYS_TEXT + 1];
	struct keys k;

	zcert_set_meta(cert, "email", "a@b");
	CHECK(zcert_save(cert, path("z.key")) == 0);
	CHECK(keys_load(path("z.key"), &k, why) == 0);
	CHECK_STR(k.secret_key, zcert_secret_txt(cert));
	CHECK(keys_public(path("z.key"), out, why) == 0);
	CHECK_STR(out, zcert_public_txt(cert));
	CHECK(keys_public(K1, out, why) == 0);
	CHECK_STR(out, K1);
	zcert_destroy(&cert);
}

static void
test_bad_files_are_named(void)
{
	char why[KEYS_WHY] = "";
	struct keys k;

	put("w.key", "curve\n    public-key = \"" K1 "\"\n    secret-key = \"" K2 "\"\n", 0600);
	CHECK(keys_load(path("w.key"), &k, why) != 0 && strstr(why, "not that of") != NULL);
	put("s.key", "curve\n    public-key = \"short\"\n", 0600);
	CHECK(keys_load(path("s.key"), &k, why) != 0 && strstr(why, "s.key") != NULL);
	put("e.key", "", 0600);
	CHECK(keys_load(path("e.key"), &k, why) != 0 && strstr(why, "no curve") != NULL);
	put("m.key", "curve\n  public-key = x\n", 0600);
	CHECK(keys_load(path("m.key"), &k, why) != 0 && strstr(why, "m.key:2") != NULL);
	CHECK(keys_load(path("absent"), &k, why) != 0 && strstr(why, "absent") != NULL);
	CHECK(keys_load(dir, &k, why) != 0);
	CHECK(keys_load("/dev/zero", &k, why) != 0 && strstr(why, "not a file") != NULL);
	CHECK(keys_new(path("o.key"), "", &k, why) == 0 && chmod(path("o.key_secret"), 0644) == 0);
	CHECK(keys_load(path("o.key"), &k, why) != 0 && strstr(why, "chmod 600") != NULL);
	CHECK(keys_use("", "", why) == 0);
	CHECK(keys_use(path("o.key"), "", why) != 0 && strstr(why, "--broker-key") != NULL);
}

/* ---- the acl file ---- */

static const char acl[] = "# head\n\none   # the first\n    key = \"" K1 "\"\n    publish = a\n"
			  "# of two\ntwo\n    key = \"" K2 "\"\n\n# tail\n";

static void
test_an_entry_is_replaced_in_place(void)
{
	struct span other = {NULL, 0};
	struct buf out;

	buf_init(&out, 4096);
	CHECK(acl_text_set(s(acl), s("one"), s(K1), s("NEW\n"), &out, &other));
	CHECK_STR(buf_cstr(&out), "# head\n\nNEW\n# of two\ntwo\n    key = \"" K2 "\"\n\n# tail\n");
	buf_reset(&out);
	CHECK(!acl_text_set(s(acl), s("three"), s(K2), s("NEW\n"), &out, &other) &&
	      span_is(other, "two"));
	buf_reset(&out);
	CHECK(acl_text_set(s("x"), s("local"), s(""), s("NEW\n"), &out, &other));
	CHECK_STR(buf_cstr(&out), "x\nNEW\n");
	buf_reset(&out);
	CHECK(acl_text_set(
	    s("local\n    publish = a\nb\n"), s("local"), s(""), s("NEW\n"), &out, &other));
	CHECK_STR(buf_cstr(&out), "NEW\nb\n");
	buf_fini(&out);
}

static void
test_an_entry_is_removed(void)
{
	struct buf out;

	buf_init(&out, 4096);
	CHECK(acl_text_remove(s(acl), s("one"), &out) == 1);
	CHECK_STR(buf_cstr(&out), "# head\n\n# of two\ntwo\n    key = \"" K2 "\"\n\n# tail\n");
	buf_reset(&out);
	CHECK(acl_text_remove(s(acl), s(K2), &out) == 1);
	CHECK_STR(buf_cstr(&out), "# head\n\none   # the first\n    key = \"" K1
				  "\"\n    publish = a\n# of two\n\n# tail\n");
	buf_reset(&out);
	CHECK(acl_text_remove(s(acl), s("nobody"), &out) == 0);
	CHECK_STR(buf_cstr(&out), acl);
	buf_reset(&out);
	CHECK(acl_text_remove(s("a\n    x = 1\nb\na\n"), s("a"), &out) == 2);
	CHECK_STR(buf_cstr(&out), "b\n");
	buf_fini(&out);
}

static void
test_a_mistake_has_its_line(void)
{
	struct acl_walk w = {.text = s("a\n    k = 1\nb\n    k = 1\n\n  bad\n")};
	struct acl_section sec;
	unsigned n = 0;

	while (acl_text_next(&w, &sec))
		n++;
	CHECK(n == 1 && w.why != NULL && w.line == 6);
}

int
main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	test_zpl_reads_lines();
	test_zpl_guesses_at_nothing();
	test_a_pair_is_written_once();
	test_what_czmq_writes_is_read();
	test_bad_files_are_named();
	test_an_entry_is_replaced_in_place();
	test_an_entry_is_removed();
	test_a_mistake_has_its_line();
	return check_done();
}
