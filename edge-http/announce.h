#ifndef EDGE_HTTP_ANNOUNCE_H
#define EDGE_HTTP_ANNOUNCE_H
/* Keeps a shard's table of routes up to date: asks sys.services when the link comes up, whenever
 * sys.changed says so, and every 10 s; claims the paths that nobody owns; hands the result to
 * shard_load. */
#include "edge-http/shard.h"

struct http_req;

struct announce *announce_new(struct shard *sh);
void announce_free(struct announce *a); /* when every call has ended; NULL is fine */
/* The link has come up. */
void announce_start(struct announce *a);
/* Somebody asks for a path that nobody has: load at once, though not more than every 100 ms, and
 * then http_look_again.  False: no use, or too many wait already.  Takes on the request's job. */
bool announce_miss(struct announce *a, struct http_req *r);
/* registry_process of the table in use. */
const char *announce_process(const struct announce *a, size_t i);

#endif
