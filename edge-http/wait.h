#ifndef EDGE_HTTP_WAIT_H
#define EDGE_HTTP_WAIT_H
/* Requests that wait for an answer.
 *
 * To suspend a connection costs libmicrohttpd three system calls (out of its epoll set, in again,
 * and a read in vain), of five that a short request takes in all.  A connection
 * that is not suspended is asked anew at every run, which costs next to nothing, but it keeps the
 * daemon from ever saying that it has nothing to do.  So a request that was read to its end is
 * left as it is at first, and suspended once it was asked WAIT_ASKED times in vain, or nothing
 * moved for WAIT_IDLE_MS: what it costs is bounded, however many wait. */
#include "edge-http/shard.h"

struct http_req;

/* From a content reader, or while more is to be read: nothing to do for now, until wait_end. */
void wait_suspend(struct http_req *r);
/* The request was read to its end; from the last call of the access handler. */
void wait_begin(struct http_req *r);
/* libmicrohttpd asks again. */
void wait_asked(struct http_req *r);
void wait_end(struct http_req *r); /* fine when it does not wait */
/* The request ends, waiting or not. */
void wait_forget(struct http_req *r);

/* When to run libmicrohttpd again, in ms from now: what it says, unless only those who wait make
 * it say so. */
int64_t wait_run_after(struct shard *sh, int64_t ms);
/* Nothing moved for long: the next run suspends. */
void wait_idle(struct shard *sh);

/* Cancel what waits for clients that are gone. */
void wait_sweep(struct shard *sh, int64_t now_ms);
/* End what still waits: 503. */
void wait_end_all(struct shard *sh);

#endif
