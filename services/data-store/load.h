#ifndef DATA_STORE_LOAD_H
#define DATA_STORE_LOAD_H
/* Files of the object store into the table of a new version, in one transaction on a connection of
 * its own: what the version before holds of other files is carried over, then each file is streamed
 * through dsv into COPY.  Nobody reads that table until operations.swap makes it current. */
#include "services/data-store/dsv.h"
#include "services/data-store/objects.h"
#include "services/data-store/spec.h"
#include "store/pg.h"

struct load;

/* Filled in by the load: rows, longest. */
struct load_file {
	int64_t id; /* in the registry */
	char *name;
	char sha256[OBJECTS_HEX + 1];
	uint64_t rows;
	size_t longest;
};

struct load_spec {
	const char *url; /* of the database */
	const char *dir; /* of the object store */
	const struct spec *spec;
	const struct columns *columns; /* all of the table, in its order */
	int64_t dataset, version;      /* version: the one to be made */
	const char *owner;             /* of the lease, as text */
	bool carry;
	struct load_file *files; /* in the order of their rows */
	size_t nfiles;
	int64_t timeout_ms;
};

enum load_end {
	LOAD_OK,
	LOAD_BAD,   /* the files are to blame */
	LOAD_LATER, /* the database is */
	LOAD_LOST,  /* the lease is another run's */
};

/* `bad` is the file that is to blame, NULL when none. */
typedef void load_done_fn(
    void *arg, enum load_end end, const struct load_file *bad, const char *why);

/* All of the spec is borrowed until `done`, which runs exactly once, never from inside the call. */
struct load *load_start(struct loop *l, const struct load_spec *s, load_done_fn *done, void *arg);
void load_cancel(struct load *x); /* `done` does not run; what was loaded is rolled back */

/* The columns a table will have: as declared, or as the header of the first file says, with the
 * types that were declared.  0, or -1 with why. */
int load_columns(const struct load_spec *s, struct columns *out, char *why, size_t size)
    __attribute__((warn_unused_result));

#endif
