/* taxi dead ls, show, retry, drop. */
#include "cli/dead.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/die.h"
#include "base/str.h"
#include "cli/fields.h"
#include "cli/fmt.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { PAGE = 1000, MOST = 1 << 20, SHOW_EVERY = 100 };

static struct {
	const char *group, *reason, *topic;
	int64_t after, limit;
	bool all, yes;
} opt;

static const struct opt ls_rows[] = {
    {"group", OPT_STR, &opt.group, "", 0, 0, 0, "of this group alone"},
    {"after", OPT_INT, &opt.after, "0", 0, INT64_MAX, 0, "go on after this number"},
    {"limit", OPT_INT, &opt.limit, "100", 1, PAGE, 0, "at most so many"},
};
#define SELECT_ROWS                                                                               \
	{"all", OPT_BOOL, &opt.all, "false", 0, 0, 0, "every one there is now that fits:"},       \
	    {"group", OPT_STR, &opt.group, "", 0, 0, 0, "with --all: of this group"},             \
	    {"reason", OPT_STR, &opt.reason, "", 0, 0, 0, "with --all: whose reason holds this"}, \
	    {"topic", OPT_STR, &opt.topic, "", 0, 0, 0,                                           \
		"with --all: whose topic matches this pattern"},                                  \
	{                                                                                         \
		"yes", OPT_BOOL, &opt.yes, "false", 0, 0, 0, "do not ask"                         \
	}
static const struct opt select_rows[] = {SELECT_ROWS};

int64_t
dead_number(const struct cli *c, const char *text)
{
	int64_t no;

	if (str_i64(span_str(text), 1, INT64_MAX, &no) == 0)
		return no;
	(void)cli_usage(
	    c, "expected the number of a dead letter as `taxi dead ls` gives it, not '%s'", text);
	return -1;
}

int
dead_show(struct cli *c, int64_t no, struct cli_reply *r)
{
	struct map m;

	map_init(&m);
	map_i64(&m, "dead", no);
	return ask(c, "sys.dead.show", &m, r);
}

int
dead_envelope(const msgpack_object *item, struct env *e)
{
	const msgpack_object *frame = doc_get(item, "frame");

	if (frame == NULL || frame->type != MSGPACK_OBJECT_BIN)
		return -1;
	return env_decode(e, span_of(frame->via.bin.ptr, frame->via.bin.size), true, NULL) == ERR_OK
		   ? 0
		   : -1;
}

/* ---- ls, show ---- */

static void
print_list(const struct cli_reply *r)
{
	const msgpack_object_array *list = cli_list(r, "items");
	struct table t;

	table_init(&t, ">DEAD ~GROUP ~TOPIC ID >TRIES AT ~REASON");
	for (uint32_t i = 0; i < list->size; i++) {
		const msgpack_object *o = &list->ptr[i];

		table_cell(&t, "%" PRId64, doc_i64(o, "dead", 0));
		fields_cell_str(&t, o, "group");
		fields_cell_str(&t, o, "topic");
		fields_cell_id(&t, o, "id");
		fields_cell_count(&t, o, "tries");
		fields_cell_time(&t, o, "at");
		fields_cell_str(&t, o, "reason");
	}
	table_print(&t, "no dead letters");
	if (doc_i64(&r->doc.root, "next", 0) > 0) {
		fprintf(stderr, "taxi: there are more: --after %" PRId64 "\n",
		    doc_i64(&r->doc.root, "next", 0));
	}
}

static int
run_ls(struct cli *c, int argc, char **argv)
{
	struct map m;

	(void)argc;
	(void)argv;
	map_init(&m);
	if (opt.group[0])
		map_str(&m, "group", opt.group);
	map_i64(&m, "after", opt.after);
	map_i64(&m, "limit", opt.limit);
	return ask_print(c, "sys.dead.ls", &m, print_list);
}

static void
put_item(struct map *m, const msgpack_object *item)
{
	for (uint32_t i = 0; i < item->via.map.size; i++) {
		const msgpack_object_kv *kv = &item->via.map.ptr[i];
		char key[32];
		struct buf v;

		if (!str_copy(key, sizeof key, doc_span(&kv->key)) || strcmp(key, "frame") == 0)
			continue;
		buf_init(&v, LIMIT_FRAME);
		mp_put_object(&v, &kv->val);
		map_raw(m, key, buf_span(&v));
		buf_fini(&v);
	}
}

