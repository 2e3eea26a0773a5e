/* A worker for OT-2 triggers in C.  Copy it and put your robot where `work` has its row. */
#include "base/uuid.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "proto/svc.h"

static void
stored(void *m, const struct env *e)
{
	e->verb == ENV_OK ? worker_ack(m) : worker_nak(m, -1, "the results were not stored");
}

/* One item of a BATCH.  Its id depends on the trigger alone: the broker knows a repeat. */
static void
put_item(struct buf *b, struct env trigger, uint8_t step, const char *topic, const char *rest)
{
	char uuid[UUID_TEXT + 1], json[512], full[64];

	uuid_text(trigger.id, uuid);
	trigger.id[15] ^= step;
	snprintf(full, sizeof full, "%s%s", topic, step > 1 ? uuid : "");
	snprintf(json, sizeof json, "{\"uuid\":\"%s\",%s}", uuid, rest);
	mp_put_array(b, 4);
	mp_put_cstr(b, full);
	mp_put_bin(b, span_of(trigger.id, 16));
	mp_put_map(b, 0);
	b->failed |= json_to_mp(span_str(json), b, NULL) != 0;
}

static void
work(void *svc, struct worker_msg *m)
{
	struct env e;
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	mp_put_array(&b, 2);
	put_item(&b, m->env, 1, "rows.in", "\"rows\":[{\"index\":0,\"data\":{\"od\":0.42}}]");
	put_item(&b, m->env, 2, "status.", "\"status\":\"succeeded\",\"by\":\"example-c\"");
	env_init(&e, ENV_BATCH, span_str(""), NULL);
	worker_inherit(m, &e);
	e.body = buf_span(&b);
	if (b.failed || client_call(svc_client(svc), &e, 20000, stored, m) != ERR_OK)
		worker_nak(m, -1, "the results could not be sent");
	buf_fini(&b);
}

static int
start(void *ours, struct svc *s)
{
	return worker_sub(svc_worker(s), &(struct worker_sub_spec){.pattern = ours, .arg = s,
	    .group = "example-c", .msg = work}) == NULL;
}

int
main(int argc, char **argv)
{
	char ours[] = "trigger.OT-2.v1alpha1.>";

	return svc_main(argc, argv, &(struct svc_spec){.name = "example-c", .start = start}, ours);
}
