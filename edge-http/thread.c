#include "edge-http/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/die.h"

enum { DRAIN_POLL_MS = 10, PENDING_MAX = 64 * 1024 * 1024 };

struct thread {
	struct edge *edge;
	struct shard *sh;
	struct loop *loop;
	int drain_fd;
	struct loop_fd *drain_watch;
	struct timer drain_poll;
	pthread_t id;
};

static void
on_drain_poll(struct timer *timer)
{
	struct thread *t = LIST_ITEM(timer, struct thread, drain_poll);

	if (shard_is_idle(t->sh)) {
		atomic_fetch_add(&t->edge->idle, 1);
	} else {
		loop_timer(t->loop, timer, loop_now(t->loop) + DRAIN_POLL_MS);
	}
}

static void
on_drain(void *arg, short revents)
{
	struct thread *t = arg;
	uint64_t n;

	(void)revents;
	if (read(t->drain_fd, &n, sizeof n) != (ssize_t)sizeof n)
		return;
	shard_drain(t->sh);
	loop_timer(t->loop, &t->drain_poll, loop_now(t->loop));
}

static void *
body(void *arg)
{
	struct thread *t = arg;
	struct link *link = link_new(t->loop, t->edge->conf.bus);
	struct client *client = client_new(link, PENDING_MAX);
	struct worker *worker = worker_new(client);

	shard_attach(t->sh, client, worker);
	(void)loop_run(t->loop);
	client_end(client);
	shard_free(t->sh);
	worker_free(worker);
	client_free(client);
	link_free(link);
	return NULL;
}

static void
release(struct thread *t)
{
	loop_fd_end(t->drain_watch);
	loop_free(t->loop);
	(void)close(t->drain_fd);
	free(t);
}

struct thread *
thread_start(struct edge *e, unsigned index, int listen_fd)
{
	struct thread *t = xcalloc(1, sizeof *t);

	t->edge = e;
	t->loop = loop_new();
	t->drain_poll.fn = on_drain_poll;
	t->drain_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->drain_fd == -1)
		die(EXIT_AGAIN, "eventfd failed");
	t->drain_watch = loop_fd(t->loop, t->drain_fd, ZMQ_POLLIN, on_drain, t);
	t->sh = shard_new(e, index, t->loop, listen_fd);
	if (t->sh == NULL) {
		release(t);
		return NULL;
	}
	if (pthread_create(&t->id, NULL, body, t) != 0) {
		log_error("thread_failed", LOG_U("shard", index));
		shard_free(t->sh);
		release(t);
		return NULL;
	}
	return t;
}

void
thread_drain(struct thread *t)
{
	const uint64_t one = 1;

	if (write(t->drain_fd, &one, sizeof one) == -1)
		log_warn("drain_not_said", LOG_ERRNO());
}

void
thread_stop(struct thread *t)
{
	if (t == NULL)
		return;
	loop_stop_from_outside(t->loop);
	(void)pthread_join(t->id, NULL);
	release(t);
}
