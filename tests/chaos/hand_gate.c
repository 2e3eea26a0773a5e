/* Behind the edge: POST /chaos becomes a PUB on t.http under the id of the request, so that a
 * repeat under the same Idempotency-Key is the same envelope. */
#include "proto/mp.h"
#include "tests/chaos/hand.h"

const char hand_gate_api[] =
    "{\"openapi\":\"3.1.0\",\"paths\":{\"/chaos\":{\"post\":{\"operationId\":\"chaos\","
    "\"parameters\":[{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"schema\":{\"type\":"
    "\"string\"}}],\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{}}},"
    "\"responses\":{\"201\":{\"description\":\"stored\"}},"
    "\"x-taxiway\":{\"topic\":\"chaos.put\",\"ttl\":2000,\"again\":true}}}}}";

static void
on_stored(void *arg, const struct env *e)
{
	struct worker_msg *m = arg;
	struct env rep;
	struct buf b;

	if (e->verb != ENV_OK) {
		worker_fail(m, env_err_code(e), "it was not stored");
		return;
	}
	env_init(&rep, ENV_REP, (struct span){NULL, 0}, NULL);
	buf_init(&b, 64);
	mp_put_map(&b, 1);
	mp_put_cstr(&b, "seq");
	mp_put_u64(&b, env_u(e, ENV_M_SEQ, 0));
	rep.body = buf_span(&b);
	worker_reply(m, &rep);
	buf_fini(&b);
}

static void
on_request(void *arg, struct worker_msg *m)
{
	struct hand *h = arg;
	struct span text = hand_body(m->env.body), key;
	struct env e;
	uint64_t n;

	if (!hand_text(text, &key, &n)) {
		worker_fail(m, ERR_INVALID, "not one of our texts");
		return;
	}
	env_init(&e, ENV_PUB, span_str("t.http"), m->env.id);
	if (!span_is(key, "-"))
		env_set_s(&e, ENV_M_KEY, key);
	e.body = m->env.body;
	if (client_call(svc_client(h->svc), &e, 2000, on_stored, m) != ERR_OK)
		worker_fail(m, ERR_BUSY, "a request with this key is under way");
}

int
hand_gate(struct hand *h)
{
	const struct worker_sub_spec spec = {
	    .pattern = "chaos.put", .serve = true, .credit = 64, .msg = on_request, .arg = h};

	return worker_sub(svc_worker(h->svc), &spec) == NULL;
}
