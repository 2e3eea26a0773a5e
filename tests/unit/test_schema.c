/* Request schemas: what passes, what is refused and where, defaults; and the catalogue's YAML. */
#include <stdlib.h>
#include <unistd.h>

#include "proto/json.h"
#include "proto/limits.h"
#include "services/service-gateway/schema.h"
#include "services/service-gateway/yaml_mp.h"
#include "tests/unit/check.h"

struct parsed {
	struct buf mp;
	struct doc doc;
};

static const msgpack_object *
parse(struct parsed *p, const char *json)
{
	buf_init(&p->mp, LIMIT_FRAME);
	CHECK(json_to_mp(span_str(json), &p->mp, NULL) == 0);
	CHECK(doc_parse(&p->doc, buf_span(&p->mp)) == 0);
	return &p->doc.root;
}

static void
done(struct parsed *p)
{
	doc_fini(&p->doc);
	buf_fini(&p->mp);
}

static const char SCHEMA[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"to\"],\"properties\":{"
    "\"base\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{3}$\",\"default\":\"USD\"},"
    "\"to\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":2}},"
    "\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},"
    "\"x\":{\"type\":\"number\"},\"e\":{\"enum\":[\"a\",1]}}}";

static unsigned
faults_of(const char *json, char first[256])
{
	struct parsed schema, value;
	const msgpack_object *s = parse(&schema, SCHEMA), *v = parse(&value, json);
	struct faults f;
	unsigned n;

	faults_init(&f);
	schema_apply(s, v, "", &f);
	n = f.n;
	snprintf(first, 256, "%s", f.first);
	faults_fini(&f);
	done(&schema);
	done(&value);
	return n;
}

static void
applies(void)
{
	char first[256];

	CHECK(faults_of("{\"to\":[]}", first) == 0);
	CHECK(
	    faults_of("{\"to\":[\"ab\"],\"base\":\"EUR\",\"n\":9,\"x\":1.5,\"e\":1}", first) == 0);
	CHECK(faults_of("{\"to\":[],\"x\":2}", first) == 0);
	CHECK(faults_of("[]", first) == 1);
	CHECK(faults_of("{}", first) == 1 && strstr(first, "/to") != NULL);
	CHECK(faults_of("{\"to\":[\"ab\",\"c\"]}", first) == 1 && strstr(first, "/to/1") != NULL);
	CHECK(faults_of("{\"to\":[],\"base\":\"eur\"}", first) == 1 &&
	      strstr(first, "/base") != NULL);
	CHECK(faults_of("{\"to\":[],\"base\":\"EUR\\u0000\"}", first) == 1);
	CHECK(faults_of("{\"to\":[],\"n\":10}", first) == 1);
	CHECK(faults_of("{\"to\":[],\"n\":1.5}", first) == 1);
	CHECK(faults_of("{\"to\":[],\"e\":\"b\"}", first) == 1);
	CHECK(faults_of("{\"to\":[],\"a/b~\":1,\"n\":0}", first) == 2 &&
	      strstr(first, "/a~1b~0") != NULL);
}

static void
defaults(void)
{
	struct parsed schema, value;
	struct buf out, json;

	parse(&schema, SCHEMA);
	parse(&value, "{\"to\":[\"ab\"],\"n\":3}");
	buf_init(&out, LIMIT_FRAME);
	buf_init(&json, LIMIT_FRAME);
	schema_put_defaults(&schema.doc.root, &value.doc.root, &out);
	CHECK(json_from_mp(buf_span(&out), &json, 0) == 0);
	CHECK_STR(buf_cstr(&json), "{\"to\":[\"ab\"],\"n\":3,\"base\":\"USD\"}");
	buf_fini(&out);
	buf_fini(&json);
	done(&schema);
	done(&value);
}

static void
unsupported(void)
{
	struct parsed p;
	char why[256];

	parse(&p, "{\"type\":\"object\",\"properties\":{\"a\":{\"oneOf\":[]}}}");
	CHECK(schema_check(&p.doc.root, why) == -1 && strstr(why, "oneOf") != NULL);
	done(&p);
	parse(&p, "{\"pattern\":\"(\"}");
	CHECK(schema_check(&p.doc.root, why) == -1 && strstr(why, "pattern") != NULL);
	done(&p);
	parse(&p, SCHEMA);
	CHECK(schema_check(&p.doc.root, why) == 0);
	done(&p);
}

static int
yaml(const char *text, struct buf *json, char why[256])
{
	char path[] = "/tmp/test_schema_XXXXXX";
	int fd = mkstemp(path), rc;
	struct buf mp;

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	buf_init(&mp, LIMIT_FRAME);
	buf_reset(json);
	rc = yaml_mp_file(path, &mp, why);
	if (rc == 0)
		CHECK(json_from_mp(buf_span(&mp), json, 0) == 0);
	buf_fini(&mp);
	unlink(path);
	return rc;
}

static void
yamls(void)
{
	struct buf json;
	char why[256] = "";

	buf_init(&json, LIMIT_FRAME);
	CHECK(yaml("a: 1\nb: [true, null, 1.5, \"1\", x y]\nc: {d: -2}\n", &json, why) == 0);
	CHECK_STR(
	    buf_cstr(&json), "{\"a\":1,\"b\":[true,null,1.5,\"1\",\"x y\"],\"c\":{\"d\":-2}}");
	CHECK(yaml("a: 1\nb: 2\na: 3\n", &json, why) == -1 && strstr(why, ":3:") != NULL &&
	      strstr(why, "twice") != NULL);
	CHECK(yaml("a: &x [1]\nb: *x\n", &json, why) == -1 && strstr(why, "alias") != NULL);
	CHECK(yaml("a: [1\n", &json, why) == -1);
	CHECK(yaml("", &json, why) == -1);
	CHECK(yaml_mp_file("/nowhere/at/all.yaml", &json, why) == -1 &&
	      strstr(why, "No such file") != NULL);
	buf_fini(&json);
}

int
main(void)
{
	applies();
	defaults();
	unsupported();
	yamls();
	return check_done();
}
