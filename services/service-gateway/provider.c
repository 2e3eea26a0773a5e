#include "services/service-gateway/provider.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/topic.h"

struct provider {
	const struct provider_ops *ops;
	const char *name;
	struct svc *svc;
	size_t calls;
};

static struct provider self;

static const struct opt own_rows[] = {
    {"name", OPT_STR, &self.name, "", 0, 0, 0,
	"name on the bus, when two of one kind run (default: the plugin's)"},
};

struct loop *
provider_loop(struct provider *p)
{
	return svc_loop(p->svc);
}

int64_t
provider_left_ms(const struct provider_call *c)
{
	return c->m->deadline_ms - loop_now(svc_loop(c->p->svc));
}

static void
call_free(struct provider_call *c)
{
	c->p->calls--;
	doc_fini(&c->doc);
	free(c);
}

void
provider_answer(struct provider_call *c, struct span body)
{
	struct env rep;

	env_init(&rep, ENV_REP, (struct span){NULL, 0}, NULL);
	rep.body = body;
	worker_reply(c->m, &rep);
	call_free(c);
}

void
provider_fail(struct provider_call *c, enum err code, const char *text)
{
	log_info("provider_failed", LOG_ID("id", c->m->env.id), LOG_S("code", err_name(code)),
	    LOG_S("why", text));
	worker_fail(c->m, code, text);
	call_free(c);
}

static void
on_call(void *arg, struct worker_msg *m)
{
	struct provider *p = arg;
	struct provider_call *c = xcalloc(1, sizeof *c);

	c->p = p;
	c->m = m;
	p->calls++;
	if (doc_parse(&c->doc, m->env.body) != 0) {
		provider_fail(
		    c, ERR_BAD_ENVELOPE, "the body is not one msgpack object within the limits");
		return;
	}
	c->args = &c->doc.root;
	c->method = topic_token(m->env.topic, 3);
	m->user = c;
	p->ops->call(p, c);
}

static void
on_cancel(void *arg, struct worker_msg *m)
{
	struct provider *p = arg;

	if (p->ops->cancel != NULL)
		p->ops->cancel(p, m->user);
}

static int
open_provider(void *arg, struct svc *s)
{
	struct provider *p = arg;

	p->svc = s;
	if (p->name[0] == '\0')
		p->name = p->ops->name;
	if (!str_is_name(span_str(p->name), 64)) {
		fprintf(stderr, "--name: expected [A-Za-z0-9_-], at most 64 bytes, got '%s'\n",
		    p->name);
		return EXIT_NORESTART;
	}
	return p->ops->open ? p->ops->open(p) : 0;
}

static int
start(void *arg, struct svc *s)
{
	struct provider *p = arg;
	char pattern[LIMIT_TOPIC + 1];
	struct worker_sub_spec spec = {.pattern = pattern,
	    .serve = true,
	    .credit = 4096,
	    .msg = on_call,
	    .cancel = on_cancel,
	    .arg = p};

	snprintf(pattern, sizeof pattern, "provider.%s.%s.*", p->ops->service, p->name);
	worker_sub(svc_worker(s), &spec);
	return 0;
}

static bool
idle(void *arg)
{
	const struct provider *p = arg;

	return p->calls == 0;
}

static void
close_provider(void *arg)
{
	struct provider *p = arg;

	if (p->ops->close != NULL)
		p->ops->close(p);
}

int
provider_main(int argc, char **argv, const struct provider_ops *ops)
{
	char *program = xasprintf("provider-%s", ops->name);
	const struct opt_table tables[] = {
	    {ops->env_prefix, program, ops->options, ops->noptions},
	    {ops->env_prefix, "every provider", own_rows, 1},
	};
	const struct svc_spec spec = {
	    .name = program,
	    .about = ops->about,
	    .options = tables,
	    .noptions = 2,
	    .open = open_provider,
	    .start = start,
	    .idle = idle,
	    .close = close_provider,
	};
	int code;

	self.ops = ops;
	code = svc_main(argc, argv, &spec, &self);
	free(program);
	return code;
}
