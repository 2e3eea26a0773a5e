#ifndef DATA_STORE_INGEST_H
#define DATA_STORE_INGEST_H
/* The Ingest triggers of one process: which runs there are, what is cancelled, when there is
 * nothing left to do. */
#include "services/data-store/run.h"

struct ingest_options {
	const char *database, *objects;
	int64_t runs; /* at once */
	int64_t max_file, pull_ms, load_ms;
};

struct ingest;

/* Before the link exists.  NULL: logged; the object store cannot be used. */
struct ingest *ingest_new(struct svc *s, const struct ingest_options *o);
void ingest_start(struct ingest *in); /* subscribe */
void ingest_drain(struct ingest *in); /* hand back what is under way */
bool ingest_is_idle(const struct ingest *in);
void ingest_free(struct ingest *in);
unsigned ingest_stats(const struct ingest *in, struct buf *out);

#endif
