#include "edge-http/scrape_text.h"

#include <inttypes.h>

#include "base/str.h"
#include "edge-http/metrics.h"
#include "proto/topic.h"

enum { PLACE_MAX = 200, DEPTH_MAX = 6 };

static bool
put_number(const msgpack_object *o, struct buf *out)
{
	switch (o->type) {
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		buf_printf(out, " %" PRIu64 "\n", o->via.u64);
		return true;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		buf_printf(out, " %" PRId64 "\n", o->via.i64);
		return true;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: buf_printf(out, " %.17g\n", o->via.f64); return true;
	case MSGPACK_OBJECT_BOOLEAN: buf_puts(out, o->via.boolean ? " 1\n" : " 0\n"); return true;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_STR:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP: break;
	}
	return false;
}

static bool
is_number(const msgpack_object *o)
{
	switch (o->type) {
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
	case MSGPACK_OBJECT_BOOLEAN: return true;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_STR:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP: break;
	}
	return false;
}

/* name{label="key"} value for each number of a map. */
static void
put_map(const msgpack_object *map, const char *name, const char *label, struct buf *out)
{
	if (map == NULL || map->type != MSGPACK_OBJECT_MAP)
		return;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];

		if (!is_number(&kv->val))
			continue;
		buf_printf(out, "%s{", name);
		metrics_label(out, label, doc_span(&kv->key));
		buf_putc(out, '}');
		(void)put_number(&kv->val, out);
	}
}

/* {le:{"100":n,…}, sum} in microseconds, each n without those before it; the last has no bound. */
static void
put_histogram(const msgpack_object *h, const char *name, const char *help, struct buf *out)
{
	const msgpack_object *le = doc_get(h, "le");
	uint64_t below = 0;

	if (le == NULL || le->type != MSGPACK_OBJECT_MAP)
		return;
	metrics_head(out, name, "histogram", help);
	for (uint32_t i = 0; i < le->via.map.size; i++) {
		const msgpack_object_kv *kv = &le->via.map.ptr[i];
		int64_t us;

		if (kv->val.type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			continue;
		below += kv->val.via.u64;
		if (str_i64(doc_span(&kv->key), 0, INT64_MAX, &us) == 0) {
			buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
			    (double)us / 1e6, below);
		}
	}
	buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n",
	    name, below, name, (double)doc_i64(h, "sum", 0) / 1e6, name, below);
}

void
scrape_text_broker(const msgpack_object *stats, struct buf *out)
{
	metrics_head(out, "taxiway_broker_up", "gauge", "the broker answered sys.stats");
	buf_printf(out, "taxiway_broker_up %d\n", stats != NULL);
	if (stats == NULL)
		return;
	metrics_head(out, "taxiway_broker_head", "counter", "last position in the journal");
	buf_printf(out, "taxiway_broker_head %" PRId64 "\n", doc_i64(stats, "head", 0));
	metrics_head(out, "taxiway_broker_total", "counter", "what the broker counts");
	put_map(doc_get(stats, "counters"), "taxiway_broker_total", "what", out);
	metrics_head(out, "taxiway_broker_drops_total", "counter", "envelopes dropped, by reason");
	put_map(doc_get(stats, "drops"), "taxiway_broker_drops_total", "reason", out);
	metrics_head(out, "taxiway_broker_dead_total", "counter",
	    "dead letters written, by what they died of");
	put_map(doc_get(stats, "dead"), "taxiway_broker_dead_total", "reason", out);
	metrics_head(out, "taxiway_broker_bytes", "gauge", "bytes the broker holds or moved");
	put_map(doc_get(stats, "bytes"), "taxiway_broker_bytes", "what", out);
	metrics_head(out, "taxiway_broker_errors_total", "counter", "requests refused, by code");
	put_map(doc_get(stats, "errors"), "taxiway_broker_errors_total", "code", out);
	put_histogram(doc_get(doc_get(stats, "latency"), "fsyncUs"),
	    "taxiway_journal_commit_seconds",
	    "from the first write of a commit to the end of its fsync", out);
}

static const struct {
	const char *key, *name, *type, *help;
	double scale;
} GROUP[] = {
    {"owed", "taxiway_group_owed", "gauge", "envelopes a group has not acknowledged", 1},
    {"inFlight", "taxiway_group_in_flight", "gauge", "envelopes at its workers", 1},
    {"oldestMs", "taxiway_group_oldest_seconds", "gauge", "age of the oldest it owes", 1000},
    {"workers", "taxiway_group_workers", "gauge", "its live workers", 1},
    {"acked", "taxiway_group_acked_total", "counter", "envelopes acknowledged", 1},
    {"redelivered", "taxiway_group_redelivered_total", "counter", "deliveries beyond the first", 1},
    {"dead", "taxiway_group_dead_total", "counter", "envelopes given up on", 1},
    {"dropped", "taxiway_group_dropped_total", "counter", "envelopes dropped", 1},
};

void
scrape_text_groups(const msgpack_object *answer, struct buf *out)
{
	const msgpack_object *list = doc_get(answer, "groups");

	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY)
		return;
	for (size_t k = 0; k < sizeof GROUP / sizeof GROUP[0]; k++) {
		metrics_head(out, GROUP[k].name, GROUP[k].type, GROUP[k].help);
		for (uint32_t i = 0; i < list->via.array.size; i++) {
			const msgpack_object *g = &list->via.array.ptr[i];
			int64_t v = doc_i64(g, GROUP[k].key, -1);

			if (v < 0)
				continue;
			buf_printf(out, "%s{", GROUP[k].name);
			metrics_label(out, "group", doc_str(g, "group"));
			if (GROUP[k].scale > 1) {
				buf_printf(out, "} %.3f\n", (double)v / GROUP[k].scale);
			} else {
				buf_printf(out, "} %" PRId64 "\n", v);
			}
		}
	}
}

void
scrape_text_process_head(struct buf *out)
{
	metrics_head(out, "taxiway_stat", "untyped",
	    "what a process says of itself in sys.stats.<name>.<pid>");
}

static void
put_tree(struct span topic, const msgpack_object *o, struct buf *place, struct buf *out, int depth)
{
	if (is_number(o)) {
		buf_puts(out, "taxiway_stat{");
		metrics_label(out, "process", topic_token(topic, 2));
		buf_putc(out, ',');
		metrics_label(out, "pid", topic_token(topic, 3));
		buf_putc(out, ',');
		metrics_label(out, "stat", buf_span(place));
		buf_putc(out, '}');
		(void)put_number(o, out);
		return;
	}
	if (o->type != MSGPACK_OBJECT_MAP || depth == DEPTH_MAX)
		return;
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		struct span key = doc_span(&o->via.map.ptr[i].key);
		size_t n = place->n;

		if (n > 0)
			buf_putc(place, '.');
		buf_put(place, key.p, key.n);
		if (!place->failed)
			put_tree(topic, &o->via.map.ptr[i].val, place, out, depth + 1);
		place->failed = false;
		place->n = n;
	}
}

void
scrape_text_process(struct span topic, const msgpack_object *stats, struct buf *out)
{
	struct buf place;

	buf_init(&place, PLACE_MAX);
	put_tree(topic, stats, &place, out, 0);
	buf_fini(&place);
}
