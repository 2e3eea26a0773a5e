#ifndef BROKER_ZAP_H
#define BROKER_ZAP_H
/* RFC 27/ZAP: libzmq asks, for every connection that proved to own a key, whether it is let in.
 * Answered at once, from the loop; an answer is never waited for. */
#include "proto/loop.h"

struct zap;

struct zap_request {
	char domain[64], address[64];
	uint8_t key[32];
};

/* False: not let in.  `user` becomes the User-Id of every message of the connection. */
#define ZAP_USER 128
typedef bool zap_fn(void *arg, const struct zap_request *q, char user[ZAP_USER]);

struct zap *zap_new(struct loop *l, zap_fn *fn, void *arg); /* NULL: logged */
void zap_free(struct zap *z);                               /* NULL is harmless */

#endif
