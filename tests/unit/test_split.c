/* Cutting JSON files and lines into records, in pieces of any size. */
#include "tests/unit/check.h"

#include "services/control-tower/split.h"

/* Every way of handing the text over must give the same: "records|separated" + "." or "!why". */
static const char *
cut(const char *text, size_t piece, bool resume_array, size_t from)
{
	static char out[4096];
	struct split s;
	struct span record;
	size_t base = from, end = from, len = strlen(text);
	char *to = out;

	*to = '\0';
	split_init(&s);
	if (from > 0)
		split_resume(&s, resume_array);
	for (int guard = 0; guard < 10000; guard++) {
		bool last = end == len;

		switch (split_json(&s, span_of(text + base, end - base), last, &record)) {
		case SPLIT_RECORD:
			to += snprintf(to, 1000, "%.*s|", (int)record.n, (const char *)record.p);
			break;
		case SPLIT_MORE:
			base += split_drop(&s);
			end = end + piece > len ? len : end + piece;
			break;
		case SPLIT_END: snprintf(to, 9, "."); return out;
		case SPLIT_BAD: snprintf(to, 99, "!%s", s.why); return out;
		}
	}
	return "endless";
}

static int
gives(const char *text, const char *want)
{
	for (size_t piece = 1; piece < 12; piece++) {
		const char *got = cut(text, piece, false, 0);

		if (strcmp(got, want) != 0) {
			printf("# by %zu: %s\n", piece, got);
			return 0;
		}
	}
	return 1;
}

static void
json(void)
{
	CHECK(gives("{\"a\":[1,{\"b\":\"}]\\\"\\\\\"}]}", "{\"a\":[1,{\"b\":\"}]\\\"\\\\\"}]}|."));
	CHECK(gives(" \n{\"a\":1}\r\n\t ", "{\"a\":1}|."));
	CHECK(gives("[{\"a\":1},{\"b\":[2,3]} , {} ]\n", "{\"a\":1}|{\"b\":[2,3]}|{}|."));
	CHECK(gives("[]", "."));
	CHECK(gives("[ ] ", "."));
	CHECK(gives("[1,\"x,]\",null , [2]]", "1|\"x,]\"|null|[2]|."));
	CHECK(gives("42", "42|."));
	CHECK(gives("\"[\"", "\"[\"|."));
	CHECK(gives("", "!is empty"));
	CHECK(gives("  \n", "!is empty"));
	CHECK(gives("[", "!ends too early"));
	CHECK(gives("{\"a\":1", "!ends too early"));
	CHECK(gives("{\"a\":\"1}", "!ends too early"));
	CHECK(gives("[{},", "{}|!ends too early"));
	CHECK(gives("[{}", "{}|!ends too early"));
	CHECK(gives("[{},]", "{}|!expected a value"));
	CHECK(gives("[,{}]", "!expected a value"));
	CHECK(gives("[{}{}]", "{}|!expected a comma or the end of the array"));
	CHECK(gives("{}{}", "{}|!there is something behind the end"));
	CHECK(gives("[{}]]", "{}|!there is something behind the end"));
	CHECK(gives("}", "!expected a value"));
	/* not JSON inside, but whole: for the decoder to judge */
	CHECK(gives("[{\"a\":},x y]", "{\"a\":}|x|!expected a comma or the end of the array"));
	CHECK_STR(cut("\xef\xbb\xbf{}", 64, false, 0), "{}|.");
	CHECK_STR(cut("[{\"a\":1},{\"b\":2}]", 3, true, 8), "{\"b\":2}|.");
	CHECK_STR(cut("{\"a\":1}\n", 3, false, 7), ".");
}

static void
lines(void)
{
	struct span line;
	size_t used;

	CHECK(split_line(span_str("ab\ncd"), false, &line, &used) && span_is(line, "ab") &&
	      used == 3);
	CHECK(split_line(span_str("ab\r\n"), false, &line, &used) && span_is(line, "ab") &&
	      used == 4);
	CHECK(split_line(span_str("\n"), false, &line, &used) && line.n == 0 && used == 1);
	CHECK(!split_line(span_str("cd"), false, &line, &used));
	CHECK(split_line(span_str("cd"), true, &line, &used) && span_is(line, "cd") && used == 2);
	CHECK(!split_line(span_str(""), true, &line, &used));
	CHECK(!split_line(span_of(NULL, 0), true, &line, &used));
}

int
main(void)
{
	json();
	lines();
	return check_done();
}
