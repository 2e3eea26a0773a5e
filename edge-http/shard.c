#include "edge-http/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "edge-http/announce.h"
#include "edge-http/conn.h"
#include "edge-http/http.h"
#include "edge-http/wait.h"

enum {
	SWEEP_MS = 250,
	IDLE_S = 75,             /* of reading and writing; what is shorter is swept */
	CONN_MEMORY = 32 * 1024, /* header and what is read ahead of a body; zeroed each request */
	FLUSH_ROUNDS = 16,
};

static void
run(void *arg)
{
	struct shard *sh = arg;
	MHD_UNSIGNED_LONG_LONG ms;
	int64_t after;

	sh->kicked = false;
	(void)MHD_run(sh->mhd);
	if (MHD_get_timeout(sh->mhd, &ms) != MHD_YES)
		return;
	after = wait_run_after(sh, (int64_t)ms);
	if (after == 0) {
		shard_kick(sh);
	} else {
		loop_timer(sh->loop, &sh->run_timer, loop_now(sh->loop) + after);
	}
}

void
shard_kick(struct shard *sh)
{
	if (sh->kicked || sh->mhd == NULL)
		return;
	sh->kicked = true;
	loop_later(sh->loop, run, sh);
}

static void
on_epoll(void *arg, short revents)
{
	(void)revents;
	run(arg);
}

static void
on_run_timer(struct timer *t)
{
	struct shard *sh = LIST_ITEM(t, struct shard, run_timer);

	wait_idle(sh);
	run(sh);
}

static void
on_sweep(struct timer *t)
{
	struct shard *sh = LIST_ITEM(t, struct shard, sweep_timer);
	int64_t now = loop_now(sh->loop);

	conn_sweep(sh, now);
	wait_sweep(sh, now);
	loop_timer(sh->loop, t, now + SWEEP_MS);
}

/* libmicrohttpd's own words: why it could not read a request. */
static void __attribute__((format(printf, 2, 0)))
on_mhd_line(void *cls, const char *fmt, va_list ap)
{
	char text[256];

	vsnprintf(text, sizeof text, fmt, ap);
	if (strstr(text, "Content-Length"))
		http_refuse_length(cls);
	if (strstr(text, "allocate header record"))
		http_refuse_query(cls);
	text[strcspn(text, "\n")] = '\0';
	log_debug("mhd", LOG_S("text", text));
}

static int
start_mhd(struct shard *sh)
{
	const struct edge_conf *conf = &sh->edge->conf;
	const union MHD_DaemonInfo *info;
	int64_t limit = conf->max_connections / sh->edge->nshards;

	sh->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
	    NULL, NULL, http_on_access, sh, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_line, sh,
	    MHD_OPTION_LISTEN_SOCKET, sh->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed,
	    sh, MHD_OPTION_NOTIFY_CONNECTION, conn_notify, sh, MHD_OPTION_URI_LOG_CALLBACK,
	    http_on_uri, sh, MHD_OPTION_CONNECTION_LIMIT, (unsigned)(limit > 0 ? limit : 1),
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)CONN_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
	    1, MHD_OPTION_END);
	if (sh->mhd == NULL) {
		log_error("mhd_failed", LOG_U("shard", sh->index), LOG_ERRNO());
		return -1;
	}
	info = MHD_get_daemon_info(sh->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return -1;
	sh->watch = loop_fd(sh->loop, info->epoll_fd, ZMQ_POLLIN, on_epoll, sh);
	return 0;
}

static void
set_slots(struct shard *sh, struct routes *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct route *r = t->v[i];

		r->slot = metrics_slot(sh->m, "other", r->path);
		for (int m = 0; m < ROUTES_METHODS; m++) {
			if (r->ops[m]) {
				r->ops[m]->slot = metrics_slot(
				    sh->m, routes_method_name((enum routes_method)m), r->path);
			}
		}
	}
}

