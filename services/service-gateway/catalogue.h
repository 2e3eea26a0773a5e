#ifndef SERVICE_GATEWAY_CATALOGUE_H
#define SERVICE_GATEWAY_CATALOGUE_H
/* What clients may call and who answers: one YAML file a service in one directory, read at start.
 * A file with a mistake stops the start and is named with the field, so that no half a catalogue
 * ever serves. */
#include "base/buf.h"
#include "proto/doc.h"

#define CATALOGUE_MAX_PROVIDERS 32u

struct catalogue_provider {
	char name[65];
	int64_t timeout_ms;
};

struct catalogue_method {
	char name[65];
	bool get;        /* HTTP GET; else POST */
	bool repeatable; /* a failure that may have been executed moves on to the next provider too
			  */
	int64_t deadline_ms;
	const msgpack_object *def;     /* the method as written: summary, request, answer */
	const msgpack_object *request; /* its schema */
};

struct catalogue_service {
	struct catalogue_service *next;
	char name[65];
	int64_t version;
	bool unlisted; /* providers on the bus that are not listed come after the listed ones */
	struct catalogue_method *methods;
	unsigned nmethods;
	struct catalogue_provider providers[CATALOGUE_MAX_PROVIDERS];
	unsigned nproviders;
	struct buf bytes; /* the file as msgpack; doc borrows from it */
	struct doc doc;
};

/* Every *.yaml of `dir`, in the order of names.  NULL after one line on the log that names file and
 * field; free with catalogue_free. */
struct catalogue_service *catalogue_load(const char *dir);
void catalogue_free(struct catalogue_service *first);
/* The service and method that `topic` (service.<name>.v<n>.<method>) means; false when there is
 * none. */
bool catalogue_find(struct catalogue_service *first, struct span topic,
    struct catalogue_service **service, struct catalogue_method **method);

#endif
