/* A worker for OT-2 triggers in C.  Its ids depend on the trigger alone: the broker knows a repeat. */
#include "base/uuid.h"
#include "proto/json.h"
#include "proto/svc.h"

static void
stored(void *m, const struct env *e)
{
	e->verb == ENV_OK ? worker_ack(m) : worker_nak(m, -1, "the results were not stored");
}

static void
put(struct buf *batch, struct worker_msg *m, uint8_t step, const char *topic, const char *json)
{
	struct buf body = {.max = LIMIT_FRAME};
	struct env e;

	env_init(&e, ENV_PUB, span_str(topic), m->env.id);
	e.id[15] ^= step;
	worker_inherit(m, &e);
	batch->failed |= json_to_mp(span_str(json), &body, NULL) != 0;
	e.body = buf_span(&body);
	batch->failed |= env_put_item(&e, batch) != ERR_OK;
	buf_fini(&body);
}

static void
work(void *svc, struct worker_msg *m)
{
	char uuid[UUID_TEXT + 1], topic[64], json[512];
	struct buf b = {.max = LIMIT_FRAME};
	struct env e;

	snprintf(topic, sizeof topic, "status.%s", uuid_text(m->env.id, uuid));
	buf_putc(&b, (char)0x92); /* msgpack: an array of two */
	snprintf(json, sizeof json, "{\"uuid\":\"%s\",\"rows\":[{\"data\":{\"od\":0.42}}]}", uuid);
	put(&b, m, 1, "rows.in", json);
	snprintf(json, sizeof json, "{\"uuid\":\"%s\",\"status\":\"succeeded\",\"by\":\"example-c\"}", uuid);
	put(&b, m, 2, topic, json);
	env_init(&e, ENV_BATCH, span_str(""), NULL);
	e.body = buf_span(&b);
	if (b.failed || client_call(svc_client(svc), &e, 20000, stored, m) != ERR_OK)
		worker_nak(m, -1, "the results could not be sent");
	buf_fini(&b);
}

static int
start(void *ours, struct svc *s)
{
	return worker_sub(svc_worker(s), &(struct worker_sub_spec){
	    .pattern = ours, .group = "example-c", .msg = work, .arg = s}) == NULL;
}

int
main(int argc, char **argv)
{
	return svc_main(argc, argv, &(struct svc_spec){.name = "example-c", .start = start},
	    (char[]){"trigger.OT-2.v1alpha1.>"});
}
