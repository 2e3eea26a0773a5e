#include "store/pg_job.h"

#include <stdlib.h>

#include "base/die.h"

static size_t
step_bytes(const struct pg_step *s)
{
	size_t n = sizeof(struct pg_job_step) + strlen(s->sql) + 1 + s->copy.n;

	for (int i = 0; i < s->nparams; i++)
		n += sizeof(char *) + s->params[i].v.n + 1;
	return n;
}

static char *
put_text(char **at, struct span s)
{
	char *text = *at;

	if (s.n > 0)
		memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*at += s.n + 1;
	return text;
}

static void
fill_step(struct pg_job *j, const struct pg_step *s, size_t i, const char ***values, char **texts)
{
	struct pg_job_step *to = &j->steps[i];

	to->values = *values;
	to->nvalues = s->nparams;
	to->keep = s->keep;
	to->copy_fn = s->copy_fn;
	to->copy_arg = s->copy_arg;
	for (int k = 0; k < s->nparams; k++) {
		struct span v = s->params[k].v;

		*(*values)++ = v.p ? put_text(texts, v) : NULL;
		if (v.p != NULL && memchr(v.p, '\0', v.n) != NULL)
			j->has_nul = true;
	}
	to->sql = put_text(texts, span_str(s->sql));
	if (s->copy.p == NULL)
		return;
	to->copy = span_of(*texts, s->copy.n);
	if (s->copy.n > 0)
		memcpy(*texts, s->copy.p, s->copy.n);
	*texts += s->copy.n;
}

struct pg_job *
pg_job_new(const struct pg_step *steps, size_t n, size_t max)
{
	size_t bytes = sizeof(struct pg_job), nvalues = 0;

	for (size_t i = 0; i < n; i++) {
		bytes += step_bytes(&steps[i]);
		nvalues += (size_t)steps[i].nparams;
		if (bytes > max)
			return NULL;
	}

	struct pg_job *j = xcalloc(1, bytes);
	const char **values = (const char **)&j->steps[n];
	char *texts = (char *)(values + nvalues);

	list_init(&j->link);
	j->bytes = bytes;
	j->nsteps = n;
	for (size_t i = 0; i < n; i++)
		fill_step(j, &steps[i], i, &values, &texts);
	return j;
}

void
pg_job_free(struct pg_job *j)
{
	free(j);
}

bool
pg_job_step_is_copy(const struct pg_job_step *s)
{
	return s->copy.p != NULL || s->copy_fn != NULL;
}

bool
pg_job_is_transaction(const struct pg_job *j)
{
	return j->nsteps > 1 || (j->nsteps == 1 && pg_job_step_is_copy(&j->steps[0]));
}
