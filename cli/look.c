/* Commands that ask the broker how things are: services, peers, stats. */
#include <stdio.h>

#include "base/clock.h"
#include "cli/ask.h"
#include "cli/fields.h"
#include "cli/fmt.h"

static void
print_services(const struct cli_reply *r)
{
	const msgpack_object_array *list = cli_list(r, "services");
	struct table t;

	table_init(&t, "NAME VERSION KIND ~PATTERN ~GROUP IDENTITY >WORKERS");
	for (uint32_t i = 0; i < list->size; i++) {
		const msgpack_object *o = &list->ptr[i], *desc = doc_get(o, "desc");

		fields_cell_str(&t, desc, "name");
		fields_cell_str(&t, desc, "version");
		fields_cell_str(&t, o, "kind");
		fields_cell_str(&t, o, "pattern");
		fields_cell_str(&t, o, "group");
		fields_cell_str(&t, o, "identity");
		fields_cell_count(&t, o, "workers");
	}
	table_print(&t, "nobody is subscribed to anything");
}

static void
print_peers(const struct cli_reply *r)
{
	const msgpack_object_array *list = cli_list(r, "peers");
	int64_t now = clock_real_ms();
	struct table t;

	table_init(&t, ">SESSION ~IDENTITY >SUBS >IN-FLIGHT >BYTES >CONNECTED >SILENT");
	for (uint32_t i = 0; i < list->size; i++) {
		const msgpack_object *o = &list->ptr[i];
		int64_t bytes = doc_i64(o, "bytes", 0);

		fields_cell_count(&t, o, "session");
		fields_cell_str(&t, o, "identity");
		fields_cell_count(&t, o, "subs");
		fields_cell_count(&t, o, "inFlight");
		table_cell(&t, "%s", fmt_bytes(bytes > 0 ? (uint64_t)bytes : 0).s);
		table_cell(&t, "%s", fmt_age(now - doc_i64(o, "sinceMs", now)).s);
		table_cell(&t, "%s", fmt_age(doc_i64(o, "lastMs", 0)).s);
	}
	table_print(&t, NULL);
}

static void
print_fields(const struct cli_reply *r)
{
	fields_print(&r->doc.root);
}

static int
run_services(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ask_print(c, "sys.services", NULL, print_services);
}

static int
run_peers(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ask_print(c, "sys.peers", NULL, print_peers);
}

static int
run_stats(struct cli *c, int argc, char **argv)
{
	char topic[LIMIT_TOPIC + 1];
	int code;

	snprintf(
	    topic, sizeof topic, argc > 0 ? "sys.stats.%s" : "sys.stats", argc > 0 ? argv[0] : "");
	code = ask_print(c, topic, NULL, print_fields);
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
    .help = "  taxi services\n  taxi services -o json | jq '.services[].desc.name'\n\n"
	    "KIND is serve (answers requests), group (works on what is stored) or ephemeral "
	    "(watches).\n",
    .run = run_services,
    .section = CLI_LOOK,
    .json = "As sys.services answers: {services: [{pattern, kind, group?, desc, identity, workers, "
	    "live}], claims: [{path, name}]}.\n",
};

const struct cli_command cli_peers = {
    .name = "peers",
    .operands = "",
    .about = "Every connection the broker knows",
    .help = "  taxi peers\n\n"
	    "BYTES is what waits for the peer in the broker's memory, SILENT how long ago it was "
	    "heard.\n",
    .run = run_peers,
    .section = CLI_LOOK,
    .json = "As sys.peers answers: {peers: [{session, identity, subs, inFlight, bytes, sinceMs, "
	    "lastMs}]}.\n",
};

const struct cli_command cli_stats = {
    .name = "stats",
    .operands = "[NAME]",
    .about = "Counters of the broker, or of one process by name",
    .help = "  taxi stats\n  taxi stats control-tower\n  taxi stats control-tower.4711\n\n"
	    "A name alone is the least loaded process of that name; NAME.PID is one of them.\n",
    .max_operands = 1,
    .run = run_stats,
    .section = CLI_LOOK,
    .json = "As sys.stats answers: {name, version, epoch, uptimeMs, head, counters, drops, bytes, "
	    "latency, …}.\n",
};
