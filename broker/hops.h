#ifndef BROKER_HOPS_H
#define BROKER_HOPS_H
/* What the broker's files tell the trace. */
#include "broker/broker.h"
#include "broker/trace.h"

/* A record at a group's worker; `reason` {NULL,0}: none. */
static inline void
hops_rec(struct broker *b, enum trace_what what, const struct rec *r, uint16_t group,
    uint64_t session, uint64_t try_no, struct span reason)
{
	struct trace_hop *h = trace_next(b->trace);

	if (h == NULL)
		return;
	h->at_ms = broker_real(b);
	memcpy(h->id, r->id, 16);
	memcpy(h->root, r->root.p, 16);
	h->seq = r->seq;
	h->session = session;
	h->try_no = try_no;
	h->group = group;
	h->what = (uint8_t)what;
	trace_text(h, reason);
}

/* A request, or an ephemeral envelope.  `root` {NULL,0}: that of the other hops of this id. */
static inline void
hops_id(struct broker *b, enum trace_what what, const uint8_t id[16], struct span root,
    uint64_t session, struct span text)
{
	struct trace_hop *h = trace_next(b->trace);

	if (h == NULL)
		return;
	memset(h, 0, offsetof(struct trace_hop, text));
	h->at_ms = broker_real(b);
	memcpy(h->id, id, 16);
	if (root.p != NULL)
		memcpy(h->root, root.p, 16);
	h->session = session;
	h->what = (uint8_t)what;
	trace_text(h, text);
}

#endif
