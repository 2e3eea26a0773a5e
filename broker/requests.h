#ifndef BROKER_REQUESTS_H
#define BROKER_REQUESTS_H
/* The shell round route.h: REQ, REP, ERR, CANCEL, MORE. */
#include "broker/broker.h"

void requests_open(struct broker *b);
void requests_req(struct broker *b, struct peer *p, const struct env *e, struct span frame);
/* REP or ERR.  Writes the client's id into the frame, which is then forwarded. */
void requests_answer(
    struct broker *b, struct peer *p, const struct env *e, uint8_t *frame, size_t n);
void requests_cancel(struct broker *b, struct peer *p, const uint8_t id[16]);
/* Deadlines; call after anything that may have changed them. */
void requests_turn(struct broker *b);

#endif
