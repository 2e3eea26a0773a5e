#ifndef SIM_RUN_H
#define SIM_RUN_H
#include "tests/sim/sim.h"

/* One history; false: a rule was broken, and said so on stdout. */
bool run_seed(struct sim *s, uint64_t seed, unsigned steps, bool trace);

#endif
