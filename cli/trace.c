/* taxi trace: every hop of a chain of envelopes, as a tree below its first. */
#include <inttypes.h>
#include <stdio.h>

#include "base/uuid.h"
#include "cli/ask.h"
#include "cli/fields.h"
#include "cli/fmt.h"

static const uint8_t *
id_of(const msgpack_object *hop)
{
	return fields_id(hop, "id");
}

static bool
same(const uint8_t *a, const uint8_t *b)
{
	return a != NULL && b != NULL && memcmp(a, b, 16) == 0;
}

/* Is this the first hop of its envelope? */
static bool
is_first(const msgpack_object_array *hops, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++) {
		if (same(id_of(&hops->ptr[k]), id_of(&hops->ptr[i])))
			return false;
	}
	return true;
}

static void
put_detail(struct table *t, const msgpack_object *hop)
{
	struct span group = doc_str(hop, "group"), who = doc_str(hop, "who"),
		    reason = doc_str(hop, "reason");
	bool put = span_is(doc_str(hop, "what"), "published"); /* not handed to anybody */
	int64_t seq = doc_i64(hop, "seq", 0), nth = doc_i64(hop, "try", 0);
	struct buf b;

	buf_init(&b, 4096);
	if (seq > 0)
		buf_printf(&b, "seq %" PRId64 "  ", seq);
	if (group.n > 0)
		buf_printf(&b, "%s%.*s  ", put ? "for " : "", (int)group.n, (const char *)group.p);
	if (nth > 1)
		buf_printf(&b, "try %" PRId64 "  ", nth);
	if (who.n > 0) {
		buf_printf(&b, "%s %.*s  ", group.n > 0 && !put ? "at" : "by", (int)who.n,
		    (const char *)who.p);
	}
	if (reason.n > 0)
		buf_printf(&b, "%.*s", (int)reason.n, (const char *)reason.p);
	while (b.n > 0 && b.p[b.n - 1] == ' ')
		b.n--;
	table_span(t, buf_span(&b));
	buf_fini(&b);
}

static void
put_envelope(struct table *t, const msgpack_object_array *hops, uint32_t first, bool root)
{
	const uint8_t *id = id_of(&hops->ptr[first]);
	int64_t began = doc_i64(&hops->ptr[0], "at", 0), before = 0;
	struct span topic = doc_str(&hops->ptr[first], "topic");

	table_cell(t, "%s%.*s", root ? "" : "└ ", (int)topic.n, (const char *)topic.p);
	table_cell(t, "%s", id ? fmt_id(id).s : "");
	for (int i = 0; i < 3; i++)
		table_cell(t, "%s", "");
	for (uint32_t i = first; i < hops->size; i++) {
		const msgpack_object *hop = &hops->ptr[i];
		struct span what = doc_str(hop, "what");
		int64_t at = doc_i64(hop, "at", 0);

		if (!same(id_of(hop), id))
			continue;
		table_cell(t, "%s%.*s", root ? "  " : "    ", (int)what.n, (const char *)what.p);
		table_cell(t, "%s", fmt_time(at).s);
		table_cell(t, "+%s", fmt_age(at - began).s);
		table_cell(t, "%s%s", before ? "+" : "", before ? fmt_age(at - before).s : "");
		put_detail(t, hop);
		before = at;
	}
}

static void
print(const struct cli_reply *r)
{
	const msgpack_object_array *hops = cli_list(r, "hops");
	const uint8_t *root = fields_id(&r->doc.root, "root");
	struct table t;

	table_init(&t, "ENVELOPE AT >SINCE-ROOT >STEP ~WHAT");
	/* The root's own first, then the others as they began. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < hops->size; i++) {
			bool is_root = same(id_of(&hops->ptr[i]), root);

			if (is_root == (pass == 0) && is_first(hops, i))
				put_envelope(&t, hops, i, is_root);
		}
	}
	table_print(&t, "nothing is known of this id: no envelope has it, or retention took it");
	if (doc_bool(&r->doc.root, "more", false))
		fputs("taxi: there are more hops than one answer holds\n", stderr);
}

static int
run(struct cli *c, int argc, char **argv)
{
	const msgpack_object_array *hops;
	uint8_t id[16];
	struct cli_reply r;
	struct map m;
	int code;

	(void)argc;
	if (uuid_parse(span_str(argv[0]), id) != 0) {
		return cli_usage(c,
		    "expected a UUID as `taxi pub`, `taxi sub --long` and X-Request-Id give it, "
		    "not '%s'",
		    argv[0]);
	}
	map_init(&m);
	map_bin(&m, "id", span_of(id, 16));
	code = ask(c, "sys.trace", &m, &r);
	if (code == 0) {
		if (cli_is_json(c)) {
			cli_print_answer(c, &r.env);
		} else {
			print(&r);
		}
		hops = cli_list(&r, "hops");
		code = hops->size == 0 ? CLI_NOT_FOUND : 0;
	}
	cli_reply_fini(&r);
	return code;
}

const struct cli_command cli_trace = {
    .name = "trace",
    .operands = "ID",
    .about = "Every hop of an envelope and of what it led to, with times",
    .help =
	"  taxi trace 01a1fd57-8424-7c1e-9f6e-0242ac120002\n\n"
	"ID is of any envelope of the chain: a trigger's uuid, a receipt, an X-Request-Id.  "
	"SINCE-ROOT counts from the\n"
	"first hop of all, STEP from the hop before.  What is on disk is always there (published, "
	"dead, done or still\n"
	"owed); the rest comes from the broker's memory of its latest hops.\n",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
    .section = CLI_LOOK,
    .json = "As sys.trace answers: {root, hops: [{at, what, id, topic, seq?, group?, try?, who?, "
	    "reason?}], more}; at is unix ms.\n",
};
