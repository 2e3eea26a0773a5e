#ifndef BROKER_OUT_H
#define BROKER_OUT_H
/* Frames to peers.  What a peer takes as PACK is gathered until the end of the turn; what its
 * socket would not take waits in a queue bounded by --peer-bytes, over which the peer is dropped as
 * slow.  Sending never fails for the caller: who is gone is removed at the end of the turn. */
#include "broker/broker.h"

void out_frame(struct broker *b, struct peer *p, struct span frame);
/* e's body follows its header; it may be large, it is copied once. */
void out_env(struct broker *b, struct peer *p, const struct env *e);
void out_ok(struct broker *b, struct peer *p, const uint8_t id[16]);
void out_err(
    struct broker *b, struct peer *p, const uint8_t id[16], enum err code, const char *text);
/* `detail` is one msgpack object. */
void out_err_detail(
    struct broker *b, struct peer *p, const uint8_t id[16], enum err code, struct span detail);
void out_flush(struct broker *b);                   /* end of the turn */
void out_discard(struct broker *b, struct peer *p); /* frees what waits for it */
void out_free_rooms(struct broker *b);              /* the end */

#endif
