#ifndef PROTO_FAULTS_H
#define PROTO_FAULTS_H
/* What is wrong with a body, field by field: the `errors` of an INVALID answer (RFC 9457), each a JSON
 * pointer (RFC 6901) and a sentence that says what was expected.  Keeps the first 20, counts all. */
#include "base/buf.h"

struct faults {
	struct buf items; /* msgpack maps {pointer, detail}, back to back */
	unsigned kept, n;
	char first[256];  /* "/spec: expected an object" */
};

void faults_init(struct faults *f);
void faults_fini(struct faults *f);
/* `pointer` is a ready JSON pointer ("" is the whole body, "/spec/0/volume"). */
void faults_add(struct faults *f, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Append "/token" to a pointer, escaping ~ and /; cut silently at size. */
void faults_push(char *pointer, size_t size, struct span token);
/* The `detail` value of an ERR: map {detail, errors:[…]}. */
void faults_put(const struct faults *f, struct buf *out);

#endif
