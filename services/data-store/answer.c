#include "services/data-store/answer.h"

#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "proto/doc.h"
#include "proto/mp.h"

void
answer_ok(struct worker_msg *m, struct buf *body, const char *next)
{
	struct buf headers, link;
	struct env e;

	if (body->failed) {
		worker_fail(m, ERR_TOO_BIG, "the answer is too big");
		return;
	}
	buf_init(&headers, LIMIT_HEADER / 2);
	buf_init(&link, LIMIT_HEADER / 4);
	env_init(&e, ENV_REP, span_str(""), NULL);
	e.body = buf_span(body);
	if (next != NULL) {
		buf_printf(&link, "<%s>; rel=\"next\"", next);
		mp_put_map(&headers, 1);
		mp_put_cstr(&headers, "Link");
		mp_put_str(&headers, buf_span(&link));
		if (!headers.failed && !link.failed)
			env_set_s(&e, ENV_M_HEADERS, buf_span(&headers));
	}
	worker_reply(m, &e);
	buf_fini(&link);
	buf_fini(&headers);
}

void
answer_faults(struct worker_msg *m, struct faults *f)
{
	struct buf detail;

	buf_init(&detail, 64 * 1024);
	faults_put(f, &detail);
	worker_fail_detail(m, ERR_INVALID, buf_span(&detail));
	buf_fini(&detail);
}

void
answer_away(struct worker_msg *m, const struct pg_done *d)
{
	if (d->end != PG_REFUSED) {
		worker_fail(m, ERR_BUSY, "the database is away");
		return;
	}
	log_error("query_refused", LOG_S("sqlstate", d->sqlstate), LOG_S("why", d->why));
	worker_fail(m, ERR_INTERNAL, "the database refused the query");
}

struct span
answer_text(const PGresult *res, int row, int column)
{
	if (PQgetisnull(res, row, column))
		return (struct span){NULL, 0};
	return span_of(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column));
}

int64_t
answer_i64(const PGresult *res, int row, int column)
{
	int64_t v = 0;

	return str_i64(answer_text(res, row, column), INT64_MIN, INT64_MAX, &v) == 0 ? v : 0;
}

void
answer_put(struct buf *b, const char *key, struct span text)
{
	mp_put_cstr(b, key);
	if (text.p == NULL) {
		mp_put_nil(b);
	} else {
		mp_put_str(b, text);
	}
}

void
answer_put_i64(struct buf *b, const char *key, const PGresult *res, int row, int column)
{
	mp_put_cstr(b, key);
	if (PQgetisnull(res, row, column)) {
		mp_put_nil(b);
	} else {
		mp_put_i64(b, answer_i64(res, row, column));
	}
}

int64_t
answer_number(const msgpack_object *o, const char *key, int64_t min, int64_t max, int64_t def,
    struct faults *f)
{
	const msgpack_object *v = doc_get(o, key);
	int64_t n = doc_i64(o, key, min - 1);
	char at[32];

	if (v == NULL || v->type == MSGPACK_OBJECT_NIL)
		return def;
	if (n >= min && n <= max)
		return n;
	snprintf(at, sizeof at, "/%s", key);
	faults_add(f, at, "expected an integer from %lld to %lld", (long long)min, (long long)max);
	return def;
}
