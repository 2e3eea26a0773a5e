/* One request under way: its id, its place, its end. */
#include "broker/route_impl.h"

#include <stdlib.h>

#include "base/die.h"

#define NO_SLOT ROUTE_NO_SLOT

static void
take_slot(struct route *r, struct flight *f)
{
	struct slot *s;

	if (r->free_slot == NO_SLOT) {
		uint32_t n = r->nslots ? r->nslots * 2 : 64;

		r->slots = xrealloc(r->slots, n * sizeof(*r->slots));
		for (uint32_t i = r->nslots; i < n; i++)
			r->slots[i] = (struct slot){.next_free = i + 1 < n ? i + 1 : NO_SLOT};
		r->free_slot = r->nslots;
		r->nslots = n;
	}
	f->slot = r->free_slot;
	s = &r->slots[f->slot];
	r->free_slot = s->next_free;
	s->f = f;
	f->generation = ++s->generation;
}

static void
give_slot(struct route *r, struct flight *f)
{
	struct slot *s = &r->slots[f->slot];

	s->f = NULL;
	s->next_free = r->free_slot;
	r->free_slot = f->slot;
}

void
route_flight_id(const struct route *r, const struct flight *f, uint8_t id[16])
{
	memcpy(id, &r->salt, 8);
	memcpy(id + 8, &f->generation, 4);
	memcpy(id + 12, &f->slot, 4);
}

struct flight *
route_flight_by_id(const struct route *r, const uint8_t id[16])
{
	uint32_t generation, slot;

	if (memcmp(id, &r->salt, 8) != 0)
		return NULL;
	memcpy(&generation, id + 8, 4);
	memcpy(&slot, id + 12, 4);
	if (slot >= r->nslots || r->slots[slot].generation != generation)
		return NULL;
	return r->slots[slot].f;
}

struct flight *
/* NOLINTNEXTLINE(readability-function-size): uthash */
route_flight_by_client(const struct route *r, const struct route_peer *client, const uint8_t id[16])
{
	struct flight_key key = {.session = client->session};
	struct flight *f;

	memcpy(key.id, id, 16);
	HASH_FIND(hh, r->asked, &key, sizeof(key), f); /* NOLINT(clang-analyzer-*): uthash */
	return f;
}

/* ---- one flight ---- */

void
route_flight_arm(struct route *r, struct flight *f, int64_t deadline)
{
	f->deadline = deadline;
	timer_set(&r->deadlines, &f->timer, deadline);
}

/* The client has, or is about to have, its end: what is left is at most a ghost. */
static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
part_from_client(struct route *r, struct flight *f)
{
	if (f->client == NULL)
		return;
	HASH_DEL(r->asked, f);
	list_remove(&f->by_peer);
	timer_clear(&r->deadlines, &f->timer);
	f->client->bytes -= f->bytes;
	r->bytes -= f->bytes;
	r->under_way--;
	f->client = NULL;
	free(f->copy);
	f->copy = NULL;
}

void
route_flight_lift(struct route *r, struct flight *f)
{
	struct route_member *m = f->member;

	list_remove(&f->place);
	if (f->state == FLIGHT_WAITS)
		r->waiting--;
	if (f->state == FLIGHT_GHOST)
		r->nghosts--;
	f->pool = NULL;
	f->member = NULL;
	if (m == NULL)
		return;
	m->n--;
	m->bytes -= f->bytes;
	m->peer->serving--;
	route_pool_refile(m);
}

void
route_flight_free(struct route *r, struct flight *f)
{
	part_from_client(r, f);
	route_flight_lift(r, f);
	give_slot(r, f);
	free(f->copy);
	pool_put(&r->spare, f);
}

void
route_flight_ghost(struct route *r, struct flight *f)
{
	part_from_client(r, f);
	f->state = FLIGHT_GHOST;
	r->nghosts++;
	r->count.ghosts++;
}

