#ifndef PROTO_ENV_H
#define PROTO_ENV_H
/* The envelope: HEADER BODY in one frame (PROTOCOL.md).  Decoding allocates nothing and the result
 * borrows from the frame; encoding writes into a struct buf.  Pure. */
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/span.h"
#include "proto/err.h"
#include "proto/limits.h"

#define ENV_VERSION 1

#define ENV_VERBS(X) \
	X(PUB) X(BATCH) X(REQ) X(CANCEL) X(MORE) X(SUB) X(UNSUB) X(MSG) X(PACK) X(ACK) X(NAK) \
	X(REJECT) X(EXTEND) X(REP) X(OK) X(ERR) X(PING) X(PONG) X(BYE)

enum env_verb {
	ENV_NONE,
#define X(v) ENV_##v,
	ENV_VERBS(X)
#undef X
	ENV_VERB_COUNT
};

/* Meta keys this version knows.  U: unsigned integer; T: bool (0 or 1 in .u); S: str; B: bin;
 * A: any object, kept raw.  The limit is a value for U, bytes for S, B and A; dig, root and epoch are
 * exactly that long, so that whoever has one may copy it. */
#define ENV_METAS(X) \
	X(KEY, key, S, LIMIT_KEY) X(DIG, dig, B, LIMIT_DIG) X(EXP, exp, U, INT64_MAX) \
	X(SRC, src, S, LIMIT_SRC) X(CUR, cur, B, LIMIT_CUR) X(WAS, was, B, LIMIT_CUR) \
	X(RETAIN, retain, T, 1) X(TRACE, trace, S, 128) X(ROOT, root, B, 16) X(AS, as, A, LIMIT_AS) \
	X(TTL, ttl, U, LIMIT_TTL_MS) X(AGAIN, again, T, 1) X(WINDOW, window, U, 1024) \
	X(MORE, more, T, 1) X(N, n, U, INT64_MAX) X(GROUP, group, S, LIMIT_GROUP) \
	X(FROM, from, A, LIMIT_HEADER) X(ACK_MS, ack_ms, U, 86400000) X(TRIES, tries, U, 1000) \
	X(SERVE, serve, T, 1) X(CREDIT, credit, U, 65536) X(BYTES, bytes, U, INT64_MAX) \
	X(MANY, many, T, 1) X(SEQ, seq, U, INT64_MAX) X(TRY, try, U, INT64_MAX) \
	X(LEFT, left, U, INT64_MAX) X(SEQS, seqs, A, LIMIT_HEADER) X(DELAY, delay, U, 86400000) \
	X(REASON, reason, S, LIMIT_REASON) X(MS, ms, U, 86400000) X(PART, part, U, INT64_MAX) \
	X(CODE, code, S, 32) X(RETRY, retry, S, 16) X(DETAIL, detail, A, LIMIT_HEADER) \
	X(EPOCH, epoch, B, 16) X(SESSION, session, U, INT64_MAX) X(FEATURES, features, A, LIMIT_HEADER) \
	X(NEXT, next, U, INT64_MAX) X(GROUPS, groups, U, INT64_MAX) \
	X(STATUS, status, U, 599) X(HEADERS, headers, A, LIMIT_HEADER) X(TYPE, type, S, 255)

enum env_meta {
#define X(id, name, kind, max) ENV_M_##id,
	ENV_METAS(X)
#undef X
	ENV_M_COUNT
};
_Static_assert(ENV_M_COUNT <= 64, "presence is one 64-bit set");

union env_value {
	uint64_t u;
	struct span s;
};

struct env {
	enum env_verb verb;
	struct span topic;
	uint8_t id[16];
	uint64_t has; /* bit ENV_M_x: m[ENV_M_x] is set.  Zero it and nothing is. */
	union env_value m[ENV_M_COUNT];
	struct span body; /* one raw msgpack object; {NULL,0} = nil.  For MSG: the sender's frame */
};

static inline bool
env_has(const struct env *e, enum env_meta k)
{
	return (e->has >> k) & 1;
}

static inline uint64_t
env_u(const struct env *e, enum env_meta k, uint64_t absent)
{
	return env_has(e, k) ? e->m[k].u : absent;
}

static inline struct span
env_s(const struct env *e, enum env_meta k)
{
	return env_has(e, k) ? e->m[k].s : (struct span){NULL, 0};
}

static inline void
env_set_u(struct env *e, enum env_meta k, uint64_t v)
{
	e->m[k].u = v;
	e->has |= UINT64_C(1) << k;
}

/* S, B and A keys.  For A the bytes are one raw msgpack object.  Absent ({NULL,0}) sets nothing. */
static inline void
env_set_s(struct env *e, enum env_meta k, struct span s)
{
	if (s.p == NULL)
		return;
	e->m[k].s = s;
	e->has |= UINT64_C(1) << k;
}

/* Zero meta, no body, id as given (NULL: zeros). */
void env_init(struct env *e, enum env_verb verb, struct span topic, const uint8_t *id);

/* Read a frame.  ERR_OK, ERR_BAD_ENVELOPE, ERR_BAD_TOPIC or ERR_TOO_BIG; `why` (may be NULL) then points
 * to a constant sentence.  Where the id could be read it is in e->id, else e->id is zero, so that even
 * a bad frame can be answered.  Unknown meta keys are skipped; a known key of the wrong type is
 * BAD_ENVELOPE.  The body is NOT scanned here: whoever decodes it scans it; the broker never does,
 * except that it is one object or absent when `scan_body`. */
enum err env_decode(struct env *e, struct span frame, bool scan_body, const char **why);

/* Append the frame to out; ERR_OK, ERR_TOO_BIG (over LIMIT_HEADER or LIMIT_FRAME; MSG may be
 * LIMIT_FRAME_RX; or `out` failed), or ERR_BAD_ENVELOPE when no reader would take the header (a value
 * over its limit, text that is no UTF-8, a raw value that is no msgpack); out is then as it was.  The
 * topic is not checked.  An absent body is written as nothing. */
enum err env_encode(const struct env *e, struct buf *out) __attribute__((warn_unused_result));

/* Append e (its verb does not matter) as one item of a BATCH's body: [topic, id, meta, body]. */
enum err env_put_item(const struct env *e, struct buf *out) __attribute__((warn_unused_result));

/* An ERR answering `id`.  `text` becomes detail {detail: text}; NULL for none. */
enum err env_encode_err(struct buf *out, const uint8_t id[16], enum err code, const char *text);

/* The code of an ERR envelope (ERR_INTERNAL when unknown), and the text inside its detail. */
enum err env_err_code(const struct env *e);
struct span env_err_text(const struct env *e);

const char *env_verb_name(enum env_verb v);

#endif
