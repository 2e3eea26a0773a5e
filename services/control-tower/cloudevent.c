#include "services/control-tower/cloudevent.h"

#include <stdio.h>

#include "base/uuid.h"
#include "proto/digest.h"
#include "proto/mp.h"
#include "services/control-tower/plain.h"

#define LABEL_MAX 255

bool
cloudevent_is(const msgpack_object *body)
{
	return doc_get(body, "specversion") != NULL;
}

static void
complain(const char *at, const char *name, struct faults *f, const char *what)
{
	char pointer[128];

	(void)snprintf(pointer, sizeof pointer, "%s/%s", at, name);
	faults_add(f, pointer, "%s", what);
}

static struct span
label(const msgpack_object *body, const char *at, const char *name, struct faults *f)
{
	struct span s = doc_str(body, name);

	if (!plain_is_label(s, LABEL_MAX))
		complain(at, name, f, "expected text of 1 to 255 bytes without control characters");
	return s;
}

int
cloudevent_read(struct cloudevent *c, const msgpack_object *body, const char *at, struct faults *f)
{
	unsigned before = f->n;

	*c = (struct cloudevent){.data = doc_get(body, "data")};
	if (!span_is(doc_str(body, "specversion"), "1.0"))
		complain(at, "specversion", f, "expected \"1.0\"");
	c->source = label(body, at, "source", f);
	c->id = label(body, at, "id", f);
	c->type = label(body, at, "type", f);
	if (doc_get(body, "subject") != NULL)
		c->subject = label(body, at, "subject", f);
	if (c->data == NULL)
		complain(at, "data", f, "expected a trigger, as JSON");
	return f->n == before ? 0 : -1;
}

void
cloudevent_id(const struct cloudevent *c, struct span principal, uint8_t id[16])
{
	struct span parts[] = {span_str("cloudevent"), principal, c->source, c->id};
	uint8_t digest[DIGEST_BYTES];

	digest_parts(digest, parts, sizeof parts / sizeof *parts);
	uuid_v8(id, digest);
}

void
cloudevent_put_spec(const struct cloudevent *c, struct buf *out)
{
	mp_put_map(out, c->subject.p ? 3 : 2);
	mp_put_cstr(out, "id");
	mp_put_str(out, c->id);
	mp_put_cstr(out, "type");
	mp_put_str(out, c->type);
	if (c->subject.p == NULL)
		return;
	mp_put_cstr(out, "subject");
	mp_put_str(out, c->subject);
}
