#include "broker/acl.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/keys.h"
#include "proto/topic.h"
#include "proto/zpl.h"

static const char *const fields[] = {
#define X(id, field, text) field,
    ACL_VERBS_TABLE(X)
#undef X
};

const char *
acl_verb_text(enum acl_verb verb)
{
	static const char *const texts[] = {
#define X(id, field, text) text,
	    ACL_VERBS_TABLE(X)
#undef X
	};

	return verb < ACL_VERBS ? texts[verb] : "";
}

static void
entry_free(struct acl_entry *e)
{
	for (int v = 0; v < ACL_VERBS; v++)
		free(e->list[v].v);
	free(e);
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
acl_free(struct acl *a)
{
	struct acl_entry *next;

	if (a == NULL)
		return;
	HASH_CLEAR(hh, a->by_key);
	for (struct acl_entry *e = a->first; e != NULL; e = next) {
		next = e->next;
		entry_free(e);
	}
	free(a->text);
	free(a);
}

/* ---- reading ---- */

struct reading {
	struct acl *a;
	struct acl_entry *e; /* the entry whose fields come; NULL: none yet */
	struct zpl z;
	struct acl_fault *f;
};

static bool
fault(struct reading *r, const char *field, const char *why)
{
	r->f->line = r->z.line;
	r->f->why = why;
	(void)str_copy(r->f->entry, sizeof(r->f->entry), span_str(r->e ? r->e->name : ""));
	(void)str_copy(r->f->field, sizeof(r->f->field), span_str(field));
	return false;
}

/* An entry is complete when the next begins: `local` has no key, everybody else has one. */
static bool
entry_done(struct reading *r)
{
	struct acl_entry *e = r->e;

	if (e == NULL || (e->key[0] == '\0') == (strcmp(e->name, ACL_LOCAL) == 0))
		return true;
	return fault(r, "key",
	    e->key[0] ? "the entry `local` is for ipc, where there are no keys"
		      : "missing: whose entry is it?");
}

static bool
begin_entry(struct reading *r, const struct zpl_item *it)
{
	struct acl_entry *e;

	if (!entry_done(r))
		return false;
	r->e = NULL;
	if (it->value.p != NULL)
		return fault(r, "", "expected the name of an entry, alone on its line");
	if (it->name.n > ACL_NAME)
		return fault(r, "", "the name is over 64 bytes");
	if (r->a->n == ACL_ENTRIES)
		return fault(r, "", "over 4,096 entries");
	e = xcalloc(1, sizeof(*e));
	(void)str_copy(e->name, sizeof(e->name), it->name);
	*r->a->end = e;
	r->a->end = &e->next;
	e->no = r->a->n++;
	r->e = e;
	if (span_is(it->name, ACL_LOCAL)) {
		if (r->a->local != NULL)
			return fault(r, "", "a second entry `local`");
		r->a->local = e;
	}
	return true;
}

static bool
/* NOLINTNEXTLINE(readability-function-size): uthash */
set_key(struct reading *r, struct span value)
{
	struct acl_entry *e = r->e, *other;

	if (!keys_is(value))
		return fault(r, "key", "expected 40 characters of Z85");
	if (e->key[0] != '\0')
		return fault(r, "key", "given twice");
	HASH_FIND(hh, r->a->by_key, value.p, ACL_KEY, other);
	if (other != NULL)
		return fault(r, "key", "another entry has this key");
	(void)str_copy(e->key, sizeof(e->key), value);
	HASH_ADD(hh, r->a->by_key, key, ACL_KEY, e);
	return true;
}

static const char *
check_item(enum acl_verb verb, struct span s)
{
	if (verb == ACL_ROUTE) {
		return span_is(s, "*") || str_is_name(s, ACL_NAME)
			   ? NULL
			   : "expected names of services, or *";
	}
	return topic_is_pattern(s) ? NULL : "not a pattern of topics";
}

/* The next word; {NULL,0} after the last. */
static struct span
next_word(struct span *rest)
{
	size_t n = 0;
	struct span word;

	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = span_of(rest->p + 1, rest->n - 1);
	while (n < rest->n && rest->p[n] != ' ')
		n++;
	word = n > 0 ? span_of(rest->p, n) : (struct span){NULL, 0};
	*rest = span_of(rest->p + n, rest->n - n);
	return word;
}

static bool
set_list(struct reading *r, enum acl_verb verb, struct span value)
{
	struct acl_list *l = &r->e->list[verb];
	struct span rest = value;
	unsigned n = 0;

	if (r->e->given & 1u << verb)
		return fault(r, fields[verb], "given twice");
	r->e->given |= 1u << verb;
	while (next_word(&rest).p != NULL)
		n++;
	if (n > ACL_PATTERNS)
		return fault(r, fields[verb], "over 256 patterns");
	l->v = xcalloc(n + 1, sizeof(*l->v));
	for (rest = value; l->n < n; l->n++) {
		const char *why;

		l->v[l->n] = next_word(&rest);
		why = check_item(verb, l->v[l->n]);
		if (why != NULL)
			return fault(r, fields[verb], why);
	}
	return true;
}

static bool
set_field(struct reading *r, const struct zpl_item *it)
{
	if (r->e == NULL)
		return fault(r, "", "a field before the first entry");
	if (it->level != 1)
		return fault(r, "", "nothing is nested below a field");
	if (it->value.p == NULL)
		return fault(r, "", "expected field = value");
	if (span_is(it->name, "key"))
		return set_key(r, it->value);
	if (span_is(it->name, "act-as")) {
		if (!span_is(it->value, "0") && !span_is(it->value, "1"))
			return fault(r, "act-as", "expected 0 or 1");
		r->e->act_as = span_is(it->value, "1");
		return true;
	}
	for (int v = 0; v < ACL_VERBS; v++) {
		if (span_is(it->name, fields[v]))
			return set_list(r, (enum acl_verb)v, it->value);
	}
	(void)fault(r, "",
	    "no such field; key, publish, subscribe, request, serve, groups, route "
	    "and act-as are");
	(void)str_copy(r->f->field, sizeof(r->f->field), it->name);
	return false;
}

static bool
read_all(struct reading *r)
{
	struct zpl_item it;

	while (zpl_next(&r->z, &it)) {
		if (!(it.level == 0 ? begin_entry(r, &it) : set_field(r, &it)))
			return false;
	}
	if (r->z.why != NULL)
		return fault(r, "", r->z.why);
	return entry_done(r);
}

struct acl *
acl_parse(struct span text, struct acl_fault *f)
{
	struct reading r = {.a = xcalloc(1, sizeof(*r.a)), .f = f};

	*f = (struct acl_fault){0};
	r.a->end = &r.a->first;
	if (text.n > ACL_BYTES) {
		f->why = "over 1 MiB";
	} else {
		r.a->text = xcalloc(1, text.n + 1);
		memcpy(r.a->text, text.p, text.n);
		zpl_init(&r.z, span_of(r.a->text, text.n));
		if (read_all(&r))
			return r.a;
	}
	acl_free(r.a);
	return NULL;
}

/* ---- asking ---- */

const struct acl_entry *
/* NOLINTNEXTLINE(readability-function-size): uthash */
acl_find(const struct acl *a, const char key[ACL_KEY + 1])
{
	struct acl_entry *e;

	HASH_FIND(hh, a->by_key, key, ACL_KEY, e);
	return e;
}

bool
acl_allows_topic(const struct acl_entry *e, enum acl_verb verb, struct span topic)
{
	const struct acl_list *l = &e->list[verb];

	for (unsigned i = 0; i < l->n; i++) {
		if (topic_match(l->v[i], topic))
			return true;
	}
	return false;
}

bool
acl_allows_pattern(const struct acl_entry *e, enum acl_verb verb, struct span pattern)
{
	const struct acl_list *l = &e->list[verb];

	for (unsigned i = 0; i < l->n; i++) {
		if (topic_within(pattern, l->v[i]))
			return true;
	}
	return false;
}

bool
acl_allows_group(const struct acl_entry *e, struct span name)
{
	return !(e->given & 1u << ACL_GROUPS) || acl_allows_topic(e, ACL_GROUPS, name);
}

bool
acl_allows_route(const struct acl_entry *e, struct span name)
{
	const struct acl_list *l = &e->list[ACL_ROUTE];

	for (unsigned i = 0; i < l->n; i++) {
		if (span_is(l->v[i], "*") || span_eq(l->v[i], name))
			return true;
	}
	return false;
}

bool
acl_allows_feed(const struct acl_entry *e)
{
	return acl_allows_pattern(e, ACL_SUBSCRIBE, span_str(">"));
}

bool
acl_allows(const struct acl_entry *e, enum acl_verb verb, struct span what)
{
	switch (verb) {
	case ACL_PUBLISH:
	case ACL_REQUEST: return acl_allows_topic(e, verb, what);
	case ACL_SUBSCRIBE:
	case ACL_SERVE: return acl_allows_pattern(e, verb, what);
	case ACL_GROUPS: return acl_allows_group(e, what);
	case ACL_ROUTE: return acl_allows_route(e, what);
	case ACL_VERBS: break;
	}
	return false;
}
