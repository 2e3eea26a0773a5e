/* Loops, links and clients in several threads of one process share nothing: the edge runs so. */
#include <pthread.h>

#include "proto/client.h"
#include "tests/unit/check.h"
#include "tests/unit/fake_broker.h"

#define THREADS 4
#define CALLS 300

struct shard {
	const char *endpoint;
	struct loop *loop;
	struct client *client;
	unsigned ok, bad, left;
};

static void on_done(void *arg, const struct env *e);

static void
call(struct shard *s)
{
	struct env e;

	env_init(&e, ENV_PUB, span_str("a.b"), NULL);
	if (client_call(s->client, &e, 30000, on_done, s) != ERR_OK)
		s->bad++;
}

static void
on_done(void *arg, const struct env *e)
{
	struct shard *s = arg;

	if (e->verb == ENV_OK)
		s->ok++;
	else
		s->bad++;
	if (s->left > 0) {
		s->left--;
		call(s);
	}
	if (s->ok + s->bad == CALLS)
		loop_stop(s->loop);
}

static void *
run(void *arg)
{
	struct shard *s = arg;
	struct link *k;

	s->loop = loop_new();
	k = link_new(s->loop, s->endpoint);
	s->client = client_new(k, 1 << 20);
	s->left = CALLS - 10;
	for (unsigned i = 0; i < 10; i++)
		call(s);
	(void)loop_run(s->loop);
	client_free(s->client);
	link_free(k);
	loop_free(s->loop);
	return NULL;
}

static void
answer(struct fake *f, const struct env *e)
{
	fake_answer(f, ENV_OK, e->id);
}

static void *
serve(void *arg)
{
	(void)loop_run(arg);
	return NULL;
}

int
main(void)
{
	struct shard shard[THREADS] = {{.ok = 0}};
	pthread_t t[THREADS], broker_thread;
	struct fake broker;
	struct loop *l;

	sock_process_init();
	l = loop_new();
	fake_init(&broker, l, "threads");
	broker.on = answer;
	broker.feature = "pack";
	CHECK(pthread_create(&broker_thread, NULL, serve, l) == 0);
	for (unsigned i = 0; i < THREADS; i++) {
		shard[i].endpoint = broker.endpoint;
		CHECK(pthread_create(&t[i], NULL, run, &shard[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK(pthread_join(t[i], NULL) == 0);
		CHECK(shard[i].ok == CALLS && shard[i].bad == 0);
	}
	loop_stop_from_outside(l);
	CHECK(pthread_join(broker_thread, NULL) == 0);
	CHECK(broker.n[ENV_PUB] == THREADS * CALLS);
	fake_stop(&broker);
	loop_free(l);
	return check_done();
}
