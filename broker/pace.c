#include "broker/pace.h"

#include "broker/broker.h"

/* Does a peer other than p wait for single commits? */
static bool
has_light(const struct broker *b, const struct peer *p, int64_t now)
{
	for (unsigned i = 0; i < 2; i++) {
		if (b->light[i].session != p->session && b->light[i].until_ms > now)
			return true;
	}
	return false;
}

static void
note_light(struct broker *b, const struct peer *p, int64_t now)
{
	if (b->light[0].session != p->session) {
		b->light[1] = b->light[0];
		b->light[0].session = p->session;
	}
	b->light[0].until_ms = now + PACE_LIGHT_MS;
}

static bool
may_go(const struct broker *b, const struct peer *p, const struct pace_item *it)
{
	if (p->paced_records == 0)
		return true;
	if (p->paced_records + it->records <= PACE_RECORDS &&
	    p->paced_bytes + it->bytes <= PACE_BYTES)
		return true;
	return !has_light(b, p, broker_now(b));
}

static void
go(struct broker *b, struct peer *p, struct pace_item *it)
{
	p->paced_records += it->records;
	p->paced_bytes += it->bytes;
	it->go(b, it);
}

void
pace_add(struct broker *b, struct peer *p, struct pace_item *it)
{
	if (p->paced_records == 0)
		note_light(b, p, broker_now(b));
	if (list_empty(&p->held) && may_go(b, p, it)) {
		go(b, p, it);
	} else {
		list_push_back(&p->held, &it->node);
		b->held++;
		b->held_bytes += it->bytes;
	}
}

static void
release(struct broker *b, struct peer *p, bool all)
{
	struct pace_item *it;

	while ((it = LIST_FIRST(&p->held, struct pace_item, node)) != NULL &&
	       (all || (!b->ending && may_go(b, p, it)))) {
		list_remove(&it->node);
		b->held--;
		b->held_bytes -= it->bytes;
		go(b, p, it);
	}
}

void
pace_done(struct broker *b, struct peer *p, unsigned records, size_t bytes)
{
	p->paced_records -= records;
	p->paced_bytes -= bytes;
	release(b, p, false);
}

void
pace_end(struct broker *b, struct peer *p)
{
	release(b, p, true);
}
