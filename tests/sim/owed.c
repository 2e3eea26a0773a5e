/* Groups as the broker's shell drives them. */
#include "tests/sim/sim.h"

#include <string.h>

static int
peer_of(const struct owed *g, const void *user)
{
	const struct seat *w = user;

	return (int)(w - g->seat);
}

/* ---- what a group decides ---- */

static void
on_deliver(void *arg, void *user, const struct group_item *it)
{
	struct owed *g = arg;

	sim_trace(g->s, "group %d: %d to peer %d, try %u%s", g->at, (int)it->seq, peer_of(g, user),
	    it->try_no, it->again ? ", again" : "");
	g->s->deliveries++;
	truth_delivered(g, peer_of(g, user), it);
}

static void
on_dead(void *arg, const struct group_item *it, enum group_death why, struct span reason)
{
	struct owed *g = arg;

	(void)why;
	sim_trace(g->s, "group %d: %d dies: %.*s", g->at, (int)it->seq, (int)reason.n,
	    (const char *)reason.p);
	truth_dying(g, it, reason);
}

static void
on_drop(void *arg, void *frame)
{
	struct owed *g = arg;
	struct fact *f = frame;

	if (--f->refs < 0)
		sim_wrong(g->s, "group %d: %d is let go twice", g->at, (int)(f - g->f));
}

static struct group *
core_new(struct owed *g, uint64_t next)
{
	struct group_ops ops = {.deliver = on_deliver, .dead = on_dead, .drop = on_drop, .arg = g};

	g->next = next;
	return group_new(&ops, &g->conf, next);
}

/* ---- feeding ---- */

static bool
offer(struct owed *g, uint64_t seq)
{
	static const char *const keys[] = {NULL, "a", "b", "ab"};
	const struct record *r = &g->s->disk.rec[seq];
	struct group_rec gr = {.seq = seq,
	    .at_ms = 1,
	    .exp_ms = r->exp,
	    .key = span_str(keys[r->key]),
	    .bytes = r->bytes,
	    .dead = g->f[seq].dead,
	    .frame = &g->f[seq]};

	g->f[seq].refs++;
	if (!group_offer(g->core, &gr)) {
		g->f[seq].refs--;
		return false;
	}
	if (g->f[seq].dead && g->f[seq].fate == OWED)
		g->f[seq].fate = DEAD;
	return true;
}

static bool
concerns(const struct owed *g, uint64_t seq)
{
	return pick_matches(g->pattern, g->s->disk.rec[seq].topic);
}

/* A page from the journal: a few records, or the end. */
static void
read_on(struct owed *g)
{
	struct sim *s = g->s;
	uint64_t rows = 1 + sim_rnd(s, 6);

	while (!group_is_live(g->core) && group_wants(g->core)) {
		uint64_t seq = group_read(g->core);

		seq = seq < s->disk.first ? s->disk.first : seq;
		while (seq <= s->head && !concerns(g, seq))
			seq++;
		if (seq > s->head) {
			group_seen(g->core, s->head + 1, true);
			return;
		}
		if (rows-- == 0)
			g->busy = true; /* the others had all the pages of this turn */
		if (rows == UINT64_MAX || !offer(g, seq))
			return;
	}
}

static void
count_page(struct owed *g)
{
	for (uint64_t n = sim_rnd(g->s, 20); n > 0 && g->count_at < g->count_to; n--) {
		uint64_t seq = ++g->count_at;

		if (seq >= g->s->disk.first && concerns(g, seq))
			group_commit(g->core, 1);
	}
	if (g->count_at == g->count_to)
		group_counting(g->core, false);
}

static void
count_from(struct owed *g, uint64_t from)
{
	g->count_at = from;
	g->count_to = g->s->head > from ? g->s->head : from;
	if (g->count_at != g->count_to)
		group_counting(g->core, true);
}

/* ---- saving ---- */

/* Until then the state does not tell of them. */
static bool
has_come_by_its_letters(const struct owed *g)
{
	for (uint64_t q = 1; q <= g->s->head; q++)
		if (g->f[q].dead && g->f[q].fate == OWED)
			return false;
	return true;
}

