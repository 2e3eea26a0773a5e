#include "services/service-gateway/catalogue.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/limits.h"
#include "proto/topic.h"
#include "services/service-gateway/schema.h"
#include "services/service-gateway/yaml_mp.h"

#define DEADLINE_MAX_MS 600000

static int
take_name(char dst[65], struct span s, const char *field, char why[256])
{
	if (str_is_name(s, 64) && str_copy(dst, 65, s))
		return 0;
	snprintf(why, 256, "%s: expected a name of [A-Za-z0-9_-], at most 64 bytes", field);
	return -1;
}

static int
take_ms(int64_t *dst, const msgpack_object *o, const char *key, int64_t def, char why[256])
{
	*dst = doc_i64(o, key, def);
	if (*dst > 0 && *dst <= DEADLINE_MAX_MS)
		return 0;
	snprintf(why, 256, "%s: expected 1 to %d ms", key, DEADLINE_MAX_MS);
	return -1;
}

static int
take_method(struct catalogue_method *m, const msgpack_object_kv *kv, char why[256])
{
	struct span http = doc_str(&kv->val, "http");
	char inner[256];

	if (take_name(m->name, doc_span(&kv->key), "methods", why) != 0)
		return -1;
	m->def = &kv->val;
	m->request = doc_get(m->def, "request");
	m->repeatable = doc_bool(m->def, "repeatable", false);
	m->get = span_is(http, "GET");
	if (!m->get && !span_is(http, "POST")) {
		snprintf(why, 256, "methods.%s.http: expected GET or POST", m->name);
		return -1;
	}
	if (schema_check(m->request, inner) != 0) {
		snprintf(why, 256, "methods.%s.request: %.160s", m->name, inner);
		return -1;
	}
	return take_ms(&m->deadline_ms, m->def, "deadline_ms", DEFAULT_TTL_MS, why);
}

static int
take_methods(struct catalogue_service *s, char why[256])
{
	const msgpack_object *methods = doc_get(&s->doc.root, "methods");

	if (methods == NULL || methods->type != MSGPACK_OBJECT_MAP || methods->via.map.size == 0) {
		snprintf(why, 256, "methods: expected at least one");
		return -1;
	}
	s->methods = xcalloc(methods->via.map.size, sizeof *s->methods);
	for (uint32_t i = 0; i < methods->via.map.size; i++, s->nmethods++) {
		if (take_method(&s->methods[i], &methods->via.map.ptr[i], why) != 0)
			return -1;
	}
	return 0;
}

static int
take_providers(struct catalogue_service *s, char why[256])
{
	const msgpack_object *list = doc_get(&s->doc.root, "providers");

	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY ||
	    list->via.array.size > CATALOGUE_MAX_PROVIDERS) {
		snprintf(
		    why, 256, "providers: expected a list of at most %u", CATALOGUE_MAX_PROVIDERS);
		return -1;
	}
	for (uint32_t i = 0; i < list->via.array.size; i++) {
		const msgpack_object *o = &list->via.array.ptr[i];
		struct catalogue_provider *p = &s->providers[s->nproviders++];

		if (take_name(p->name, doc_str(o, "name"), "providers.name", why) != 0 ||
		    take_ms(&p->timeout_ms, o, "timeout_ms", 2000, why) != 0)
			return -1;
	}
	return 0;
}

static int
take_service(struct catalogue_service *s, char why[256])
{
	if (take_name(s->name, doc_str(&s->doc.root, "service"), "service", why) != 0)
		return -1;
	s->version = doc_i64(&s->doc.root, "version", 0);
	if (s->version < 1 || s->version > 9999) {
		snprintf(why, 256, "version: expected a whole number from 1 to 9999");
		return -1;
	}
	s->unlisted = doc_bool(&s->doc.root, "unlisted", false);
	if (take_methods(s, why) != 0)
		return -1;
	return take_providers(s, why);
}

static void
service_free(struct catalogue_service *s)
{
	free(s->methods);
	doc_fini(&s->doc);
	buf_fini(&s->bytes);
	free(s);
}

static struct catalogue_service *
load_file(const char *path)
{
	struct catalogue_service *s = xcalloc(1, sizeof *s);
	char why[256];

	buf_init(&s->bytes, LIMIT_DESC);
	if (yaml_mp_file(path, &s->bytes, why) == 0) {
		if (doc_parse(&s->doc, buf_span(&s->bytes)) != 0) {
			snprintf(why, sizeof why, "nested too deep or too large");
		} else if (take_service(s, why) == 0) {
			return s;
		}
	}
	log_error("catalogue_refused", LOG_S("file", path), LOG_S("why", why));
	service_free(s);
	return NULL;
}

static int
is_yaml(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && d->d_name[0] != '.' && strcmp(d->d_name + n - 5, ".yaml") == 0;
}

struct catalogue_service *
catalogue_load(const char *dir)
{
	struct catalogue_service *first = NULL, **last = &first;
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_yaml, alphasort);
	bool ok = n > 0;

	if (!ok) {
		log_error("catalogue_empty", LOG_S("dir", dir),
		    LOG_S("why", n < 0 ? "cannot be read" : "no *.yaml in it"));
	}
	for (int i = 0; i < n; i++) {
		if (ok) {
			char *path = xasprintf("%s/%s", dir, names[i]->d_name);

			*last = load_file(path);
			ok = *last != NULL;
			if (ok)
				last = &(*last)->next;
			free(path);
		}
		free(names[i]);
	}
	free(names);
	if (ok)
		return first;
	catalogue_free(first);
	return NULL;
}

void
catalogue_free(struct catalogue_service *first)
{
	struct catalogue_service *next;

	for (; first != NULL; first = next) {
		next = first->next;
		service_free(first);
	}
}

bool
catalogue_find(struct catalogue_service *first, struct span topic,
    struct catalogue_service **service, struct catalogue_method **method)
{
	struct span name = topic_token(topic, 1), version = topic_token(topic, 2),
		    called = topic_token(topic, 3);
	int64_t v;

	if (version.n < 2 || version.p[0] != 'v' ||
	    str_i64(span_of(version.p + 1, version.n - 1), 1, 9999, &v) != 0)
		return false;
	for (; first != NULL; first = first->next) {
		if (!span_is(name, first->name) || first->version != v)
			continue;
		for (unsigned i = 0; i < first->nmethods; i++) {
			if (!span_is(called, first->methods[i].name))
				continue;
			*service = first;
			*method = &first->methods[i];
			return true;
		}
	}
	return false;
}
