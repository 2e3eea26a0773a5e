#ifndef GATEWAY_ROW_H
#define GATEWAY_ROW_H
/* What one row must look like: {index?, data}, `index` an integer >= 0 or null, `data` a map of at
 * least one camelCase key.  Pure. */
#include "proto/faults.h"
#include "proto/mp.h"

#define ROW_KEYS_MAX 4096u /* keys of one row's data */
#define ROW_KEY_MAX 255u   /* bytes of one key */

/* The JSON pointer of where we are. */
struct row_path {
	char text[640]; /* "/lines/99999/data/" and a key of ROW_KEY_MAX bytes, each escaped */
	size_t n;
};
/* Returns what row_path_pop needs to go back. */
size_t row_path_push(struct row_path *p, struct span token);
size_t row_path_push_index(struct row_path *p, uint64_t i);
void row_path_pop(struct row_path *p, size_t back);

/* Reads the next object of r, which is a row or not; what is wrong with it goes into f. */
void row_check(struct mp_r *r, struct row_path *at, struct faults *f);

/* "expected an object, found a string" at the path. */
void row_fault_type(
    struct row_path *at, struct faults *f, const char *expected, enum mp_type found);

#endif