static void
save(struct owed *g, bool clean)
{
	struct op *op = disk_submit(g->s, OP_STATE);

	if (op == NULL)
		return;
	op->group = g->at;
	group_take_dirty(g->core);
	if (has_come_by_its_letters(g))
		group_set_mark(g->core, g->s->letters);
	op->mark = group_mark(g->core);
	op->sealed = g->sealed = clean || group_is_idle(g->core);
	group_encode(g->core, g->s->head, op->sealed, &op->blob);
	op->floor = group_floor(g->core, g->s->head);
	truth_remember(g, &op->mem);
	g->saving = true;
}

static void
bury(struct owed *g)
{
	for (uint64_t q = 1; q <= g->s->head; q++) {
		struct fact *f = &g->f[q];
		struct op *op;

		if (f->fate != DYING || !f->buried || f->letter)
			continue;
		op = disk_submit(g->s, OP_DEAD);
		if (op == NULL)
			return;
		op->group = g->at;
		op->seq = q;
		f->letter = true;
	}
}

void
owed_close(struct sim *s)
{
	for (int i = 0; i < GROUPS; i++)
		if (s->g[i].core != NULL && !s->g[i].deleting)
			save(&s->g[i], true);
}

/* ---- what the disk says ---- */

static bool
on_entry(void *arg, struct match_entry *e)
{
	struct sim *s = arg;
	struct owed *g = (void *)e;

	if (e->kind != MATCH_GROUP)
		return true;
	if (g->core == NULL)
		return true;
	truth_committed(g, s->head);
	group_commit(g->core, 1);
	if (group_is_live(g->core)) {
		g->busy = true;
		offer(g, s->head);
	}
	return true;
}

static void
forget(struct owed *g)
{
	match_del(g->s->match, &g->match);
	group_free(g->core);
	g->core = NULL;
	g->there = g->deleting = g->saving = g->sealed = g->unsealing = false;
	g->count_at = g->count_to = 0;
	memset(g->seat, 0, sizeof(g->seat));
	for (uint64_t q = 1; q <= RECORDS; q++)
		if (g->f[q].refs != 0)
			sim_wrong(g->s, "group %d: the frame of %d outlives it", g->at, (int)q);
}

static void
created(struct sim *s, const struct op *op)
{
	struct owed *g = &s->g[op->group];

	if (op->refused) {
		forget(g);
		return;
	}
	truth_begin(g);
	g->core = core_new(g, op->seq);
	g->saved_floor = op->seq - 1;
	for (uint64_t q = op->seq; q <= s->head; q++)
		truth_committed(g, q);
	if (op->seq > s->head) {
		group_seen(g->core, op->seq, true);
	} else {
		count_from(g, op->seq - 1);
	}
	sim_trace(s, "group %d: created, next %d", g->at, (int)op->seq);
}

static void
dead_done(struct owed *g, const struct op *op)
{
	struct fact *f = &g->f[op->seq];

	f->letter = false; /* refused: once more, later */
	if (op->refused)
		return;
	if (op->floor == UINT64_MAX)
		sim_wrong(g->s, "group %d: %d dies twice", g->at, (int)op->seq);
	g->s->letters = op->mark;
	f->fate = DEAD;
	group_dead_done(g->core, op->seq);
	g->busy = true;
}

void
owed_reaped(struct sim *s, struct op *op)
{
	struct owed *g = &s->g[op->group];

	if (op->kind == OP_PUT) {
		if (op->refused)
			return;
		s->head = op->seq;
		sim_trace(s, "disk: %d is %s, key %d, %zu bytes", (int)op->seq,
		    pick_topics[op->rec.topic], op->rec.key, op->rec.bytes);
		pick_check(s, op->rec.topic);
		match_each(s->match, span_str(pick_topics[op->rec.topic]), on_entry, s);
	} else if (op->kind == OP_GROUP) {
		created(s, op);
	} else if (op->kind == OP_GROUP_DEL) {
		forget(g);
	} else if (op->kind == OP_STATE && g->core != NULL) {
		g->saving = false;
		g->saved_floor = op->floor;
		if (!op->sealed) {
			g->unsealing = false;
			g->busy = true;
		}
	} else if (op->kind == OP_DEAD && g->core != NULL) {
		dead_done(g, op);
	}
}

/* ---- events ---- */

static void
publish(struct sim *s)
{
	unsigned puts = 0;
	struct op *op;

	for (unsigned i = 0; i < s->disk.n; i++)
		puts += s->disk.q[i].kind == OP_PUT ? 1 : 0;
	if (s->disk.head + puts == RECORDS || (op = disk_submit(s, OP_PUT)) == NULL)
		return;
	op->rec.topic = (int)sim_rnd(s, TOPICS);
	op->rec.key = sim_one_in(s, 3) ? 0 : (int)sim_rnd(s, 4);
	op->rec.bytes = sim_one_in(s, 20) ? 900 : 1 + sim_rnd(s, 100);
	op->rec.exp = sim_one_in(s, 15) ? s->real + (int64_t)sim_rnd(s, 4000) : 0;
}

