#include "edge-http/wait.h"

#include <poll.h>

#include "edge-http/call.h"
#include "edge-http/http.h"
#include "edge-http/reply.h"

enum {
	WAIT_ASKED = 24, /* in vain: by then suspending would have cost as much */
	WAIT_IDLE_MS = 5,
	GONE_AFTER_MS = 250,
	GONE_BATCH = 256,
};

static void
add(struct http_req *r)
{
	r->suspended = true;
	r->waits_since_ms = loop_now(r->sh->loop);
	list_push_back(&r->sh->waiting, &r->node);
	metrics_add(r->sh->m, METRICS_IN_FLIGHT, 1);
	conn_waits(r->conn);
}

void
wait_suspend(struct http_req *r)
{
	add(r);
	MHD_suspend_connection(r->mhd);
}

void
wait_begin(struct http_req *r)
{
	add(r);
	r->asked = 1;
	r->sh->nasked++;
}

static void
ask_no_more(struct http_req *r)
{
	r->sh->nasked -= r->asked > 0;
	r->asked = 0;
}

void
wait_asked(struct http_req *r)
{
	if (r->asked == 0 || (++r->asked < WAIT_ASKED && !r->sh->idle))
		return;
	ask_no_more(r);
	MHD_suspend_connection(r->mhd);
}

void
wait_forget(struct http_req *r)
{
	if (r->suspended)
		metrics_add(r->sh->m, METRICS_IN_FLIGHT, -1);
	r->suspended = false;
	list_remove(&r->node);
	ask_no_more(r);
}

void
wait_end(struct http_req *r)
{
	bool asked = r->asked > 0;

	if (!r->suspended)
		return;
	wait_forget(r);
	if (!asked)
		MHD_resume_connection(r->mhd);
	shard_kick(r->sh);
}

int64_t
wait_run_after(struct shard *sh, int64_t ms)
{
	bool moved = sh->moved;

	sh->moved = false;
	sh->idle = false;
	return ms == 0 && sh->nasked > 0 && !moved ? WAIT_IDLE_MS : ms;
}

void
wait_idle(struct shard *sh)
{
	sh->idle = sh->nasked > 0;
}

static void
sweep_batch(struct http_req **v, struct pollfd *fds, nfds_t n)
{
	if (poll(fds, n, 0) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR))
			call_abandon(v[i]);
	}
}

/* Nobody looks at a connection while its request waits, so its end is looked for here. */
void
wait_sweep(struct shard *sh, int64_t now_ms)
{
	struct http_req *v[GONE_BATCH], *r;
	struct pollfd fds[GONE_BATCH];
	nfds_t n = 0;

	LIST_EACH (r, &sh->waiting, struct http_req, node) {
		if (now_ms - r->waits_since_ms < GONE_AFTER_MS)
			break;
		v[n] = r;
		fds[n++] = (struct pollfd){.fd = r->conn->fd, .events = POLLRDHUP};
		if (n == GONE_BATCH) {
			sweep_batch(v, fds, n);
			n = 0;
		}
	}
	if (n > 0)
		sweep_batch(v, fds, n);
}

void
wait_end_all(struct shard *sh)
{
	struct http_req *r;

	LIST_EACH (r, &sh->waiting, struct http_req, node) {
		if (r->stream) {
			reply_stream_end(r->stream, true);
			continue;
		}
		if (r->phase == HTTP_HEADER) {
			http_look_again(r);
			continue;
		}
		if (r->answer.status == 0)
			http_fail(r, ERR_DRAINING, "the server is ending");
		http_answered(r);
	}
}