/* Tell the client, and be done with it as far as the client goes. */
void
route_flight_fail(struct route *r, struct flight *f, enum err code, const char *why)
{
	struct route_peer *client = f->client;
	uint8_t id[16];

	memcpy(id, f->key.id, 16);
	if (f->state == FLIGHT_SENT) {
		route_flight_ghost(r, f);
	} else {
		route_flight_free(r, f);
	}
	r->count.failed++;
	r->ops.fail(r->ops.arg, client, id, code, why);
}

void
route_flight_send(
    struct route *r, struct flight *f, struct route_member *m, struct span frame, int64_t now)
{
	struct route_send s = {.client = f->client,
	    .frame = frame,
	    .topic = span_of(frame.p + f->topic_at, f->ntopic),
	    .left = f->deadline > now ? f->deadline - now : 1,
	    .again = f->resent};

	f->state = FLIGHT_SENT;
	f->member = m;
	list_push_back(&m->flights, &f->place);
	m->n++;
	m->bytes += f->bytes;
	m->peer->serving++;
	route_pool_refile(m);
	route_flight_id(r, f, s.id);
	r->ops.send(r->ops.arg, m->peer, &s);
	if (!f->again && f->copy != NULL) {
		free(f->copy);
		f->copy = NULL;
	}
}

bool
route_flight_keep(struct flight *f, struct span frame)
{
	if (f->copy != NULL)
		return true;
	f->copy = malloc(frame.n);
	if (f->copy == NULL)
		return false;
	memcpy(f->copy, frame.p, frame.n);
	f->ncopy = frame.n;
	return true;
}

void
route_flight_wait(struct route *r, struct flight *f, struct route_pool *p, bool front)
{
	f->state = FLIGHT_WAITS;
	f->pool = p;
	r->waiting++;
	if (front) {
		list_push_front(&p->waiting, &f->place);
	} else {
		list_push_back(&p->waiting, &f->place);
	}
}

void
route_flight_park(struct route *r, struct flight *f)
{
	int64_t until = f->deadline;

	f->state = FLIGHT_WAITS;
	f->pool = NULL;
	r->waiting++;
	list_push_back(&r->homeless, &f->place);
	if (!f->resent && r->patient_until < until)
		until = r->patient_until;
	timer_set(&r->deadlines, &f->timer, until);
}

void
route_flight_pump(struct route *r, struct route_pool *p, int64_t now)
{
	struct flight *f;

	while ((f = LIST_FIRST(&p->waiting, struct flight, place)) != NULL) {
		struct route_member *m = route_pool_choose(p, f->bytes);

		if (m == NULL)
			return;
		route_flight_lift(r, f);
		route_flight_send(r, f, m, span_of(f->copy, f->ncopy), now);
	}
}

struct flight *
/* NOLINTNEXTLINE(readability-function-size): uthash */
route_flight_new(struct route *r, const struct route_req *q, int64_t now)
{
	struct flight *f = pool_get(&r->spare, sizeof(*f));

	memset(f, 0, sizeof(*f));
	list_init(&f->place);
	f->key.session = q->client->session;
	memcpy(f->key.id, q->id, 16);
	f->client = q->client;
	f->again = q->again;
	f->window = q->window;
	f->ttl = q->ttl;
	f->bytes = q->frame.n + sizeof(*f);
	f->topic_at = (size_t)(q->topic.p - q->frame.p);
	f->ntopic = q->topic.n;
	HASH_ADD(hh, r->asked, key, sizeof(f->key), f);
	list_push_back(&q->client->asked, &f->by_peer);
	q->client->bytes += f->bytes;
	r->bytes += f->bytes;
	r->under_way++;
	take_slot(r, f);
	route_flight_arm(r, f, now + q->ttl);
	return f;
}

void
route_flight_rename(struct route *r, struct flight *f)
{
	give_slot(r, f);
	take_slot(r, f);
}