static bool
is_held_by(const struct owed *g, uint64_t seq, uint64_t session)
{
	return g->f[seq].holder >= 0 && g->s->session[g->f[seq].holder] == session;
}

static void
ack(struct owed *g, uint64_t seq, uint64_t session)
{
	bool want = g->f[seq].fate == OWED && truth_was_handed(g, seq, session), took;

	if (want) {
		truth_acked(g, seq);
	} else {
		g->life.stale++;
	}
	took = group_ack(g->core, session, seq);
	if (took != want)
		sim_wrong(g->s, "group %d: ACK of %d: %s", g->at, (int)seq,
		    took ? "a stale one was taken" : "a good one was not");
}

static void
verdict(struct owed *g, uint64_t seq, uint64_t session, uint64_t what)
{
	struct sim *s = g->s;
	struct fact *f = &g->f[seq];
	struct group_verdict v = {.seq = seq,
	    .try_no = sim_one_in(s, 10) ? sim_rnd(s, 4) : f->fails + 1,
	    .ms = what != 1 && sim_one_in(s, 2) ? -1 : (int64_t)sim_rnd(s, 3000),
	    .untried = what == 0 && sim_one_in(s, 4)};
	bool want = f->fate == OWED && is_held_by(g, seq, session) && v.try_no == f->fails + 1,
	     took;

	g->life.stale += want ? 0 : 1;
	if (what == 0) {
		if (want)
			(v.untried ? truth_untried : truth_failed)(g, seq, v.ms);
		took = group_nak(g->core, session, &v, s->now);
	} else if (what == 1) {
		if (want)
			f->deadline = s->now + v.ms;
		took = group_extend(g->core, session, &v, s->now);
	} else {
		if (want)
			truth_rejected(g, seq);
		took = group_reject(g->core, session, &v);
	}
	if (took != want)
		sim_wrong(s, "group %d: %s of %d: %s", g->at,
		    what == 0   ? "NAK"
		    : what == 1 ? "EXTEND"
				: "REJECT",
		    (int)seq, took ? "a stale one was taken" : "a good one was not");
}

static void
say(struct owed *g)
{
	struct sim *s = g->s;
	uint64_t seq, session, what = sim_rnd(s, 10);

	if (s->head == 0)
		return;
	seq = 1 + sim_rnd(s, s->head);
	for (int i = 0; i < 6 && g->f[seq].holder < 0; i++)
		seq = 1 + sim_rnd(s, s->head);
	session = 1 + sim_rnd(s, s->sessions);
	if (g->f[seq].holder >= 0 && !sim_one_in(s, 8))
		session = s->session[g->f[seq].holder];
	sim_trace(s, "group %d: session %d says %s of %d", g->at, (int)session,
	    what == 0   ? "NAK"
	    : what == 1 ? "EXTEND"
	    : what == 2 ? "REJECT"
			: "ACK",
	    (int)seq);
	if (what < 3) {
		verdict(g, seq, session, what);
	} else {
		ack(g, seq, session);
	}
}

static void
join(struct owed *g)
{
	struct sim *s = g->s;
	int peer = (int)sim_rnd(s, PEERS);
	struct seat *w = &g->seat[peer];

	w->there = w->open = true;
	w->credit = (uint32_t)sim_rnd(s, 9);
	w->max = 50 + sim_rnd(s, 500);
	w->w = group_join(g->core, s->session[peer], w->credit, w->max, w);
	sim_trace(s, "group %d: peer %d takes %u, %zu bytes", g->at, peer, w->credit, w->max);
	if (g->sealed) { /* first a state that does not deny what may be handed out now */
		g->unsealing = true;
		save(g, false);
	}
}

static void
unsub(struct owed *g)
{
	int peer = (int)sim_rnd(g->s, PEERS);
	struct seat *w = &g->seat[peer];

	if (!w->there || !w->open)
		return;
	sim_trace(g->s, "group %d: peer %d takes no more", g->at, peer);
	w->open = false;
	group_close(g->core, w->w);
}

