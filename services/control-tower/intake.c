#include "services/control-tower/intake.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "services/control-tower/cloudevent.h"
#include "services/control-tower/trigger.h"

#define SOURCE "service.control-tower.api"

enum { POINTER_MAX = 300 };

/* The faults of a part, as those of the whole. */
static void
lift_faults(const struct faults *part, const char *at, struct faults *f)
{
	struct buf pointer, detail;
	struct mp_r r;

	buf_init(&pointer, (size_t)8 << 10);
	buf_init(&detail, (size_t)8 << 10);
	mp_r_init(&r, buf_span(&part->items));
	for (unsigned i = 0; i < part->kept; i++) {
		struct span s;

		buf_reset(&pointer);
		buf_reset(&detail);
		(void)mp_map(&r);
		(void)mp_str(&r, SIZE_MAX);
		s = mp_str(&r, SIZE_MAX);
		buf_puts(&pointer, at);
		buf_put(&pointer, s.p, s.n);
		(void)mp_str(&r, SIZE_MAX);
		s = mp_str(&r, SIZE_MAX);
		buf_put(&detail, s.p, s.n);
		faults_add(f, buf_cstr(&pointer), "%s", buf_cstr(&detail));
	}
	buf_fini(&pointer);
	buf_fini(&detail);
}

static void
put_item(struct intake_item *it, const struct trigger *t, const char *source, struct span spec)
{
	buf_init(&it->topic, (size_t)2 * LIMIT_TOPIC);
	buf_init(&it->body, LIMIT_FRAME);
	trigger_put_body(t, it->id, source, spec, &it->body);
	/* trigger_read has seen that the topic fits. */
	INVARIANT(trigger_put_topic(t, &it->topic) == 0);
}

static void
read_plain(struct intake *in, const msgpack_object *body, const uint8_t id[16], struct faults *f)
{
	struct buf spec;
	struct trigger t;

	if (trigger_read(&t, body, NULL, f) != 0)
		return;
	in->items = xcalloc(1, sizeof *in->items);
	in->n = 1;
	memcpy(in->items[0].id, id, 16);
	buf_init(&spec, 64);
	mp_put_map(&spec, 1);
	mp_put_cstr(&spec, "endpoint");
	mp_put_cstr(&spec, "/triggers");
	put_item(&in->items[0], &t, SOURCE, buf_span(&spec));
	buf_fini(&spec);
}

static void
read_event(struct intake *in, const msgpack_object *body, struct span principal, const char *at,
    struct faults *f)
{
	struct intake_item *it = &in->items[in->n];
	char source[256], data[POINTER_MAX];
	struct cloudevent ce;
	struct faults own;
	struct trigger t;
	struct buf spec;
	int bad = cloudevent_read(&ce, body, at, f);

	if (ce.data == NULL)
		return;
	(void)snprintf(data, sizeof data, "%s/data", at);
	faults_init(&own);
	if (trigger_read(&t, ce.data, NULL, &own) == 0 && bad == 0) {
		cloudevent_id(&ce, principal, it->id);
		buf_init(&spec, 2048);
		cloudevent_put_spec(&ce, &spec);
		(void)str_copy(source, sizeof source, ce.source);
		put_item(it, &t, source, buf_span(&spec));
		buf_fini(&spec);
		in->n++;
	}
	lift_faults(&own, data, f);
	faults_fini(&own);
}

static bool
has_event(const msgpack_object *list)
{
	for (uint32_t i = 0; i < list->via.array.size; i++) {
		if (cloudevent_is(&list->via.array.ptr[i]))
			return true;
	}
	return false;
}

static void
read_events(struct intake *in, const msgpack_object *list, struct span principal, struct faults *f)
{
	uint32_t n = list->via.array.size;

	if (!has_event(list)) {
		faults_add(
		    f, "", "expected one trigger as an object; a list holds CloudEvents only");
		return;
	}
	if (n > LIMIT_BATCH) {
		faults_add(f, "", "expected 1 to %u CloudEvents", LIMIT_BATCH);
		return;
	}
	in->items = xcalloc(n, sizeof *in->items);
	for (uint32_t i = 0; i < n; i++) {
		const msgpack_object *o = &list->via.array.ptr[i];
		char at[16];

		(void)snprintf(at, sizeof at, "/%u", i);
		if (cloudevent_is(o)) {
			read_event(in, o, principal, at, f);
		} else {
			faults_add(f, at, "expected a CloudEvent: a list holds nothing else");
		}
	}
}

int
intake_read(struct intake *in, const msgpack_object *body, const uint8_t id[16],
    struct span principal, struct faults *f)
{
	unsigned before = f->n;

	*in = (struct intake){.batch = body->type == MSGPACK_OBJECT_ARRAY};
	in->events = in->batch || cloudevent_is(body);
	if (in->batch) {
		read_events(in, body, principal, f);
	} else if (in->events) {
		in->items = xcalloc(1, sizeof *in->items);
		read_event(in, body, principal, "", f);
	} else {
		read_plain(in, body, id, f);
	}
	return f->n == before ? 0 : -1;
}

void
intake_fini(struct intake *in)
{
	for (size_t i = 0; i < in->n; i++) {
		buf_fini(&in->items[i].topic);
		buf_fini(&in->items[i].body);
	}
	free(in->items);
	*in = (struct intake){.n = 0};
}
