#include "services/control-tower/markers.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/uuid.h"
#include "proto/digest.h"
#include "proto/doc.h"

#define WEEK_MS (INT64_C(7) * 86400 * 1000)
#define AGAIN_MS (INT64_C(86400) * 1000)

struct markers {
	struct worker *worker;
	struct loop *loop;
	struct worker_sub *sub;
	struct timer again;
	uint64_t count;
};

static void
on_gone(void *arg, const struct env *e)
{
	(void)arg;
	if (e->verb != ENV_OK)
		log_warn("marker_stays", LOG_S("code", err_name(env_err_code(e))));
}

static bool
is_old(struct span body)
{
	char before[25];
	struct span at;
	struct doc d;
	bool old = false;

	if (doc_parse(&d, body) == 0) {
		at = doc_str(&d.root, "at");
		clock_rfc3339(clock_real_ms() - WEEK_MS, before);
		/* RFC 3339 in UTC sorts as text; whatever else it is stays. */
		old = at.n == 24 && at.p[23] == 'Z' && memcmp(at.p, before, 24) < 0;
	}
	doc_fini(&d);
	return old;
}

static void
take_away(struct markers *k, const struct worker_msg *m)
{
	uint8_t digest[DIGEST_BYTES], id[16];
	struct env e;

	digest_parts(
	    digest, (struct span[]){span_str("forget"), m->env.topic, span_of(m->env.id, 16)}, 3);
	uuid_v8(id, digest);
	env_init(&e, ENV_PUB, m->env.topic, id);
	env_set_u(&e, ENV_M_RETAIN, 1);
	if (client_call(worker_client(k->worker), &e, 30000, on_gone, NULL) == ERR_OK)
		k->count++;
}

static void
on_msg(void *arg, struct worker_msg *m)
{
	if (env_u(&m->head, ENV_M_RETAIN, 0) != 0 && is_old(m->env.body))
		take_away(arg, m);
	worker_drop(m);
}

static void
look(struct markers *k)
{
	k->sub = worker_sub(
	    k->worker, &(struct worker_sub_spec){
			   .pattern = "cancel.*", .credit = 64, .msg = on_msg, .arg = k});
	loop_timer(k->loop, &k->again, loop_now(k->loop) + AGAIN_MS);
}

static void
on_again(struct timer *t)
{
	struct markers *k = LIST_ITEM(t, struct markers, again);

	worker_unsub(k->sub);
	look(k);
}

struct markers *
markers_new(struct worker *w)
{
	struct markers *k = xcalloc(1, sizeof *k);

	k->worker = w;
	k->loop = link_loop(client_link(worker_client(w)));
	k->again.fn = on_again;
	look(k);
	return k;
}

void
markers_free(struct markers *k)
{
	if (k == NULL)
		return;
	loop_timer_clear(k->loop, &k->again);
	free(k);
}

uint64_t
markers_count(const struct markers *k)
{
	return k != NULL ? k->count : 0;
}