static void
leave(struct owed *g, int peer)
{
	struct group_worker *w = g->seat[peer].w;

	if (!g->seat[peer].there)
		return;
	truth_left(g, peer);
	group_leave(g->core, w, g->s->now);
	g->busy = true;
}

void
owed_peer_gone(struct sim *s, int peer)
{
	for (int i = 0; i < GROUPS; i++)
		if (s->g[i].core != NULL)
			leave(&s->g[i], peer);
}

static void
configure(struct owed *g)
{
	g->conf.paused = !g->conf.paused && sim_one_in(g->s, 3);
	g->conf.tries = 1 + (uint32_t)sim_rnd(g->s, 5);
	g->conf.ack_ms = 100 + (int64_t)sim_rnd(g->s, 1000);
	g->conf.backoff_ms = sim_one_in(g->s, 2) ? 0 : 1 + (int64_t)sim_rnd(g->s, 400);
	g->conf.backoff_max_ms = sim_one_in(g->s, 2) ? 0 : 400 + (int64_t)sim_rnd(g->s, 4000);
	group_configure(g->core, &g->conf);
	sim_trace(g->s, "group %d: %u tries, paused %d", g->at, g->conf.tries, g->conf.paused);
}

/* Retention: what all groups that are not paused have done, on disk, goes. */
static void
trim(struct sim *s)
{
	uint64_t before = UINT64_MAX;
	struct op *op;

	for (int i = 0; i < GROUPS; i++) {
		const struct owed *g = &s->g[i];

		if (!g->there || g->conf.paused || g->deleting)
			continue;
		if (g->core == NULL)
			return;
		before = g->saved_floor < before ? g->saved_floor : before;
	}
	before = before > s->head ? s->head + 1 : before + 1;
	before =
	    s->disk.first + sim_rnd(s, before > s->disk.first ? before - s->disk.first + 1 : 1);
	if (before <= s->disk.first || (op = disk_submit(s, OP_TRIM)) == NULL)
		return;
	op->seq = before;
	sim_trace(s, "retention: all below %d goes", (int)before);
	for (int i = 0; i < GROUPS; i++) {
		struct owed *g = &s->g[i];

		if (g->core == NULL || !g->conf.paused)
			continue;
		for (uint64_t q = s->disk.first; q < before; q++) {
			if (g->f[q].fate == OWED && g->f[q].holder < 0)
				g->f[q].fate = DROPPED;
			if (concerns(g, q))
				group_drop(g->core, q);
		}
		group_seen(g->core, before, group_is_live(g->core));
		g->busy = true;
	}
}

static void
make_or_end(struct owed *g)
{
	struct sim *s = g->s;
	struct op *op;

	if (g->there && (g->core == NULL || g->deleting || !sim_one_in(s, 8)))
		return;
	op = disk_submit(s, g->there ? OP_GROUP_DEL : OP_GROUP);
	if (op == NULL)
		return;
	op->group = g->at;
	if (g->there) {
		sim_trace(s, "group %d: to be deleted", g->at);
		g->deleting = true;
		return;
	}
	op->pattern = (int)sim_rnd(s, PATTERNS);
	op->seq = sim_one_in(s, 2) ? 0 : 1 + sim_rnd(s, s->head + 1);
	g->pattern = op->pattern;
	g->there = true;
	g->conf = (struct group_conf){.tries = 1 + (uint32_t)sim_rnd(s, 4),
	    .ack_ms = 100 + (int64_t)sim_rnd(s, 1000),
	    .seed = sim_rnd(s, 1000000)};
	g->match.kind = MATCH_GROUP;
	match_add(s->match, span_str(pick_patterns[g->pattern]), &g->match);
	sim_trace(s, "group %d: %s is to be", g->at, pick_patterns[g->pattern]);
}

void
owed_step(struct sim *s)
{
	struct owed *g = &s->g[sim_rnd(s, GROUPS)];
	uint64_t dice = sim_rnd(s, 100);

	if (dice < 25) {
		publish(s);
	} else if (dice < 30) {
		make_or_end(g);
	} else if (dice < 33) {
		trim(s);
	} else if (g->core != NULL) {
		if (dice < 70)
			say(g);
		else if (dice < 82)
			join(g);
		else if (dice < 85)
			unsub(g);
		else if (dice < 87)
			leave(g, (int)sim_rnd(s, PEERS));
		else if (dice < 90)
			configure(g);
		else if (!g->saving)
			save(g, false);
		g->busy = true;
	}
}

