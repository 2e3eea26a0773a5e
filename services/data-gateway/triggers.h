#ifndef GATEWAY_TRIGGERS_H
#define GATEWAY_TRIGGERS_H
/* The trigger that rows belong to, from the control tower: REQ control-tower.triggers.get, one at a
 * time a uuid, remembered (tcache.h).  In the loop's thread. */
#include "base/list.h"
#include "proto/client.h"
#include "services/data-gateway/tcache.h"

struct triggers;
struct triggers_wait;

/* `t` with a reference for the callee (its body {NULL,0}: the control tower knows no such trigger);
 * or NULL: it could not be asked, `why` says it.  Never from inside triggers_ask. */
typedef void triggers_fn(struct triggers_wait *w, struct trigger *t, const char *why);

/* The asker's own, zeroed before first use. */
struct triggers_wait {
	struct list link;
	triggers_fn *done;
	bool waits;
};

struct triggers *triggers_new(struct client *c, unsigned max_entries, size_t max_bytes);
void triggers_free(struct triggers *t); /* waits that are left are not called */
/* The trigger with a reference, if it is known; else NULL, and w->done will run. */
struct trigger *triggers_ask(struct triggers *t, const uint8_t uuid[16], struct triggers_wait *w);
void triggers_cancel(struct triggers_wait *w);

#endif
