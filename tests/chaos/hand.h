#ifndef CHAOS_HAND_H
#define CHAOS_HAND_H
/* The processes of ours that tests/chaos kills: a publisher, a worker of a group, and a service
 * that the edge puts its POSTs to.  One program, one role a process.
 *
 * Each writes a ledger of its own, one line a fact, and what others may rely on is fsynced first:
 *
 *	S n             up to n may have been sent (publisher; not fsynced)
 *	B n k           n and the k - 1 after it are one BATCH (publisher; not fsynced)
 *	O n seq key crc answered OK (publisher)
 *	A|N|R at seq try again text
 *	                will be acked, was given back, was rejected (worker)
 *
 * `text` is the body of an envelope: "publisher n key padding crc", its own CRC-32 (that of zlib)
 * at the end; key "-" is none; `at` is monotonic ns. */
#include "base/buf.h"
#include "proto/svc.h"

#define HAND_TEXT 300

struct hand {
	struct svc *svc;
	struct svc_spec *spec; /* what svc_main was given */
	const char *role, *name, *ledger, *group;
	int64_t seed, window, rate, nak, reject, expire; /* the last three: of a thousand */
	int fd;
	struct buf lines; /* of this turn */
	uint64_t random;
};

uint64_t hand_random(struct hand *h, uint64_t n); /* < n */
/* Appends to the ledger whatever is in lines; dies when it cannot. */
void hand_write(struct hand *h, bool sync);
uint32_t hand_crc(struct span s);
/* Splits a text: key and the number; false: its CRC is not its own. */
bool hand_text(struct span text, struct span *key, uint64_t *n);
/* The str that is the whole body; {NULL,0}: it is something else. */
struct span hand_body(struct span body);

int hand_publish(struct hand *h);
int hand_work(struct hand *h);
int hand_gate(struct hand *h);

extern const char hand_gate_api[];

#endif
