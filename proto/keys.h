#ifndef PROTO_KEYS_H
#define PROTO_KEYS_H
/* CURVE keys in files: czmq's certificates (zcert), a public one and, beside it, `…_secret` with
 * both keys and mode 0600.  Every failure is one sentence in `why` that names the file. */
#include <stdbool.h>
#include "base/buf.h"
#include "base/span.h"

#define KEYS_TEXT 40 /* a key in Z85 */
#define KEYS_WHY 512

struct keys {
	char public_key[KEYS_TEXT + 1];
	char secret_key[KEYS_TEXT + 1]; /* "": the file holds none */
};

bool keys_is(struct span text); /* 40 characters of Z85 */

/* Reads `path`, or `path`_secret where that exists.  A secret that does not belong to the public
 * key, or that others may read, is refused.  0, or -1. */
int keys_load(const char *path, struct keys *k, char why[KEYS_WHY])
    __attribute__((warn_unused_result));
/* A public key, given as its 40 characters or as a file. */
int keys_public(const char *key_or_file, char out[KEYS_TEXT + 1], char why[KEYS_WHY])
    __attribute__((warn_unused_result));
/* A new pair in `path` and `path`_secret, on disk when it returns.  Neither may exist. */
int keys_new(const char *path, const char *name, struct keys *k, char why[KEYS_WHY])
    __attribute__((warn_unused_result));

/* --key FILE and --broker-key KEY|FILE of a client process: both or neither ("").  Every socket it
 * makes from now on uses them. */
int keys_use(const char *key_file, const char *broker_key, char why[KEYS_WHY])
    __attribute__((warn_unused_result));

/* A whole regular file of at most out->max bytes. */
int keys_read(const char *path, struct buf *out, char why[KEYS_WHY])
    __attribute__((warn_unused_result));
/* Replace the file, all or nothing, and on disk when it returns. */
int keys_write(const char *path, struct span text, char why[KEYS_WHY])
    __attribute__((warn_unused_result));

#endif
