#ifndef GATEWAY_ROWS_H
#define GATEWAY_ROWS_H
/* Rows as callers send them, as they travel, and one by one.  Pure: bytes in, verdict out; what is
 * read borrows from the body.  Rows are copied as raw msgpack, so key order, integers and floats
 * arrive at the destinations as the caller wrote them. */
#include "base/buf.h"
#include "base/uuid.h"
#include "proto/faults.h"

#define ROWS_MAX 100000u /* rows in one envelope */

enum rows_form {
	ROWS_ONE,   /* {uuid, row} */
	ROWS_BATCH, /* {uuid, rows} */
	ROWS_LINES, /* {uuid, lines, chunk, last, first, of}: a piece of an x-ndjson stream */
	ROWS_IN,    /* the body of rows.in: {uuid, rows, of?, part?, last?} */
};

struct rows {
	uint8_t uuid[16];
	char uuid_text[UUID_TEXT + 1]; /* canonical: lower case */
	struct span raw; /* one msgpack array of n rows; of a ROWS_ONE the row itself */
	unsigned n;
	bool one;
	/* A piece of a stream: which, whether it is the last, how many rows came before it
	 * (ROWS_LINES), and the receipt that stands for the whole. */
	bool is_part, last;
	uint64_t part, first;
	uint8_t of[16];
};

/* Everything that is wrong goes into f, each under its JSON pointer (of what the HTTP caller sent);
 * true when nothing is.  `beside` is a uuid given next to the body (rows_unwrap), {NULL,0} for
 * none: it stands in for an absent one and must be the same as a present one. */
bool rows_read(
    struct rows *r, enum rows_form form, struct span body, struct span beside, struct faults *f);
/* A request of rows.batch: which form it has.  Of {uuid?, body: {…}}, as an operation with
 * parameters sends it, *body becomes the inner body and *beside the outer uuid (the raw object). */
enum rows_form rows_unwrap(struct span *body, struct span *beside);
/* The body of rows.in. */
void rows_put_in(const struct rows *r, struct buf *out);
/* uuid, number of rows and part of a rows.in body, the rows themselves unseen: what a receipt
 * needs. false: it is no such body. */
bool rows_peek(struct rows *r, struct span body);

/* One row, and a walk over the rows of what rows_read found right. */
struct rows_row {
	bool has_index;
	uint64_t index;
	struct span data; /* raw msgpack map */
};
struct rows_walk {
	struct span rest;
	unsigned left;
};
void rows_walk_init(struct rows_walk *w, const struct rows *r);
bool rows_walk_next(struct rows_walk *w, struct rows_row *row);

#endif
