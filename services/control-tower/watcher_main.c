/* The process around the streams of watcher.h. */
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/mp.h"
#include "services/control-tower/watcher_impl.h"

#define INSTANCE_MAX 32

struct loop *
watcher_loop(struct watcher *w)
{
	return svc_loop(w->svc);
}

static int
open_svc(void *arg, struct svc *svc)
{
	struct watcher *w = arg;

	w->svc = svc;
	if (*svc_instance(svc) && !str_is_name(span_str(svc_instance(svc)), INSTANCE_MAX)) {
		log_error("bad_option", LOG_S("option", "--instance"),
		    LOG_S("expected", "1 to 32 of A-Z a-z 0-9 _ -"));
		return EXIT_NORESTART;
	}
	return w->ops->open ? w->ops->open(w, w->state) : 0;
}

static int
start_svc(void *arg, struct svc *svc)
{
	struct watcher *w = arg;

	(void)svc;
	return w->ops->start(w, w->state);
}

static void
drain_svc(void *arg)
{
	struct watcher *w = arg;

	w->stopping = true;
	w->ops->stop(w->state);
	watcher_streams_stop(w);
}

static bool
idle_svc(void *arg)
{
	struct watcher *w = arg;

	return w->ops->idle == NULL || w->ops->idle(w->state);
}

static void
close_svc(void *arg)
{
	struct watcher *w = arg;

	w->stopping = true;
	w->ops->close(w->state);
	watcher_streams_free(w);
}

static unsigned
stats_svc(void *arg, struct buf *out)
{
	struct watcher *w = arg;
	const struct {
		const char *name;
		uint64_t n;
	} count[] = {
	    {"stored", w->stored},
	    {"batches", w->batches},
	    {"invalid", w->invalid},
	    {"moved", w->moved},
	    {"retried", w->retried},
	};
	unsigned n = sizeof count / sizeof *count;

	for (unsigned i = 0; i < n; i++) {
		mp_put_cstr(out, count[i].name);
		mp_put_u64(out, count[i].n);
	}
	return n + (w->ops->stats ? w->ops->stats(w->state, out) : 0);
}

static char *
env_prefix(const char *name)
{
	char *prefix = xasprintf("PLUGIN_%s_", name);

	for (char *p = prefix; *p; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
		if (*p == '-')
			*p = '_';
	}
	return prefix;
}

int
watcher_main(int argc, char **argv, const struct watcher_ops *ops, void *state)
{
	struct watcher w = {.ops = ops, .state = state};
	char *prefix = env_prefix(ops->name);
	struct opt_table table = {prefix, ops->name, ops->options, ops->noptions};
	int code;

	w.name = xasprintf("watcher-%s", ops->name);
	list_init(&w.streams);
	code = svc_main(argc, argv,
	    &(struct svc_spec){
		.name = w.name,
		.about = ops->about,
		.options = &table,
		.noptions = 1,
		.open = open_svc,
		.start = start_svc,
		.drain = drain_svc,
		.idle = idle_svc,
		.close = close_svc,
		.stats = stats_svc,
	    },
	    &w);
	free(w.name);
	free(prefix);
	return code;
}
