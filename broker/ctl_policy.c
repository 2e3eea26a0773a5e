/* sys.policies, .set, .delete: what groups start from. */
#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "broker/ctl_impl.h"
#include "proto/topic.h"

static const char *const fulls[] = {[POLICY_FULL_PAUSE] = "pause", [POLICY_FULL_BUSY] = "busy"};

void
ctl_put_field(struct buf *out, enum policy_field field, int64_t v)
{
	if (field == POLICY_FULL) {
		ctl_put_str(out, policy_name(field), fulls[v == POLICY_FULL_BUSY]);
	} else {
		ctl_put_i(out, policy_name(field), v);
	}
}

static bool
take_full(const msgpack_object *o, int64_t *v)
{
	struct span s = doc_span(o);

	if (!span_is(s, "pause") && !span_is(s, "busy"))
		return false;
	*v = span_is(s, "busy") ? POLICY_FULL_BUSY : POLICY_FULL_PAUSE;
	return true;
}

void
ctl_take_fields(const msgpack_object *o, int64_t v[POLICY_FIELDS], struct faults *f)
{
	for (int i = 0; i < POLICY_FIELDS; i++) {
		enum policy_field field = (enum policy_field)i;
		const msgpack_object *value = doc_get(o, policy_name(field));
		int64_t n = doc_i64(o, policy_name(field), INT64_MIN);
		char pointer[32];

		if (value == NULL)
			continue;
		snprintf(pointer, sizeof(pointer), "/%s", policy_name(field));
		if (field == POLICY_FULL) {
			if (!take_full(value, &v[i]))
				faults_add(f, pointer, "expected \"pause\" or \"busy\"");
		} else if (n < policy_least(field) || n > policy_most(field)) {
			faults_add(f, pointer, "expected an integer from %lld to %lld",
			    (long long)policy_least(field), (long long)policy_most(field));
		} else {
			v[i] = n;
		}
	}
}

static void
put_policy(struct buf *out, const struct policy *p)
{
	unsigned n = 1;

	for (int f = 0; f < POLICY_FIELDS; f++)
		n += p->v[f] != POLICY_UNSAID ? 1 : 0;
	mp_put_map(out, n);
	ctl_put_str(out, "pattern", p->pattern);
	for (int f = 0; f < POLICY_FIELDS; f++) {
		if (p->v[f] != POLICY_UNSAID)
			ctl_put_field(out, (enum policy_field)f, p->v[f]);
	}
}

static void
unsaid(struct policy *p)
{
	for (int f = 0; f < POLICY_FIELDS; f++)
		p->v[f] = POLICY_UNSAID;
}

static void
on_policy(void *arg, struct span pattern, struct span settings)
{
	struct broker *b = arg;
	struct policy p = {0};
	struct faults f;
	struct doc d;

	unsaid(&p);
	faults_init(&f);
	if (doc_parse(&d, settings) == 0)
		ctl_take_fields(&d.root, p.v, &f);
	if (!str_copy(p.pattern, sizeof(p.pattern), pattern) || f.n > 0 ||
	    !policies_set(b->policies, &p))
		log_error("policy_unreadable", LOG_B("pattern", pattern));
	doc_fini(&d);
	faults_fini(&f);
}

int
ctl_policies_open(struct broker *b)
{
	return journal_policies(b->journal, on_policy, b);
}

void
ctl_policies(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct buf body;

	(void)o;
	buf_init(&body, CTL_BODY_MAX);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "policies");
	mp_put_array(&body, policies_count(b->policies));
	for (unsigned i = 0; i < policies_count(b->policies); i++)
		put_policy(&body, policies_at(b->policies, i));
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

struct change {
	struct job job;
	struct ctl_call call;
	struct policy policy;
	struct buf settings;
};

static void
on_done(struct broker *b, struct job *j)
{
	struct change *g = LIST_ITEM(j, struct change, job);
	struct buf body;

	if (j->op.err != ERR_OK) {
		ctl_refuse_op(b, &g->call, j->op.err, "too many policies");
	} else {
		if (j->op.kind == JOURNAL_POLICY) {
			(void)policies_set(b->policies, &g->policy);
		} else {
			policies_del(b->policies, span_str(g->policy.pattern));
		}
		buf_init(&body, LIMIT_HEADER);
		put_policy(&body, &g->policy);
		ctl_answer(b, &g->call, &body);
		buf_fini(&body);
	}
	buf_fini(&g->settings);
	free(g);
}

static void
submit(struct broker *b, const struct ctl_call *c, enum journal_kind kind, const struct policy *p)
{
	struct change *g = xcalloc(1, sizeof(*g));

	g->call = *c;
	g->policy = *p;
	buf_init(&g->settings, LIMIT_HEADER);
	put_policy(&g->settings, p);
	g->job.op.kind = kind;
	g->job.op.u.policy.pattern = span_str(g->policy.pattern);
	g->job.op.u.policy.settings = buf_span(&g->settings);
	g->job.done = on_done;
	broker_submit(b, &g->job);
}

void
ctl_policies_set(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	static const char *const keys[] = {
	    "pattern", "tries", "ackMs", "backoffMs", "backoffMaxMs", "idleMs", "maxOwed", "full"};
	struct policy p = {0};
	struct faults f;

	unsaid(&p);
	faults_init(&f);
	ctl_only_keys(o, keys, sizeof(keys) / sizeof(*keys), &f);
	ctl_take_fields(o, p.v, &f);
	if (!groups_can_be_owed(doc_str(o, "pattern")) ||
	    !str_copy(p.pattern, sizeof(p.pattern), doc_str(o, "pattern")))
		faults_add(&f, "/pattern", "expected a pattern of durable topics");
	if (f.n > 0) {
		ctl_invalid(b, c, &f);
	} else if (policies_find(b->policies, span_str(p.pattern)) == NULL &&
		   policies_count(b->policies) >= POLICIES_MOST) {
		ctl_refuse(b, c, ERR_QUOTA, "too many policies");
	} else {
		submit(b, c, JOURNAL_POLICY, &p);
	}
	faults_fini(&f);
}

void
ctl_policies_delete(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	const struct policy *p = policies_find(b->policies, doc_str(o, "pattern"));

	if (doc_str(o, "pattern").n == 0) {
		ctl_missing(b, c, "/pattern", "expected the pattern of a policy");
	} else if (p == NULL) {
		ctl_refuse(b, c, ERR_NOT_FOUND, "no policy has this pattern");
	} else {
		submit(b, c, JOURNAL_POLICY_DEL, p);
	}
}
