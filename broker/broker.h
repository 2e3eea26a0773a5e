#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H
/* The shell round the cores: sockets, journal, loop.  struct broker is what its files share;
 * nothing else includes it but main.c.  One thread. */
#include "base/buf.h"
#include "broker/groups.h"
#include "broker/journal.h"
#include "broker/match.h"
#include "broker/parcel.h"
#include "broker/rec.h"
#include "broker/registry.h"
#include "broker/route.h"
#include "proto/env.h"
#include "proto/loop.h"

/* Why something was dropped: one counter each, shown under `drops` in sys.stats. */
#define DROPS(X)                                                                                  \
	X(BAD_ENVELOPE, bad_envelope)                                                             \
	X(BAD_TOPIC, bad_topic)                                                                   \
	X(TOO_BIG, too_big)                                                                       \
	X(MULTIPART, multipart)                                                                   \
	X(UNEXPECTED, unexpected)                                                                 \
	X(PEERS, too_many_peers)                                                                  \
	X(CONNECTIONS, too_many_connections)                                                      \
	X(HANDSHAKE, handshake)                                                                   \
	X(KEY, key_refused)                                                                       \
	X(DENIED, denied)                                                                         \
	X(PEER_GONE, peer_gone)                                                                   \
	X(PEER_SLOW, peer_slow)                                                                   \
	X(TAIL_CREDIT, tail_credit)                                                               \
	X(STALE, stale)                                                                           \
	X(STALE_ANSWER, stale_answer) X(LATE_ANSWER, late_answer) X(GROUP_DROPPED, group_dropped) \
	    X(NO_MEMORY, no_memory) X(DEAD_UNANNOUNCED, dead_unannounced) X(FEED_FULL, feed_full) \
		X(FEED_TOPICS, feed_topics)

enum drop_reason {
#define X(id, name) DROP_##id,
	DROPS(X)
#undef X
	    DROP_COUNT
};

struct trace;

/* What is read in one turn, in units of about a microsecond: one wake-up does so much and then
 * answers; past the second figure a sys call is refused, since one PACK can hold thousands. */
enum { BROKER_ROOMS = 64, BROKER_WORK = 8192, BROKER_WORK_MOST = 65536 };

struct broker_conf {
	const char *bind, *feed;        /* comma list; "" = none */
	const char *keys;               /* directory; "" or NULL = none */
	const char *journal;            /* directory; "" = in memory: only for what is said of it */
	unsigned peers_most, feed_most; /* connections; 0 = no limit */
	size_t max_bytes, peer_bytes;
	int64_t retain_ms, retain_bytes, idle_ms, idle_warn_ms, drain_ms, trace_hops;
};

/* An operation of the journal and what to do when it is reaped.  `done` owns and frees it. */
struct job {
	struct journal_op op;
	struct list node; /* broker->all_jobs */
	void (*done)(struct broker *b, struct job *j);
};

struct auth;
struct conns;
struct claims;

struct broker {
	struct broker_conf conf;
	struct loop *loop;
	struct journal *journal;
	struct loop_fd *journal_watch;
	zsock_t *router, *feed;
	struct auth *auth; /* NULL: no keys */
	struct conns *conns, *feed_conns;
	struct claims *claims; /* ctl_claim.c; NULL until the first */
	uint8_t epoch[16];
	int64_t started_ms;

	struct match *match;
	struct registry reg;
	struct route *route;
	struct groups groups;
	struct policies *policies;
	struct rec_pool recs;
	struct tail tail;
	uint64_t head;        /* last seq that was distributed */
	struct trace *trace;  /* NULL: off */
	struct list tracings; /* ctl_trace.c: calls that read the journal, a page a turn */

	/* out.c */
	struct list unsent, queued, dying;
	struct parcels *afloat, *feed_afloat; /* what libzmq holds for all peers, for the feed */
	struct buf scratch;
	struct buf rooms[BROKER_ROOMS]; /* spare ones */
	unsigned nrooms;
	/* broker.c: the request being read, so that it is not decoded twice */
	const struct env *reading;
	struct span reading_frame;
	unsigned unflushed; /* submitted since the journal was flushed */
	size_t work;        /* of this turn so far */
	bool submitted, turning, again_soon;
	struct timer tick, route_timer, flush_timer, changed_timer, soon_timer;
	int64_t ticked_ms;
	int64_t real_ms, real_at; /* broker_real: what it was at which broker_now */
	struct list all_jobs;
	unsigned jobs;
	bool shut; /* sys.drain: nothing new is taken */
	bool draining, stopping, ending, trimming;
	int64_t drain_until;
	int signal_fd;
	/* pace.c: the last two peers that waited for one OK; publishes that wait for their turn */
	struct {
		uint64_t session;
		int64_t until_ms;
	} light[2];
	unsigned held;
	size_t held_bytes;
	/* tails.c */
	struct list tails_behind;
	bool retained; /* some topic has, or had, a last value */
	unsigned tails;
	/* feed.c */
	uint64_t feed_n;
	unsigned feed_readers, feed_many; /* topics asked for: one by one, as PACK */
	bool feed_rest;                   /* what comes next belongs to the message before */
	struct feed_run {
		struct rec *first; /* held; NULL: nothing is gathered */
		uint64_t n;        /* of the first */
		unsigned many;
		struct buf frames; /* as bin */
	} feed_run;
	/* sys.changed */
	bool changed_services, changed_groups;
	int64_t changed_at;

	uint64_t verbs[ENV_VERB_COUNT];
	uint64_t drops[DROP_COUNT];
	uint64_t errors[ERR_COUNT];
	uint64_t dead[GROUP_DEATH_COUNT]; /* dead letters written */
	uint64_t delivered, fed, received, sent, trimmed, retain_looks;
	bool warned_committing, warned_requests, warned_records, warned_store; /* levels.c */
	struct log_limit *limits;
};

/* broker.c */
/* Takes j.  NULL: logged, and errno is EINVAL where starting again would not help: the keys. */
struct broker *broker_new(struct loop *l, struct journal *j, const struct broker_conf *c);
void broker_free(struct broker *b);  /* closes the journal; NULL is harmless */
void broker_drain(struct broker *b); /* SIGTERM: ends with loop_stop */
void broker_submit(struct broker *b, struct job *j);
void broker_verb_done(struct broker *b); /* what it submitted belongs together, and is complete */
void broker_soon(struct broker *b);      /* another turn at once: there is more to do */
void broker_changed(struct broker *b, bool services, bool groups);
int64_t broker_now(const struct broker *b);
int64_t broker_real(struct broker *b); /* unix ms, as of the running callback */

/* verbs.c: what a peer says */
void verbs_handle(struct broker *b, struct peer *p, uint8_t *frame, size_t n, bool inside);

#endif
