/* sys.acl, sys.acl.reload. */
#include "base/die.h"
#include "broker/auth.h"
#include "broker/ctl_impl.h"

/* How many peers each entry has; the caller frees. */
static unsigned *
count_peers(const struct broker *b, const struct acl *a)
{
	unsigned *n = xcalloc(a->n + 1, sizeof(*n));

	for (const struct peer *p = b->reg.by_rid; p != NULL; p = p->hh.next) {
		if (p->lost == NULL && auth_entry(p) != NULL)
			n[auth_entry(p)->no]++;
	}
	return n;
}

void
ctl_acl(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	const struct acl *a = auth_acl(b);
	unsigned *peers = a ? count_peers(b, a) : NULL;
	struct buf body;

	(void)o;
	buf_init(&body, CTL_BODY_MAX);
	mp_put_map(&body, 3);
	mp_put_cstr(&body, "on");
	mp_put_bool(&body, a != NULL);
	mp_put_cstr(&body, "who");
	mp_put_array(&body, a != NULL ? a->n : 0);
	for (const struct acl_entry *e = a ? a->first : NULL; e != NULL; e = e->next) {
		mp_put_map(&body, 3);
		ctl_put_str(&body, "name", e->name);
		ctl_put_str(&body, "key", e->key);
		ctl_put_u(&body, "peers", peers[e->no]);
	}
	ctl_put_i(&body, "loaded", auth_loaded_ms(b));
	ctl_answer(b, c, &body);
	buf_fini(&body);
	free(peers);
}

void
ctl_acl_reload(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	char text[1024];
	struct buf body;

	(void)o;
	if (auth_reload(b, text, sizeof(text)) != 0) {
		ctl_refuse(b, c, auth_acl(b) ? ERR_INVALID : ERR_CONFLICT, text);
		return;
	}
	buf_init(&body, LIMIT_HEADER);
	mp_put_map(&body, 2);
	ctl_put_u(&body, "entries", auth_acl(b)->n);
	ctl_put_i(&body, "loaded", auth_loaded_ms(b));
	ctl_answer(b, c, &body);
	buf_fini(&body);
}
