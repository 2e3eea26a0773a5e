#ifndef BROKER_CTL_H
#define BROKER_CTL_H
/* sys.*: what the broker itself answers. */
#include "broker/broker.h"

/* A REQ on a topic whose first token is sys, and that no worker may serve. */
void ctl_request(struct broker *b, struct peer *p, const struct env *e);
/* sys.ping.<name>, sys.info.<name>, sys.stats.<name>: the three that workers serve. */
bool ctl_is_served(struct span topic);

/* The policies the journal knows; 0, or -1. */
int ctl_policies_open(struct broker *b);
/* A sys.trace under way goes on. */
void ctl_trace_turn(struct broker *b);
void ctl_trace_free(struct broker *b);

/* For the files of ctl: a call that is answered now or after a commit. */
struct ctl_call {
	uint64_t session;
	uint8_t id[16];
};
/* `body` failed or too big is answered TOO_BIG. */
void ctl_answer(struct broker *b, const struct ctl_call *c, const struct buf *body);
void ctl_refuse(struct broker *b, const struct ctl_call *c, enum err code, const char *text);

#endif
