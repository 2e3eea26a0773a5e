#include "services/data-gateway/groups.h"

#include "proto/doc.h"
#include "proto/json.h"
#include "proto/limits.h"

static const char prefix[] = "pusher-";

/* By hand, or by one of its limits: "paused-idle", "paused-owed". */
static bool
is_paused(struct span state)
{
	return state.n >= 6 && memcmp(state.p, "paused", 6) == 0;
}

static void
put_destination(struct groups *g, const msgpack_object *o, struct span name)
{
	struct buf *out = &g->destinations;

	buf_putc(out, out->n > 1 ? ',' : ' ');
	buf_puts(out, "{\"name\":");
	json_put_str(out, name);
	buf_printf(out, ",\"start\":%lld,\"floor\":%lld,\"paused\":%s,\"dropped\":%lld}",
	    (long long)doc_i64(o, "from", 0), (long long)doc_i64(o, "floor", 0),
	    is_paused(doc_str(o, "state")) ? "true" : "false", (long long)doc_i64(o, "dropped", 0));
}

static void
read_group(struct groups *g, const msgpack_object *o, bool *deliveries, bool *dead)
{
	struct span name = doc_str(o, "group");
	uint64_t floor = (uint64_t)doc_i64(o, "floor", 0);
	const size_t skip = sizeof prefix - 1;

	if (span_is(name, "data-gateway.receipts")) {
		g->has_recorder = true;
		g->recorded_to = floor;
	} else if (span_is(name, "data-gateway.deliveries")) {
		*deliveries = floor >= g->head;
	} else if (span_is(name, "data-gateway.dead")) {
		*dead = floor >= g->head;
	} else if (span_is(doc_str(o, "pattern"), "rows.in") && name.n > skip &&
		   memcmp(name.p, prefix, skip) == 0) {
		put_destination(g, o, span_of(name.p + skip, name.n - skip));
	}
}

int
groups_read(struct groups *g, struct span body)
{
	const msgpack_object *all;
	bool deliveries = false, dead = false;
	struct doc d;
	int bad = -1;

	*g = (struct groups){.head = 0};
	buf_init(&g->destinations, LIMIT_FRAME);
	buf_putc(&g->destinations, '[');
	if (doc_parse(&d, body) == 0 && doc_i64(&d.root, "head", -1) >= 0 &&
	    (all = doc_get(&d.root, "groups")) != NULL && all->type == MSGPACK_OBJECT_ARRAY) {
		g->head = (uint64_t)doc_i64(&d.root, "head", 0);
		for (uint32_t i = 0; i < all->via.array.size; i++)
			read_group(g, &all->via.array.ptr[i], &deliveries, &dead);
		bad = 0;
	}
	buf_putc(&g->destinations, ']');
	g->reported = deliveries && dead;
	doc_fini(&d);
	return bad;
}

void
groups_fini(struct groups *g)
{
	buf_fini(&g->destinations);
}
