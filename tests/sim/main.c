/* Histories of the scheduling core, one a seed.
 *
 *	sim                            10,000 seeds from 1 on, by two processes
 *	sim --seeds 1000000 --from 1 --jobs 2 --steps 400
 *	sim --seed 4711 --trace        one of them, told step by step
 *
 * That it can fail was tried by breaking the cores by hand (tests/sim/mutants.sh does it again). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/run.h"

static struct sim world;

struct plan {
	unsigned long long seed, from, seeds;
	unsigned steps, jobs;
	bool trace;
};

static bool
read_plan(struct plan *p, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		unsigned long long v;

		if (strcmp(argv[i], "--trace") == 0) {
			p->trace = true;
			continue;
		}
		if (i + 1 == argc || sscanf(argv[i + 1], "%llu", &v) != 1)
			return false;
		if (strcmp(argv[i], "--seed") == 0)
			p->seed = v;
		else if (strcmp(argv[i], "--seeds") == 0)
			p->seeds = v;
		else if (strcmp(argv[i], "--from") == 0)
			p->from = v;
		else if (strcmp(argv[i], "--steps") == 0)
			p->steps = (unsigned)v;
		else if (strcmp(argv[i], "--jobs") == 0)
			p->jobs = v < 64 ? (unsigned)v : 64;
		else
			return false;
		i++;
	}
	return p->jobs > 0;
}

/* Every jobs-th seed; the first bad one ends it. */
static int
work(const struct plan *p, unsigned job)
{
	unsigned long long deliveries = 0, answers = 0;

	for (unsigned long long i = job; i < p->seeds; i += p->jobs) {
		if (!run_seed(&world, p->from + i, p->steps, p->trace)) {
			printf(
			    "again: sim --seed %llu --steps %u --trace\n", p->from + i, p->steps);
			return 1;
		}
		deliveries += world.deliveries;
		answers += world.answers;
	}
	printf("job %u: %llu deliveries, %llu answers\n", job, deliveries, answers);
	return deliveries > 0 && answers > 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct plan p = {.from = 1, .seeds = 10000, .steps = 300, .jobs = 2};
	int bad = 0, status;

	if (!read_plan(&p, argc, argv)) {
		fprintf(
		    stderr, "sim [--seed N | --seeds N --from N --jobs N] [--steps N] [--trace]\n");
		return 2;
	}
	if (p.seed != 0)
		return run_seed(&world, p.seed, p.steps, p.trace) ? 0 : 1;
	printf("sim: %llu seeds from %llu, %u steps each\n", p.seeds, p.from, p.steps);
	fflush(stdout);
	for (unsigned j = 0; j < p.jobs; j++) {
		if (fork() == 0) {
			status = work(&p, j);
			fflush(stdout);
			_exit(status);
		}
	}
	while (wait(&status) > 0)
		bad |= status;
	puts(bad ? "sim: FAILED" : "sim: good");
	return bad ? 1 : 0;
}
