/* Commands that ask the broker how things are: services, groups, peers, stats. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "proto/doc.h"

static int
ask(struct cli *c, const char *topic, cli_print_fn *print)
{
	struct env e;

	env_init(&e, ENV_REQ, span_str(topic), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	return cli_call(c, &e, cli_is_json(c) ? NULL : print);
}

static void
cell_str(struct cli_table *t, const msgpack_object *o, const char *key)
{
	struct span s = doc_str(o, key);

	cli_table_cell(t, "%.*s", (int)s.n, s.p ? (const char *)s.p : "");
}

static void
cell_num(struct cli_table *t, const msgpack_object *o, const char *key)
{
	cli_table_cell(t, "%" PRId64, doc_i64(o, key, 0));
}

static void
headings(struct cli_table *t, const char *const *names, unsigned n)
{
	cli_table_init(t, n);
	for (unsigned i = 0; i < n; i++)
		cli_table_cell(t, "%s", names[i]);
}

/* Calls row for every element of the array under `key` of the answer. */
static void
each(const struct env *e, const char *key, struct cli_table *t,
    void (*row)(struct cli_table *, const msgpack_object *))
{
	const msgpack_object *list;
	struct doc d;

	if (doc_parse(&d, e->body) == 0) {
		list = doc_get(&d.root, key);
		for (uint32_t i = 0;
		     list && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size; i++)
			row(t, &list->via.array.ptr[i]);
	}
	cli_table_print(t);
	doc_fini(&d);
}

static void
service_row(struct cli_table *t, const msgpack_object *o)
{
	const msgpack_object *desc = doc_get(o, "desc");

	cell_str(t, desc, "name");
	cell_str(t, desc, "version");
	cell_str(t, o, "kind");
	cell_str(t, o, "pattern");
	cell_str(t, o, "group");
	cell_num(t, o, "workers");
}

static void
print_services(struct cli *c, const struct env *e)
{
	static const char *const names[] = {
	    "NAME", "VERSION", "KIND", "PATTERN", "GROUP", "WORKERS"};
	struct cli_table t;

	(void)c;
	headings(&t, names, 6);
	each(e, "services", &t, service_row);
}

static void
group_row(struct cli_table *t, const msgpack_object *o)
{
	cell_str(t, o, "group");
	cell_str(t, o, "pattern");
	cell_str(t, o, "state");
	cell_num(t, o, "owed");
	cell_num(t, o, "inFlight");
	cell_num(t, o, "workers");
	cli_table_cell(t, "%.1f", (double)doc_i64(o, "oldestMs", 0) / 1000);
	cell_num(t, o, "acked");
	cell_num(t, o, "redelivered");
	cell_num(t, o, "dead");
	cell_num(t, o, "dropped");
}

static void
print_groups(struct cli *c, const struct env *e)
{
	static const char *const names[] = {"GROUP", "PATTERN", "STATE", "OWED", "IN-FLIGHT",
	    "WORKERS", "OLDEST-S", "ACKED", "REDELIVERED", "DEAD", "DROPPED"};
	struct cli_table t;

	(void)c;
	headings(&t, names, 11);
	each(e, "groups", &t, group_row);
}

static void
peer_row(struct cli_table *t, const msgpack_object *o)
{
	cell_num(t, o, "session");
	cell_str(t, o, "identity");
	cell_num(t, o, "subs");
	cell_num(t, o, "inFlight");
	cell_num(t, o, "bytes");
	cli_table_cell(t, "%.1f", (double)(clock_real_ms() - doc_i64(o, "sinceMs", 0)) / 1000);
	cell_num(t, o, "lastMs");
}

static void
print_peers(struct cli *c, const struct env *e)
{
	static const char *const names[] = {
	    "SESSION", "IDENTITY", "SUBS", "IN-FLIGHT", "BYTES", "SINCE-S", "LAST-MS"};
	struct cli_table t;

	(void)c;
	headings(&t, names, 7);
	each(e, "peers", &t, peer_row);
}

/* Nested maps as dotted names, one figure a line. */
static void
stat_rows(struct cli_table *t, const char *prefix, const msgpack_object *o)
{
	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
		const msgpack_object *v = &o->via.map.ptr[i].val;
		struct span k = doc_span(&o->via.map.ptr[i].key), s = doc_span(v);
		char name[256];

		snprintf(name, sizeof name, "%s%s%.*s", prefix, prefix[0] ? "." : "", (int)k.n,
		    (const char *)k.p);
		if (v->type == MSGPACK_OBJECT_MAP) {
			stat_rows(t, name, v);
			continue;
		}
		if (v->type != MSGPACK_OBJECT_STR && v->type != MSGPACK_OBJECT_POSITIVE_INTEGER &&
		    v->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
			continue;
		cli_table_cell(t, "%s", name);
		if (v->type == MSGPACK_OBJECT_STR) {
			cli_table_cell(t, "%.*s", (int)s.n, (const char *)s.p);
		} else {
			cli_table_cell(t, "%" PRId64, v->via.i64);
		}
	}
}

static void
print_stats(struct cli *c, const struct env *e)
{
	struct cli_table t;
	struct doc d;

	(void)c;
	cli_table_init(&t, 2);
	if (doc_parse(&d, e->body) == 0)
		stat_rows(&t, "", &d.root);
	cli_table_print(&t);
	doc_fini(&d);
}

static int
run_services(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ask(c, "sys.services", print_services);
}

static int
run_groups(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ask(c, "sys.groups", print_groups);
}

static int
run_peers(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ask(c, "sys.peers", print_peers);
}

static int
run_stats(struct cli *c, int argc, char **argv)
{
	char topic[LIMIT_TOPIC + 1];
	int code;

	snprintf(
	    topic, sizeof topic, argc > 0 ? "sys.stats.%s" : "sys.stats", argc > 0 ? argv[0] : "");
	code = ask(c, topic, print_stats);
	if (code == CLI_NOT_FOUND) {
		fprintf(stderr, "taxi: no process is called '%s'; `taxi services` lists them\n",
		    argv[0]);
	}
	return code;
}

const struct cli_command cli_services = {
    .name = "services",
    .operands = "",
    .about = "Who is subscribed to what: services, groups and live tails",
    .help = "  taxi services\n  taxi services -o json | jq '.services[].desc.name'\n",
    .run = run_services,
};

const struct cli_command cli_groups = {
    .name = "groups",
    .operands = "",
    .about = "Every durable group: what it is owed, what is in flight, who works",
    .help =
	"OWED counts envelopes not yet acknowledged, OLDEST-S is the age of the oldest of them.\n\n"
	"  taxi groups\n  taxi groups -o json | jq '.groups[] | select(.owed > 0)'\n",
    .run = run_groups,
};

const struct cli_command cli_peers = {
    .name = "peers",
    .operands = "",
    .about = "Every connection the broker knows",
    .help = "  taxi peers\n",
    .run = run_peers,
};

const struct cli_command cli_stats = {
    .name = "stats",
    .operands = "[NAME]",
    .about = "Counters of the broker, or of one process by name",
    .help = "  taxi stats\n  taxi stats control-tower\n",
    .max_operands = 1,
    .run = run_stats,
};