static void
put_envelope(struct map *m, const struct env *e)
{
	struct map inner;
	char topic[LIMIT_TOPIC + 1], key[LIMIT_KEY + 1];

	map_init(&inner);
	map_str(&inner, "verb", env_verb_name(e->verb));
	if (str_copy(topic, sizeof topic, e->topic))
		map_str(&inner, "topic", topic);
	map_bin(&inner, "id", span_of(e->id, 16));
	if (env_has(e, ENV_M_KEY) && str_copy(key, sizeof key, env_s(e, ENV_M_KEY)))
		map_str(&inner, "key", key);
	if (env_has(e, ENV_M_ROOT))
		map_bin(&inner, "root", env_s(e, ENV_M_ROOT));
	map_raw(&inner, "body", e->body.n > 0 ? e->body : span_of("\xc0", 1));
	map_raw(m, "envelope", map_span(&inner));
	map_fini(&inner);
}

static void
print_body(const struct env *e)
{
	struct buf b;

	buf_init(&b, 8 * LIMIT_FRAME);
	if (json_from_mp(e->body, &b, 2) != 0)
		buf_printf(&b, "(%zu bytes that JSON cannot say)", e->body.n);
	puts(buf_cstr(&b));
	fflush(stdout);
	buf_fini(&b);
}

static int
run_show(struct cli *c, int argc, char **argv)
{
	int64_t no = dead_number(c, argv[0]);
	struct cli_reply r;
	struct map m;
	struct env e;
	int code;

	(void)argc;
	if (no < 0)
		return CLI_USAGE;
	code = dead_show(c, no, &r);
	if (code == 0 && dead_envelope(&r.doc.root, &e) != 0) {
		fputs("taxi: the broker's answer holds no envelope that can be read; `taxi doctor` "
		      "compares versions\n",
		    stderr);
		code = CLI_FAILED;
	}
	if (code == 0) {
		map_init(&m);
		put_item(&m, &r.doc.root);
		if (cli_is_json(c)) {
			struct env out = {.verb = ENV_REP};

			put_envelope(&m, &e);
			out.body = map_span(&m);
			cli_print_answer(c, &out);
		} else {
			struct doc d;

			if (doc_parse(&d, map_span(&m)) == 0)
				fields_print(&d.root);
			doc_fini(&d);
			print_body(&e);
		}
		map_fini(&m);
	}
	cli_reply_fini(&r);
	return code;
}

/* ---- retry, drop ---- */

struct numbers {
	int64_t *v;
	size_t n;
};

static bool
fits(const msgpack_object *o)
{
	struct span reason = doc_str(o, "reason");

	if (opt.reason[0] && (reason.p == NULL || memmem(reason.p, reason.n, opt.reason,
						      strlen(opt.reason)) == NULL))
		return false;
	return !opt.topic[0] || topic_match(span_str(opt.topic), doc_str(o, "topic"));
}

/* All numbers first, then the deed: what dies again meanwhile is not taken a second time. */
static int
collect(struct cli *c, struct numbers *out)
{
	int64_t after = 0;
	int code;

	do {
		const msgpack_object_array *list;
		struct cli_reply r;
		struct map m;

		map_init(&m);
		if (opt.group[0])
			map_str(&m, "group", opt.group);
		map_i64(&m, "after", after);
		map_i64(&m, "limit", PAGE);
		code = ask(c, "sys.dead.ls", &m, &r);
		list = cli_list(&r, "items");
		for (uint32_t i = 0; i < list->size && out->n < MOST; i++) {
			if (!fits(&list->ptr[i]))
				continue;
			if ((out->n & (out->n + 1)) == 0)
				out->v = xrealloc(out->v, (out->n + 1) * 2 * sizeof *out->v);
			out->v[out->n++] = doc_i64(&list->ptr[i], "dead", 0);
		}
		after = code == 0 ? doc_i64(&r.doc.root, "next", 0) : 0;
		cli_reply_fini(&r);
	} while (after > 0 && out->n < MOST);
	return code;
}

static int
do_one(struct cli *c, const char *topic, int64_t no, bool quiet)
{
	struct cli_reply r;
	struct map m;
	int code;

	map_init(&m);
	map_i64(&m, "dead", no);
	code = ask(c, topic, &m, &r);
	if (code != 0) {
		if (code != 128 + c->signal)
			fprintf(stderr, "taxi: that was dead letter %" PRId64 "\n", no);
	} else if (cli_is_json(c) && !quiet) {
		cli_print_answer(c, &r.env);
	} else if (!quiet && doc_i64(&r.doc.root, "seq", 0) > 0) {
		printf("%" PRId64 " is owed again, as seq %" PRId64 "\n", no,
		    doc_i64(&r.doc.root, "seq", 0));
	} else if (!quiet) {
		printf("%" PRId64 " is gone\n", no);
	}
	cli_reply_fini(&r);
	return code;
}

