/* What must survive a restart, as one msgpack array:
 *
 *	[2, clean, floor, high, owed, counted, suspect, [seq - seq before, what, …],
 *	 received, acked, dead, dropped, mark]
 *
 * `what` is fails * 2 + delivered.  Every seq <= floor is done; so is every seq < high that is not
 * in the list; all from high on is owed.  A seq <= suspect may have been delivered without our
 * knowing.  owed < 0: to be counted. */
#include "broker/group_impl.h"

#include <stdlib.h>

#include "base/die.h"
#include "proto/mp.h"

enum {
	STATE_VERSION = 2,
	STATE_FIELDS = 13,
	STATE_FIELDS_1 = 8,
	STATE_ELEMENTS = 64 * 1024 * 1024
};

uint64_t
group_floor(const struct group *g, uint64_t head)
{
	const struct entry *e = LIST_FIRST(&g->all, struct entry, all);
	uint64_t next = g->live ? head + 1 : g->read;

	if (e != NULL && e->seq < next)
		next = e->seq;
	if (g->iknown < g->nknown && g->known[g->iknown].seq < next)
		next = g->known[g->iknown].seq;
	return next - 1;
}

static void
put_pending(struct buf *out, uint64_t *before, uint64_t seq, uint64_t fails, bool delivered)
{
	mp_put_u64(out, seq - *before);
	mp_put_u64(out, fails * 2 + (delivered ? 1 : 0));
	*before = seq;
}

void
group_encode(const struct group *g, uint64_t head, bool clean, struct buf *out)
{
	uint64_t floor = group_floor(g, head), high = g->high > floor ? g->high : floor + 1,
		 before = 0;
	const struct entry *e;
	size_t n = g->nknown - g->iknown;

	LIST_EACH (e, &g->all, struct entry, all)
		n += e->seq < high ? 1 : 0;
	mp_put_array(out, STATE_FIELDS);
	mp_put_u64(out, STATE_VERSION);
	mp_put_bool(out, clean);
	mp_put_u64(out, floor);
	mp_put_u64(out, high);
	mp_put_i64(out, g->counting ? -1 : g->owed);
	mp_put_u64(out, head);
	mp_put_u64(out, g->suspect);
	mp_put_array(out, n * 2);
	LIST_EACH (e, &g->all, struct entry, all)
		if (e->seq < high)
			put_pending(out, &before, e->seq, e->fails, e->delivered);
	for (size_t i = g->iknown; i < g->nknown; i++) {
		put_pending(
		    out, &before, g->known[i].seq, g->known[i].fails, g->known[i].delivered);
	}
	mp_put_u64(out, g->received);
	mp_put_u64(out, g->acked);
	mp_put_u64(out, g->dead);
	mp_put_u64(out, g->dropped);
	mp_put_u64(out, g->mark);
}

static int
read_pending(struct group *g, struct mp_r *r, uint64_t floor)
{
	unsigned n = mp_array(r);
	uint64_t seq = 0;

	if (r->bad || n % 2 != 0)
		return -1;
	free(g->known);
	g->iknown = g->nknown = 0;
	g->known = xcalloc(n / 2 + 1, sizeof(*g->known));
	for (unsigned i = 0; i < n / 2; i++) {
		uint64_t delta = mp_u64(r, INT64_MAX), what = mp_u64(r, UINT32_MAX);

		seq += delta;
		if (r->bad || delta == 0 || seq <= floor || seq >= g->high)
			return -1;
		g->known[g->nknown++] = (struct known){seq, (uint32_t)(what / 2), what % 2 != 0};
	}
	return 0;
}

static void
read_totals(struct group *g, struct mp_r *r)
{
	g->received = mp_u64(r, INT64_MAX);
	g->acked = mp_u64(r, INT64_MAX);
	g->dead = mp_u64(r, INT64_MAX);
	g->dropped = mp_u64(r, INT64_MAX);
	g->mark = mp_u64(r, INT64_MAX);
}

