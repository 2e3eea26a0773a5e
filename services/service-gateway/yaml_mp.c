#include "services/service-gateway/yaml_mp.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#include "base/str.h"
#include "proto/limits.h"
#include "proto/mp.h"

struct reader {
	yaml_document_t doc;
	struct buf *out;
	const char *path;
	char *why;
};

static int
refuse(struct reader *r, const yaml_node_t *n, const char *text)
{
	snprintf(r->why, 256, "%s:%zu: %s", r->path, n ? n->start_mark.line + 1 : 0, text);
	return -1;
}

static void
put_plain(struct buf *out, struct span s)
{
	int64_t i;
	double d;

	if (s.n == 0 || span_is(s, "null") || span_is(s, "~")) {
		mp_put_nil(out);
	} else if (span_is(s, "true") || span_is(s, "false")) {
		mp_put_bool(out, s.p[0] == 't');
	} else if (str_i64(s, INT64_MIN, INT64_MAX, &i) == 0) {
		mp_put_i64(out, i);
	} else if ((s.p[0] == '-' || s.p[0] == '.' || (s.p[0] >= '0' && s.p[0] <= '9')) &&
		   str_double(s, &d) == 0) {
		mp_put_double(out, d);
	} else {
		mp_put_str(out, s);
	}
}

static struct span
scalar(const yaml_node_t *n)
{
	return span_of(n->data.scalar.value, n->data.scalar.length);
}

static int put_node(struct reader *r, int index, unsigned depth);

static int
put_map(struct reader *r, const yaml_node_t *n, unsigned depth)
{
	const yaml_node_pair_t *first = n->data.mapping.pairs.start,
			       *end = n->data.mapping.pairs.top, *p, *q;

	mp_put_map(r->out, (size_t)(end - first));
	for (p = first; p < end; p++) {
		const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);

		if (key == NULL || key->type != YAML_SCALAR_NODE)
			return refuse(r, key ? key : n, "a key must be a plain word");
		for (q = first; q < p; q++) {
			const yaml_node_t *other = yaml_document_get_node(&r->doc, q->key);

			if (span_eq(scalar(other), scalar(key)))
				return refuse(r, key, "the same key stands here twice");
		}
		mp_put_str(r->out, scalar(key));
		if (put_node(r, p->value, depth + 1) != 0)
			return -1;
	}
	return 0;
}

static int
put_list(struct reader *r, const yaml_node_t *n, unsigned depth)
{
	const yaml_node_item_t *first = n->data.sequence.items.start,
			       *end = n->data.sequence.items.top, *p;

	mp_put_array(r->out, (size_t)(end - first));
	for (p = first; p < end; p++) {
		if (put_node(r, *p, depth + 1) != 0)
			return -1;
	}
	return 0;
}

static int
put_node(struct reader *r, int index, unsigned depth)
{
	const yaml_node_t *n = yaml_document_get_node(&r->doc, index);

	if (n == NULL || n->type == YAML_NO_NODE)
		return refuse(r, n, "nothing here");
	if (depth > LIMIT_NEST)
		return refuse(r, n, "nested too deep");
	if (n->type == YAML_MAPPING_NODE)
		return put_map(r, n, depth);
	if (n->type == YAML_SEQUENCE_NODE)
		return put_list(r, n, depth);
	if (n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		put_plain(r->out, scalar(n));
	} else {
		mp_put_str(r->out, scalar(n));
	}
	return 0;
}

/* libyaml's documents resolve aliases in place, so they are looked for in the events first. */
static int
has_alias(FILE *f)
{
	yaml_parser_t parser;
	yaml_event_t ev;
	bool found = false, end = false;

	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, f);
	while (!end && !found && yaml_parser_parse(&parser, &ev)) {
		found = ev.type == YAML_ALIAS_EVENT;
		end = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&parser);
	rewind(f);
	return found;
}

static int
load(struct reader *r, FILE *f)
{
	yaml_parser_t parser;
	int rc;

	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, f);
	if (!yaml_parser_load(&parser, &r->doc)) {
		snprintf(r->why, 256, "%s:%zu: %s", r->path, parser.problem_mark.line + 1,
		    parser.problem ? parser.problem : "not YAML");
		yaml_parser_delete(&parser);
		return -1;
	}
	rc = yaml_document_get_root_node(&r->doc) ? put_node(r, 1, 1)
						  : refuse(r, NULL, "an empty file");
	if (rc == 0 && r->out->failed)
		rc = refuse(r, NULL, "too large");
	yaml_document_delete(&r->doc);
	yaml_parser_delete(&parser);
	return rc;
}

int
yaml_mp_file(const char *path, struct buf *out, char why[256])
{
	struct reader r = {.out = out, .path = path, .why = why};
	FILE *f = fopen(path, "rb");
	int rc;

	if (f == NULL) {
		snprintf(why, 256, "%s: %s", path, strerror(errno));
		return -1;
	}
	rc = has_alias(f) ? refuse(&r, NULL, "aliases (*name) are not taken") : load(&r, f);
	fclose(f);
	return rc;
}
