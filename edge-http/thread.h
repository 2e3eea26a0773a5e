#ifndef EDGE_HTTP_THREAD_H
#define EDGE_HTTP_THREAD_H
/* A shard with a thread, a loop and a link of its own: every shard but the first, which lives in
 * the main thread with the harness.  All three calls come from the main thread. */
#include "edge-http/shard.h"

struct thread;

/* NULL: the shard or the thread could not be made (logged). */
struct thread *thread_start(struct edge *e, unsigned index, int listen_fd);
void thread_drain(struct thread *t); /* it counts itself in edge.idle when nothing is under way */
void thread_stop(struct thread *t);  /* ends it, waits for it, frees */

#endif
