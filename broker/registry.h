#ifndef BROKER_REGISTRY_H
#define BROKER_REGISTRY_H
/* Who is there: peers by routing id and by session, their subscriptions and descriptions.  Knows
 * nothing of sockets; time is an argument.  A peer exists from its first frame until
 * registry_remove; a session number is never given twice in the life of a broker. */
#include <uthash.h>

#include "base/list.h"
#include "broker/match.h"
#include "broker/route.h"
#include "proto/pack.h"

#define REGISTRY_RID 255
#define REGISTRY_PEERS 20000u /* more are not let in */
#define REGISTRY_SUBS 4096u   /* of one peer */

enum sub_kind { SUB_SERVE, SUB_GROUP, SUB_TAIL };

/* A description as it came, one copy for all who say the same. */
struct desc {
	UT_hash_handle hh;
	unsigned refs;
	uint8_t digest[32];
	struct span body; /* behind the struct */
};

struct sub {
	struct list by_peer; /* peer->subs */
	struct peer *peer;
	enum sub_kind kind;
	struct span pattern; /* behind the struct */
	uint8_t id[16];      /* of the SUB */
	struct desc *desc;
	bool closing;             /* BYE or UNSUB: gets no more */
	struct owed_group *group; /* SUB_GROUP */
	/* SUB_TAIL */
	struct match_entry match;
	struct list behind; /* of those that have records to catch up with */
	uint64_t credit, max_bytes, out, out_bytes;
	uint64_t read; /* replays: the next seq; 0: live only */
	char *last;    /* handed over are the last values up to this topic; NULL: there are none to hand */
	bool joins;    /* caught up, it is live only */
	uint64_t dropped;
};

struct peer {
	UT_hash_handle hh;    /* by routing id */
	UT_hash_handle hh_no; /* by session */
	struct list by_age;   /* registry->ages: who was silent longest comes first */
	struct list subs;
	unsigned nsubs;
	struct route_peer route;
	uint64_t session;
	int64_t since_ms, last_ms; /* monotonic */
	uint8_t ping_id[16];
	bool pinged, probed;
	size_t put_bytes; /* of its PUBs being committed */
	unsigned puts;
	struct list held; /* pace.c: not yet at the journal */
	unsigned paced_records; /* at the journal */
	size_t paced_bytes;
	/* out.c */
	bool packs; /* it takes PACK */
	struct pack pack;
	struct list unsent; /* of those with a pack to send at the end of the turn */
	struct list queue;  /* frames that the socket would not take */
	struct list queued; /* of those with a queue */
	size_t queue_bytes;
	struct parcels *afloat; /* what libzmq holds for it; NULL: nothing yet */
	struct auth_peer *who; /* auth.h; NULL: there are no keys */
	unsigned claims;       /* ctl_claim.c: paths it was the first to claim */
	unsigned joining;      /* groups.c: SUBs that wait for the commit of their group */
	const char *lost; /* why; NULL: it is there */
	struct list dying;
	unsigned nrid;
	uint8_t rid[REGISTRY_RID];
};

struct registry {
	struct peer *by_rid, *by_session;
	struct desc *descs;
	struct list ages;
	uint64_t last_session;
	unsigned npeers;
};

void registry_init(struct registry *r);
void registry_fini(struct registry *r); /* its peers must have been removed */

struct peer *registry_find(const struct registry *r, struct span rid);
struct peer *registry_by_session(const struct registry *r, uint64_t session);
struct peer *registry_add(struct registry *r, struct span rid, int64_t now); /* NULL: too many */
void registry_remove(struct registry *r, struct peer *p); /* frees it; its subs must be gone */
void registry_heard(struct registry *r, struct peer *p, int64_t now);

struct sub *registry_sub(const struct peer *p, enum sub_kind kind, struct span pattern);
struct sub *registry_sub_add(
    struct peer *p, enum sub_kind kind, struct span pattern); /* NULL: too many */
void registry_sub_remove(struct registry *r, struct sub *s);  /* frees it */
/* Replaces the description; {NULL,0}: none. */
void registry_describe(struct registry *r, struct sub *s, struct span body);

#endif
