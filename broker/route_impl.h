#ifndef BROKER_ROUTE_IMPL_H
#define BROKER_ROUTE_IMPL_H
/* What the files of the request core share.  Nobody else includes this. */
#include <uthash.h>

#include "base/pool.h"
#include "broker/route.h"

enum flight_state { FLIGHT_WAITS, FLIGHT_SENT, FLIGHT_GHOST };

struct flight_key {
	uint64_t session;
	uint8_t id[16];
};

struct flight {
	UT_hash_handle hh;   /* r->asked, by key; not for ghosts */
	struct list place;   /* pool->waiting or member->flights */
	struct list by_peer; /* client->asked */
	struct timer timer;  /* deadline */
	struct flight_key key;
	struct route_peer *client;
	struct route_pool *pool;     /* WAITS; NULL: homeless */
	struct route_member *member; /* SENT, GHOST */
	enum flight_state state;
	uint32_t slot, generation;
	bool again, started, resent;
	unsigned bounces;
	uint64_t window; /* parts the client still takes */
	int64_t ttl, deadline;
	size_t bytes; /* what it counts for */
	/* A copy, while it waits and when it may be tried again. */
	uint8_t *copy;
	size_t ncopy, topic_at, ntopic;
};

struct route_member {
	struct list place;   /* pool->open, ->full or ->closing */
	struct list by_peer; /* peer->members */
	struct route_peer *peer;
	struct route_pool *pool;
	struct list flights;
	uint32_t credit, n;
	size_t max_bytes, bytes;
	bool closing;
};

struct route_pool {
	struct match_entry match;
	UT_hash_handle hh; /* r->pools */
	struct list open, full, closing, waiting;
	unsigned members; /* open and full */
	unsigned npattern;
	char pattern[];
};

struct slot {
	struct flight *f;
	uint32_t generation, next_free;
};

struct route {
	struct match *match;
	struct route_ops ops;
	uint64_t salt;
	size_t max_bytes, max_peer_bytes, bytes;
	struct route_pool *pools;
	struct flight *asked;
	struct timer_heap deadlines;
	struct pool spare; /* flights */
	struct list homeless; /* requests that wait for a pool */
	bool patient;
	int64_t patient_until;
	struct slot *slots;
	uint32_t nslots, free_slot;
	size_t waiting, under_way, nghosts;
	struct route_stats count;
};

#define ROUTE_NO_SLOT UINT32_MAX

/* route_flight.c */
struct flight *route_flight_new(struct route *r, const struct route_req *q, int64_t now);
void route_flight_free(struct route *r, struct flight *f);
void route_flight_id(const struct route *r, const struct flight *f, uint8_t id[16]);
void route_flight_rename(
    struct route *r, struct flight *f); /* a new id: answers to the old one are stale */
struct flight *route_flight_by_id(const struct route *r, const uint8_t id[16]);
struct flight *route_flight_by_client(
    const struct route *r, const struct route_peer *client, const uint8_t id[16]);
void route_flight_arm(struct route *r, struct flight *f, int64_t deadline);
bool route_flight_keep(struct flight *f, struct span frame); /* false: no memory for a copy */
void route_flight_wait(struct route *r, struct flight *f, struct route_pool *p, bool front);
void route_flight_park(struct route *r, struct flight *f); /* among the homeless */
void route_flight_send(
    struct route *r, struct flight *f, struct route_member *m, struct span frame, int64_t now);
void route_flight_pump(
    struct route *r, struct route_pool *p, int64_t now);   /* hand out what waits */
void route_flight_lift(struct route *r, struct flight *f); /* out of its place */
void route_flight_ghost(
    struct route *r, struct flight *f); /* ended for its client, not for its worker */
/* Tell the client, and be done with it as far as the client goes. */
void route_flight_fail(struct route *r, struct flight *f, enum err code, const char *why);

/* route_pool.c */
struct route_pool *route_pool_of(struct route *r, struct span pattern);
struct route_pool *route_pool_for(
    struct route *r, struct span topic); /* the most specific with a worker; NULL */
bool route_pool_fits(const struct route_member *m, size_t bytes);
struct route_member *route_pool_choose(struct route_pool *p, size_t bytes);
void route_pool_refile(struct route_member *m);
struct route_member *route_pool_member(const struct route_peer *p, struct span pattern);
void route_pool_open(struct route *r, struct route_member *m);  /* counts it in */
void route_pool_shut(struct route *r, struct route_member *m);  /* counts it out, into closing */
void route_pool_release(struct route *r, struct route_pool *p); /* frees it when nobody is left */

#endif
