#ifndef BROKER_PUB_IMPL_H
#define BROKER_PUB_IMPL_H
/* What pub.c and batch.c share.  Nobody else includes this. */
#include "broker/acl.h"
#include "broker/pace.h"
#include "broker/pub.h"

/* One PUB or BATCH on its way through the journal. */
struct put {
	struct job job;
	struct pace_item pace;
	uint64_t session; /* who is answered; 0: nobody */
	uint8_t id[16];
	bool batch;
	size_t bytes;
	char owner[ACL_NAME + 1];
	struct buf cursor;          /* src, cur, was of a BATCH, whose frame is not kept */
	char full[LIMIT_GROUP + 1]; /* a group that takes no more: only repeats are answered */
	struct rec **recs;
	unsigned n;
	struct journal_rec first; /* of a PUB, to save an allocation */
	struct rec *first_rec;
};

struct put *pub_put_new(
    unsigned n, uint64_t session, const uint8_t id[16]); /* room for n records */
void pub_put_free(struct put *u);
/* Takes r. */
void pub_add(struct put *u, struct rec *r, const struct env *e);
/* Of the last record: no group it concerns is full, or it may be a repeat. */
bool pub_may_go(struct broker *b, struct put *u);
/* Takes u, which is answered when it is on disk.  p NULL: the broker's own. */
void pub_submit(struct broker *b, struct put *u, struct peer *p);

bool pub_has_room(const struct broker *b, const struct peer *p, size_t bytes);
/* NULL: it may be published; else what is wrong, and *code. */
const char *pub_refuses(struct broker *b, struct peer *p, const struct env *e, enum err *code);
struct span pub_from(const struct peer *p); /* whose a record is */

/* `at`: which envelope of a BATCH is at fault; -1: none alone. */
void pub_refuse(
    struct broker *b, struct peer *p, const uint8_t id[16], enum err code, int at, const char *why);
void pub_refuse_full(struct broker *b, struct peer *p, const struct put *u, int at);

#endif
