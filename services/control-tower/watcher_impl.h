#ifndef CONTROL_TOWER_WATCHER_IMPL_H
#define CONTROL_TOWER_WATCHER_IMPL_H
/* The process (watcher_main.c) and its streams (watcher.c). */
#include "base/list.h"
#include "base/log.h"
#include "services/control-tower/watcher.h"

struct watcher {
	struct svc *svc;
	const struct watcher_ops *ops;
	void *state;
	char *name;
	struct list streams;
	bool stopping;
	uint64_t stored, batches, invalid, moved, retried;
	struct log_limit bad;
};

/* Those that wait to try again end now. */
void watcher_streams_stop(struct watcher *w);
void watcher_streams_free(struct watcher *w);

#endif