static int
do_all(struct cli *c, const char *topic, const char *deed)
{
	struct numbers all = {NULL, 0};
	char question[128];
	size_t done = 0;
	int code = collect(c, &all);

	snprintf(question, sizeof question, "%s %zu dead letters%s%.64s?", deed, all.n,
	    opt.group[0] ? " of " : "", opt.group);
	if (code == 0 && all.n > 0 && !opt.yes) {
		cli_close(c); /* the broker does not wait while somebody thinks */
		code = cli_confirm(question) ? 0 : CLI_USAGE;
	}
	for (; code == 0 && done < all.n; done++) {
		code = do_one(c, topic, all.v[done], true);
		/* Somebody else was quicker. */
		if (code == CLI_NOT_FOUND)
			code = 0;
		if (isatty(STDERR_FILENO) && done % SHOW_EVERY == 0)
			fprintf(stderr, "\r%zu of %zu\033[K", done, all.n);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (cli_is_json(c)) {
		printf("{\"matched\":%zu,\"done\":%zu}\n", all.n, done);
	} else if (code == 0 || done > 0) {
		printf("%zu of %zu dead letters done\n", done, all.n);
	}
	free(all.v);
	return code;
}

static int
run_many(struct cli *c, int argc, char **argv, const char *topic, const char *deed)
{
	int code = 0;

	if (opt.all == (argc > 0) || (!opt.all && (opt.group[0] || opt.reason[0] || opt.topic[0])))
		return cli_usage(c, "either numbers, or --all with what they must fit");
	if (opt.topic[0] && !topic_is_pattern(span_str(opt.topic)))
		return cli_usage(c, "--topic '%s' is no pattern (`taxi help topics`)", opt.topic);
	if (opt.all)
		return do_all(c, topic, deed);
	for (int i = 0; i < argc; i++) {
		if (dead_number(c, argv[i]) < 0)
			return CLI_USAGE;
	}
	for (int i = 0; i < argc && code == 0; i++)
		code = do_one(c, topic, dead_number(c, argv[i]), false);
	return code;
}

static int
run_retry(struct cli *c, int argc, char **argv)
{
	/* Nothing is lost by it, so nobody is asked. */
	opt.yes = true;
	return run_many(c, argc, argv, "sys.dead.retry", "Retry");
}

static int
run_drop(struct cli *c, int argc, char **argv)
{
	return run_many(c, argc, argv, "sys.dead.drop", "Drop for good");
}

const struct cli_command cli_dead_ls = {
    .name = "dead ls",
    .operands = "",
    .about = "Dead letters: what a group gave up on, and why",
    .help = "  taxi dead ls\n  taxi dead ls --group pusher-postgres\n",
    .rows = ls_rows,
    .nrows = sizeof ls_rows / sizeof ls_rows[0],
    .run = run_ls,
    .section = CLI_MEND,
    .json =
	"As sys.dead.ls answers: {items: [{dead, group, seq, id, topic, key?, reason, tries, at}], "
	"next}.\n",
};

const struct cli_command cli_dead_show = {
    .name = "dead show",
    .operands = "NUMBER",
    .about = "One dead letter with its body",
    .help = "  taxi dead show 12\n  taxi dead show 12 -o json | jq .envelope.body\n",
    .min_operands = 1,
    .max_operands = 1,
    .run = run_show,
    .section = CLI_MEND,
    .json =
	"{dead, group, seq, id, topic, key?, reason, tries, at, envelope: {verb, topic, id, key?, "
	"root?, body}}.\n",
};

const struct cli_command cli_dead_retry = {
    .name = "dead retry",
    .operands = "[NUMBER…]",
    .about = "Owe dead letters to their groups again, tries from the start",
    .help = "  taxi dead retry 12 13\n"
	    "  taxi dead retry --all --group pusher-postgres --reason timeout\n\n"
	    "Each is one transaction: owed again, and no dead letter any more.\n",
    .max_operands = 1000,
    .rows = select_rows,
    .nrows = sizeof select_rows / sizeof select_rows[0] - 1,
    .run = run_retry,
    .section = CLI_MEND,
    .json = "A line a number: {dead, seq}.  With --all: {matched, done}.\n",
};

const struct cli_command cli_dead_drop = {
    .name = "dead drop",
    .operands = "[NUMBER…]",
    .about = "Throw dead letters away for good",
    .help = "  taxi dead drop 12\n  taxi dead drop --all --group pusher-old\n\n"
	    "--all asks first; --yes does not.\n",
    .max_operands = 1000,
    .rows = select_rows,
    .nrows = sizeof select_rows / sizeof select_rows[0],
    .run = run_drop,
    .section = CLI_MEND,
    .json = "A line a number: {dead}.  With --all: {matched, done}.\n",
};