struct shard *
shard_new(struct edge *e, unsigned index, struct loop *l, int listen_fd)
{
	struct shard *sh = xcalloc(1, sizeof *sh);

	sh->edge = e;
	sh->index = index;
	sh->loop = l;
	sh->m = e->metrics[index];
	sh->listen_fd = listen_fd;
	sh->run_timer.fn = on_run_timer;
	sh->sweep_timer.fn = on_sweep;
	list_init(&sh->conns);
	list_init(&sh->waiting);
	list_init(&sh->lingering);
	list_init(&sh->spare);
	buf_init(&sh->openapi, OPENAPI_MAX);
	builtin_init(&sh->own);
	set_slots(sh, sh->own.routes);
	sh->unrouted = metrics_slot(sh->m, "other", "(none)");
	if (start_mhd(sh) != 0) {
		shard_free(sh);
		return NULL;
	}
	loop_timer(l, &sh->sweep_timer, loop_now(l) + SWEEP_MS);
	return sh;
}

bool
shard_bus_is_up(const struct shard *sh)
{
	return sh->link && link_is_up(sh->link);
}

static void
on_up(void *arg)
{
	struct shard *sh = arg;

	metrics_set(sh->m, METRICS_BUS_UP, 1);
	announce_start(sh->announce);
}

static void
on_down(void *arg)
{
	struct shard *sh = arg;

	metrics_set(sh->m, METRICS_BUS_UP, 0);
}

void
shard_attach(struct shard *sh, struct client *c, struct worker *w)
{
	sh->client = c;
	sh->worker = w;
	sh->link = client_link(c);
	sh->announce = announce_new(sh);
	link_listen(sh->link, &(struct link_ops){.up = on_up, .down = on_down, .arg = sh});
	if (link_is_up(sh->link))
		on_up(sh);
}

static void
log_new_notes(const struct shard *sh, const struct notes *ns)
{
	for (size_t i = 0; sh->index == 0 && i < ns->kept; i++) {
		if (!notes_has(&sh->notes, &ns->v[i])) {
			log_warn("announcement_refused", LOG_S("service", ns->v[i].service),
			    LOG_S("path", ns->v[i].path), LOG_S("why", ns->v[i].why));
		}
	}
}

void
shard_load(struct shard *sh, struct registry_built *b)
{
	bool first = sh->routes == NULL;
	const uint64_t one = 1;

	set_slots(sh, b->routes);
	log_new_notes(sh, &b->notes);
	routes_unref(sh->routes);
	buf_fini(&sh->openapi);
	notes_fini(&sh->notes);
	sh->routes = b->routes;
	sh->openapi = b->openapi;
	sh->notes = b->notes;
	metrics_set(sh->m, METRICS_ROUTES_LOADED, 1);
	metrics_set(sh->m, METRICS_ROUTES, sh->routes->n);
	metrics_add(sh->m, METRICS_RELOADS, 1);
	log_debug("routes_loaded", LOG_U("shard", sh->index), LOG_U("paths", sh->routes->n),
	    LOG_U("refused", sh->notes.n));
	if (!first)
		return;
	atomic_fetch_add(&sh->edge->loaded, 1);
	if (write(sh->edge->loaded_fd, &one, sizeof one) == -1)
		log_warn("loaded_not_said", LOG_ERRNO());
}

void
shard_drain(struct shard *sh)
{
	MHD_socket fd;

	sh->draining = true;
	fd = MHD_quiesce_daemon(sh->mhd);
	if (fd != MHD_INVALID_SOCKET)
		(void)close(fd);
	conn_sweep(sh, loop_now(sh->loop));
}

bool
shard_is_idle(const struct shard *sh)
{
	const struct conn *c;

	LIST_EACH (c, &sh->conns, struct conn, node)
		if (c->req)
			return false;
	return list_empty(&sh->waiting);
}

void
shard_free(struct shard *sh)
{
	if (sh == NULL)
		return;
	sh->draining = true;
	if (sh->mhd) {
		wait_end_all(sh);
		for (int i = 0; i < FLUSH_ROUNDS && !shard_is_idle(sh); i++)
			(void)MHD_run(sh->mhd);
		MHD_stop_daemon(sh->mhd);
		sh->mhd = NULL;
	}
	conn_lingering_end(sh);
	http_free_spare(sh);
	loop_fd_end(sh->watch);
	loop_later_cancel(sh->loop, sh);
	loop_timer_clear(sh->loop, &sh->run_timer);
	loop_timer_clear(sh->loop, &sh->sweep_timer);
	if (sh->link)
		link_unlisten(sh->link, sh);
	announce_free(sh->announce);
	routes_unref(sh->routes);
	buf_fini(&sh->openapi);
	notes_fini(&sh->notes);
	builtin_fini(&sh->own);
	free(sh);
}
