#ifndef STORE_PG_JOB_H
#define STORE_PG_JOB_H
/* A job of store/pg.h as one block of memory: its steps, their texts and parameters, copied.  Pure.
 */
#include "base/list.h"
#include "store/pg.h"

struct pg_job_step {
	const char *sql;
	const char *const *values; /* NUL-terminated, NULL is NULL */
	int nvalues;
	struct span copy;
	pg_copy_fn *copy_fn;
	void *copy_arg;
	bool keep;
};

struct pg_job {
	struct list link;
	int64_t deadline_ms; /* of the wait, later of the run */
	size_t bytes;
	pg_done_fn *done;
	void *arg;
	bool has_nul; /* a parameter holds a NUL byte, which text cannot */
	size_t nsteps;
	struct pg_job_step steps[];
};

/* NULL: more than `max` bytes.  The caller frees with pg_job_free. */
struct pg_job *pg_job_new(const struct pg_step *steps, size_t n, size_t max);
void pg_job_free(struct pg_job *j);
bool pg_job_step_is_copy(const struct pg_job_step *s);
/* More than one step, or a COPY: needs BEGIN and COMMIT around. */
bool pg_job_is_transaction(const struct pg_job *j);

#endif
