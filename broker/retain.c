#include "broker/retain.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"

enum { ROWS = 1000 };

struct trim {
	struct job job;
};

struct scan {
	struct broker *b;
	uint64_t floor, before;
	int64_t cutoff;
	uint64_t excess; /* bytes over --retain-bytes that are left */
	unsigned rows;
};

static bool
on_row(void *arg, const struct journal_row *r)
{
	struct scan *s = arg;

	if (r->seq > s->floor || s->rows == ROWS || (r->at_ms >= s->cutoff && s->excess == 0))
		return false;
	groups_drop(s->b, r);
	s->rows++;
	s->before = r->seq + 1;
	s->excess -= s->excess < r->frame.n ? s->excess : r->frame.n;
	return true;
}

static void
on_trimmed(struct broker *b, struct job *j)
{
	b->trimming = false;
	if (j->op.err == ERR_OK) {
		b->trimmed += j->op.u.trim.deleted;
		retain_tick(b); /* until nothing is left to do */
	}
	free(LIST_ITEM(j, struct trim, job));
}

void
retain_tick(struct broker *b)
{
	int64_t cutoff = clock_real_ms() - b->conf.retain_ms;
	struct scan s = {.b = b, .cutoff = cutoff, .floor = groups_floor(b)};
	struct journal_stats js;
	struct trim *t;

	b->retain_looks++;
	if (b->trimming || journal_first(b->journal) > b->head)
		return;
	journal_stats(b->journal, &js);
	s.excess = js.kept_bytes > (uint64_t)b->conf.retain_bytes
		       ? js.kept_bytes - (uint64_t)b->conf.retain_bytes
		       : 0;
	if (s.excess == 0 && (js.oldest_ms == 0 || js.oldest_ms >= cutoff))
		return;
	if (journal_read(b->journal, journal_first(b->journal), on_row, &s) == 0 || s.before == 0)
		return;
	groups_drop(b, &(struct journal_row){.seq = s.before});
	t = xcalloc(1, sizeof(*t));
	t->job.op.kind = JOURNAL_TRIM;
	t->job.op.u.trim.before = s.before;
	t->job.done = on_trimmed;
	b->trimming = true;
	broker_submit(b, &t->job);
}