int
group_restore(struct group *g, struct span state, uint64_t head)
{
	uint64_t floor, high, counted, suspect;
	struct mp_r r;
	int64_t owed;
	bool clean;
	unsigned n;

	if (state.n == 0) {
		g->suspect = head;
		return 0;
	}
	if (mp_scan(state, 3, STATE_ELEMENTS) != state.n)
		return -1;
	mp_r_init(&r, state);
	n = mp_array(&r);
	if (mp_u64(&r, UINT32_MAX) != (n == STATE_FIELDS_1 ? 1 : STATE_VERSION) ||
	    (n != STATE_FIELDS_1 && n != STATE_FIELDS))
		return -1;
	clean = mp_bool(&r);
	floor = mp_u64(&r, INT64_MAX);
	high = mp_u64(&r, INT64_MAX);
	owed = mp_i64(&r);
	counted = mp_u64(&r, INT64_MAX);
	suspect = mp_u64(&r, INT64_MAX);
	if (r.bad || high <= floor)
		return -1;
	g->high = high;
	if (read_pending(g, &r, floor) != 0)
		return -1;
	if (n == STATE_FIELDS)
		read_totals(g, &r);
	if (!mp_done(&r))
		return -1;
	g->known_high = high;
	g->read = floor + 1;
	g->owed = owed >= 0 ? owed : (int64_t)g->nknown;
	/* So it is in a state of ours, but for one that was being counted, or was written before
	 * there were totals. */
	g->received = g->acked + g->dead + g->dropped + (uint64_t)g->owed;
	g->counted = owed >= 0 ? counted : high - 1;
	g->suspect = clean ? suspect : head;
	return 0;
}

void
group_counting(struct group *g, bool counting)
{
	g->counting = counting;
}

bool
group_settle(struct group *g)
{
	if (HASH_COUNT(g->entries) > 0 || g->iknown < g->nknown || g->owed == 0)
		return false;
	if (g->owed > 0) {
		g->dropped += (uint64_t)g->owed;
	} else {
		g->received += (uint64_t)-g->owed;
	}
	g->owed = 0;
	g->dirty = true;
	return true;
}

void
group_set_mark(struct group *g, uint64_t mark)
{
	g->mark = mark;
}

uint64_t
group_mark(const struct group *g)
{
	return g->mark;
}

bool
group_is_idle(const struct group *g)
{
	return g->workers == 0 && g->nclosing == 0 && g->count[ENTRY_FLIGHT] == 0;
}

uint64_t
group_counted(const struct group *g)
{
	return g->counted;
}

int64_t
group_owed(const struct group *g)
{
	return g->owed;
}

bool
group_is_dirty(const struct group *g)
{
	return g->dirty;
}

bool
group_take_dirty(struct group *g)
{
	bool dirty = g->dirty;

	g->dirty = false;
	return dirty;
}

void
group_stats(const struct group *g, uint64_t head, struct group_stats *s)
{
	const struct entry *oldest = LIST_FIRST(&g->all, struct entry, all);
	size_t n = g->count[ENTRY_WAIT] + g->count[ENTRY_READY] + g->count[ENTRY_STALLED] +
		   g->count[ENTRY_DELAY];

	*s = (struct group_stats){
	    .floor = group_floor(g, head),
	    .owed = g->owed,
	    .in_flight = g->count[ENTRY_FLIGHT],
	    .ahead = n,
	    .ahead_bytes = g->ahead_bytes,
	    .oldest_ms = oldest ? oldest->at_ms : 0,
	    .workers = g->workers,
	    .closing = g->nclosing,
	    .blocked = !g->conf.paused && !list_empty(&g->open) && g->count[ENTRY_READY] == 0 &&
		       (n >= GROUP_AHEAD_RECORDS || g->ahead_bytes >= GROUP_AHEAD_BYTES),
	    .delivered = g->delivered,
	    .received = g->received,
	    .acked = g->acked,
	    .redelivered = g->redelivered,
	    .dead = g->dead,
	    .dropped = g->dropped,
	    .stale = g->stale,
	};
}
