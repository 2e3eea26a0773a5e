#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H
/* What taxi doctor thinks of what it saw: every judge adds at least one finding.  Pure: answers of
 * the broker and figures in, findings out.  Objects may be NULL or anything else a broker of
 * another version says; what is not there is not judged as bad. */
#include "base/buf.h"
#include "proto/doc.h"

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_CRITICAL };

struct doctor_finding {
	enum doctor_verdict verdict;
	char check[16];
	char text[384];
	char advice[256]; /* "": nothing is to be done */
};

struct doctor {
	struct doctor_finding *v;
	size_t n;
};

void doctor_add(struct doctor *d, enum doctor_verdict verdict, const char *check,
    const char *advice, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void doctor_fini(struct doctor *d);
/* The worst of all: the exit code too. */
enum doctor_verdict doctor_worst(const struct doctor *d);
const char *doctor_verdict_name(enum doctor_verdict v);
void doctor_text(const struct doctor *d, struct buf *out);
void doctor_json(const struct doctor *d, const char *at, const char *bus, struct buf *out);

/* An earlier look at sys.stats, by the same broker process or not. */
struct doctor_before {
	const msgpack_object *stats; /* NULL: there was none */
	int64_t ago_ms;
};

void doctor_judge_answer(struct doctor *d, int64_t round_trip_us);
void doctor_judge_versions(
    struct doctor *d, const char *own, const msgpack_object *stats, const msgpack_object *services);
void doctor_judge_store(struct doctor *d, const msgpack_object *stats);
void doctor_judge_disk(
    struct doctor *d, const msgpack_object *stats, const struct doctor_before *before);
void doctor_judge_commits(struct doctor *d, const msgpack_object *stats);
void doctor_judge_memory(struct doctor *d, const msgpack_object *stats);
void doctor_judge_drops(
    struct doctor *d, const msgpack_object *stats, const struct doctor_before *before);
void doctor_judge_groups(struct doctor *d, const msgpack_object *groups);
void doctor_judge_dead(struct doctor *d, const msgpack_object *dead);
void doctor_judge_peers(struct doctor *d, const msgpack_object *peers);
void doctor_judge_drain(struct doctor *d, const msgpack_object *drain);
void doctor_judge_keys(struct doctor *d, const msgpack_object *acl, const char *bus);
void doctor_judge_clock(struct doctor *d, int64_t ahead_ms); /* of ours, against the broker's */
void doctor_judge_files(struct doctor *d, uint64_t open, uint64_t limit);

#endif
