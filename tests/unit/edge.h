#ifndef TESTS_UNIT_EDGE_H
#define TESTS_UNIT_EDGE_H
/* JSON in, JSON out: what the tests of the edge's pure half are written in. */
#include <stdio.h>
#include "proto/doc.h"
#include "proto/json.h"

struct edge_doc {
	struct buf mp;
	struct doc doc;
};

static inline const msgpack_object *
edge_doc_init(struct edge_doc *d, const char *json)
{
	struct json_error err;

	buf_init(&d->mp, 1u << 24);
	if (json_to_mp(span_str(json), &d->mp, &err) != 0)
		printf("# fixture is no JSON: %d:%d %s\n", err.line, err.column, err.text);
	if (doc_parse(&d->doc, buf_span(&d->mp)) != 0)
		printf("# fixture cannot be parsed\n");
	return &d->doc.root;
}

static inline void
edge_doc_fini(struct edge_doc *d)
{
	doc_fini(&d->doc);
	buf_fini(&d->mp);
}

/* msgpack as JSON text in a buffer of the caller's. */
static inline const char *
edge_json(struct buf *out, struct span mp)
{
	buf_reset(out);
	if (json_from_mp(mp, out, 0) != 0)
		return "(not msgpack)";
	return buf_cstr(out);
}
#endif
