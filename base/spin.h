#ifndef BASE_SPIN_H
#define BASE_SPIN_H
/* Whether a thread that has nothing to do should stay awake a moment before it blocks.  A processor
 * that fell asleep takes longer to wake than most messages take; but a thread that looks on for
 * nothing takes the processor from others (who should be let run meanwhile: sched_yield).  So it
 * pays where most waits of late were short, and only while nobody else wants the processor: then
 * none falls asleep, and to wake is cheap.  One thread. */
#include <stdbool.h>

#define SPIN_US 300
#define SPIN_OTHERS_US 8  /* a sched_yield of more than this let others run: no processor sleeps */
#define SPIN_SHORT_US 350 /* such a wait would have ended while awake: waking up is part of it */

struct spin {
	unsigned score; /* 0: no wait was short of late; 256: all were */
};

static inline bool
spin_pays(const struct spin *s)
{
	return s->score >= 128;
}

static inline void
spin_note(struct spin *s, bool was_short)
{
	s->score -= s->score / 8;
	s->score += was_short ? 32 : 0;
}

#endif
