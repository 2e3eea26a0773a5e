/* A worker that answers with what it was asked: bench.echo on the bus, POST /bench/echo at the
 * edge. */
#include "proto/svc.h"

static void
echo(void *arg, struct worker_msg *m)
{
	struct env rep;

	(void)arg;
	env_init(&rep, ENV_REP, (struct span){NULL, 0}, NULL);
	rep.body = m->env.body;
	worker_reply(m, &rep);
}

static int
start(void *state, struct svc *s)
{
	struct worker_sub_spec spec = {
	    .pattern = "bench.echo", .serve = true, .credit = 4096, .msg = echo};

	(void)state;
	return worker_sub(svc_worker(s), &spec) == NULL;
}

int
main(int argc, char **argv)
{
	const struct svc_spec spec = {
	    .name = "bench-echo",
	    .about = "Answers with what it was asked",
	    .start = start,
	    .api_json = "{\"openapi\":\"3.1.0\",\"paths\":{\"/bench/"
			"echo\":{\"get\":{\"operationId\":\"benchEcho\","
			"\"x-taxiway\":{\"topic\":\"bench.echo\"},\"responses\":{\"200\":{"
			"\"description\":\"echo\"}}}}}}",
	};

	return svc_main(argc, argv, &spec, NULL);
}
