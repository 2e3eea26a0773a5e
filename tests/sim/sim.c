/* The world: its clock, its dice, what happens next. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "tests/sim/sim.h"
#include "tests/sim/run.h"

uint64_t
sim_rnd(struct sim *s, uint64_t n)
{
	uint64_t z = s->random += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (z ^ (z >> 31)) % n;
}

bool
sim_one_in(struct sim *s, uint64_t n)
{
	return sim_rnd(s, n) == 0;
}

void
sim_wrong(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->wrong[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(s->wrong, sizeof(s->wrong), fmt, ap);
	va_end(ap);
}

void
sim_trace(const struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->trace)
		return;
	printf("%4d %8d  ", (int)s->step, (int)s->now);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void
crash(struct sim *s, bool clean)
{
	sim_trace(s, clean ? "the broker ends" : "the broker crashes");
	if (clean) {
		s->disk.full = false;
		for (int i = 0; i < 3 * OPS && s->disk.n > 0; i++)
			disk_commit(s); /* dead letters under way */
		owed_close(s);
		while (s->disk.n > 0)
			disk_commit(s);
	}
	asked_close(s);
	owed_crash(s);
	disk_crash(s);
	for (int i = 0; i < PEERS; i++)
		s->session[i] = ++s->sessions;
	s->head = s->disk.head;
	s->letters = s->disk.letters;
	owed_reopen(s);
	while (s->disk.n > 0) /* on disk before anything can be delivered */
		disk_commit(s);
	asked_open(s);
}

static void
peer_gone(struct sim *s, int peer)
{
	sim_trace(s, "peer %d is lost", peer);
	asked_peer_gone(s, peer);
	owed_peer_gone(s, peer);
	s->session[peer] = ++s->sessions;
}

/* ms until the next envelope expires; 0: none does. */
static int64_t
until_expiry(const struct sim *s)
{
	int64_t ms = 0;

	for (uint64_t q = 1; q <= s->head; q++) {
		int64_t left = s->disk.rec[q].exp - s->real;

		if (left > 0 && (ms == 0 || left < ms))
			ms = left;
	}
	return ms;
}

/* Sometimes to the ms at which something is due, sometimes beyond it. */
static void
pass_time(struct sim *s)
{
	int64_t due = owed_next(s), ask = asked_next(s), ms;

	due = ask < due ? ask : due;
	ms = due > s->now && due - s->now < 1000000 ? due - s->now : 0;
	switch (sim_rnd(s, 7)) {
	case 0: break;
	case 3: ms = until_expiry(s); break;
	case 1: ms = ms > 0 ? ms - 1 : 0; break;
	case 2: ms += (int64_t)sim_rnd(s, 2000); break;
	default: ms = (int64_t)sim_rnd(s, 60);
	}
	s->now += ms;
	s->real += ms;
}

static void
step(struct sim *s)
{
	uint64_t dice = sim_rnd(s, 200);

	if (dice < 2)
		crash(s, dice == 0);
	else if (dice < 6)
		peer_gone(s, (int)sim_rnd(s, PEERS));
	else if (dice < 30)
		pass_time(s);
	else if (dice < 55)
		disk_commit(s);
	else if (dice < 60)
		disk_flush(&s->disk);
	else if (dice < 62)
		s->disk.full = !s->disk.full && sim_one_in(s, 3);
	else if (dice < 150)
		owed_step(s);
	else
		asked_step(s);
	owed_turn(s);
	asked_turn(s);
	owed_check(s);
}

bool
run_seed(struct sim *s, uint64_t seed, unsigned steps, bool trace)
{
	bool ok;

	memset(s, 0, sizeof(*s));
	s->seed = s->random = seed;
	s->trace = trace;
	s->now = 1000;
	s->real = INT64_C(1700000000000);
	s->match = match_new();
	s->disk.first = 1;
	for (int i = 0; i < PEERS; i++)
		s->session[i] = ++s->sessions;
	for (int i = 0; i < GROUPS; i++) {
		s->g[i].s = s;
		s->g[i].at = i;
	}
	asked_open(s);
	for (s->step = 0; s->step < steps && !s->wrong[0]; s->step++)
		step(s);
	if (!s->wrong[0])
		owed_finish(s);
	if (!s->wrong[0])
		asked_finish(s);
	ok = s->wrong[0] == '\0';
	if (!ok)
		printf("seed %llu, step %llu: %s\n", (unsigned long long)seed,
		    (unsigned long long)s->step, s->wrong);
	asked_close(s);
	owed_crash(s);
	disk_fini(&s->disk);
	match_free(s->match);
	return ok;
}
