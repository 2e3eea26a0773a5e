/* A worker for OT-2 triggers in C.  Copy it and put your robot where `work` builds its rows. */
#include "base/uuid.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "proto/svc.h"

static void
stored(void *arg, const struct env *e)
{
	e->verb == ENV_OK ? worker_ack(arg)
			  : worker_nak(arg, -1, "the results could not be stored");
}

/* One item of a BATCH: its id depends on the trigger alone, so the broker knows a repeat after a
 * crash. */
static void
put_item(
    struct buf *b, const char *topic, const uint8_t trigger[16], uint8_t step, const char *json)
{
	uint8_t id[16];

	memcpy(id, trigger, 16);
	id[15] ^= step;
	mp_put_array(b, 4);
	mp_put_cstr(b, topic);
	mp_put_bin(b, span_of(id, 16));
	mp_put_map(b, 0);
	b->failed |= json_to_mp(span_str(json), b, NULL) != 0;
}

static void
work(void *arg, struct worker_msg *m)
{
	char uuid[UUID_TEXT + 1], topic[64], json[512];
	struct env e;
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	snprintf(topic, sizeof topic, "status.%s", uuid_text(m->env.id, uuid));
	mp_put_array(&b, 2);
	snprintf(json, sizeof json,
	    "{\"uuid\":\"%s\",\"rows\":[{\"index\":0,\"data\":{\"absorbance\":0.42}}]}", uuid);
	put_item(&b, "rows.in", m->env.id, 1, json);
	snprintf(json, sizeof json,
	    "{\"uuid\":\"%s\",\"status\":\"succeeded\",\"by\":\"example-c\"}", uuid);
	put_item(&b, topic, m->env.id, 2, json);
	env_init(&e, ENV_BATCH, span_str(""), NULL);
	worker_inherit(m, &e);
	e.body = buf_span(&b);
	if (b.failed || client_call(svc_client(arg), &e, 20000, stored, m) != ERR_OK)
		worker_nak(m, -1, "the results could not be sent");
	buf_fini(&b);
}

static int
start(void *state, struct svc *s)
{
	struct worker_sub_spec spec = {
	    .pattern = state, .group = "example-c", .msg = work, .arg = s};

	return worker_sub(svc_worker(s), &spec) == NULL;
}

int
main(int argc, char **argv)
{
	struct svc_spec spec = {.name = "example-c", .about = "an example", .start = start};

	return svc_main(argc, argv, &spec, "trigger.OT-2.v1alpha1.>");
}
