#include "broker/levels.h"

#include "base/log.h"

static void
watch(bool *warned, const char *what, size_t bytes, size_t limit)
{
	if (!*warned && bytes > limit / 2) {
		*warned = true;
		log_warn(
		    "half_full", LOG_S("what", what), LOG_U("bytes", bytes), LOG_U("limit", limit));
	} else if (*warned && bytes < limit / 4) {
		*warned = false;
		log_info("half_full_over", LOG_S("what", what), LOG_U("bytes", bytes),
		    LOG_U("limit", limit));
	}
}

void
levels_tick(struct broker *b)
{
	size_t half = b->conf.max_bytes / 2;
	struct route_stats rs;

	route_stats(b->route, &rs);
	watch(&b->warned_committing, "committing", journal_queued_bytes(b->journal), half);
	watch(&b->warned_requests, "requests", rs.bytes, half);
	watch(&b->warned_records, "records", b->recs.bytes, b->conf.max_bytes);
	if (journal_failed(b->journal) && !b->warned_store) {
		b->warned_store = true;
		log_error("store_failed",
		    LOG_S("effect",
			"nothing is published, acked or changed until the broker is restarted"));
	}
}