/* ---- turns and lives ---- */

static void
run(struct owed *g)
{
	struct sim *s = g->s;

	g->busy = false;
	truth_expire(g);
	group_run(g->core, s->now, s->real);
	if (!group_is_live(g->core) && group_wants(g->core)) {
		read_on(g);
		group_run(g->core, s->now, s->real);
	}
}

void
owed_turn(struct sim *s)
{
	for (int i = 0; i < GROUPS; i++) {
		struct owed *g = &s->g[i];

		g->ran =
		    g->core != NULL && !g->unsealing && (g->busy || group_next(g->core) <= s->now);
		if (g->ran)
			run(g);
		if (g->core != NULL && g->count_at != g->count_to)
			count_page(g);
		if (g->core != NULL && sim_one_in(s, 2))
			bury(g);
	}
}

void
owed_check(struct sim *s)
{
	for (int i = 0; i < GROUPS; i++)
		if (s->g[i].core != NULL)
			truth_check(&s->g[i], s->g[i].ran);
}

int64_t
owed_next(const struct sim *s)
{
	int64_t at = INT64_MAX;

	for (int i = 0; i < GROUPS; i++)
		if (s->g[i].core != NULL && group_next(s->g[i].core) < at)
			at = group_next(s->g[i].core);
	return at;
}

void
owed_crash(struct sim *s)
{
	for (int i = 0; i < GROUPS; i++)
		if (s->g[i].there)
			forget(&s->g[i]);
}

void
owed_reopen(struct sim *s)
{
	for (int i = 0; i < GROUPS; i++) {
		struct owed *g = &s->g[i];
		const struct kept *k = &s->disk.kept[i];

		if (!k->there)
			continue;
		g->there = true;
		g->pattern = k->pattern;
		g->match.kind = MATCH_GROUP;
		match_add(s->match, span_str(pick_patterns[g->pattern]), &g->match);
		g->core = core_new(g, k->next);
		if (group_restore(g->core, buf_span(&k->blob), s->head) != 0)
			sim_wrong(s, "group %d: its own state is refused", i);
		g->sealed = k->sealed;
		truth_restart(g, k);
		g->saved_floor = group_floor(g->core, s->head);
		count_from(g, group_counted(g->core));
		g->busy = true;
		save(g, false); /* that word was not the last */
	}
}

static void
take_all(struct owed *g)
{
	struct sim *s = g->s;

	for (uint64_t q = 1; q <= s->head; q++)
		if (g->f[q].holder == 0)
			ack(g, q, s->session[0]);
	g->busy = true;
}

static void
finish_one(struct owed *g)
{
	struct sim *s = g->s;
	struct seat *w = &g->seat[0];
	struct group_stats st;

	g->conf.paused = false;
	group_configure(g->core, &g->conf);
	for (int i = 0; i < PEERS; i++)
		leave(g, i);
	*w = (struct seat){.there = true, .open = true, .credit = 100, .max = 100000};
	w->w = group_join(g->core, s->session[0], w->credit, w->max, w);
	for (int i = 0; i < 3000 && truth_owed(g) > 0 && !s->wrong[0]; i++) {
		g->busy = true;
		owed_turn(s);
		owed_check(s);
		bury(g);
		disk_commit(s);
		take_all(g);
		s->now += 500;
		s->real += 500;
	}
	if (truth_owed(g) != 0)
		sim_wrong(s, "group %d: %d are owed for ever", g->at, (int)truth_owed(g));
	for (uint64_t i = 0; i < RECORDS && !s->wrong[0]; i++) {
		g->busy = true;
		owed_turn(s);
	}
	owed_check(s);
	group_settle(g->core); /* what is gone unread is dropped */
	group_stats(g->core, s->head, &st);
	if (st.owed != 0 || st.received != st.acked + st.dead + st.dropped)
		sim_wrong(s, "group %d: nothing is owed, it says %d", g->at, (int)st.owed);
	if (group_floor(g->core, s->head) != s->head)
		sim_wrong(s, "group %d: all is done, but its floor is %d", g->at,
		    (int)group_floor(g->core, s->head));
}

void
owed_finish(struct sim *s)
{
	sim_trace(s, "everything comes to an end");
	s->disk.full = false;
	while (s->disk.n > 0)
		disk_commit(s);
	for (int i = 0; i < GROUPS; i++)
		if (s->g[i].core != NULL)
			finish_one(&s->g[i]);
}
