#ifndef DATA_STORE_SPEC_H
#define DATA_STORE_SPEC_H
/* What an Ingest trigger asks for, read and checked.  Pure.
 *
 *	{organisation, dataset, table?: "L0",
 *	 source: {url, pattern?, files?: "all"|"last",
 *	          format: "csv" | "tsv" | {type?, delimiter?, quote?, header?, comment?, columns?:
 *[{name, type?}], short_rows?: "refuse"|"pad", null?, encoding?}}}
 */
#include <msgpack.h>

#include "proto/faults.h"
#include "services/data-store/columns.h"
#include "services/data-store/dsv.h"

#define SPEC_URL 2048
#define SPEC_PATTERN 255
#define SPEC_DIGEST 32

struct spec {
	char organisation[COLUMNS_NAME + 1], dataset[COLUMNS_NAME + 1];
	char schema[COLUMNS_NAME + 1]; /* organisation.dataset */
	char table[48];
	char url[SPEC_URL + 1];
	char pattern[SPEC_PATTERN + 1]; /* "": the url is the file itself */
	bool last;                      /* only the last file by name */
	struct dsv_format format;
	struct columns columns;      /* declared; none: the header names them */
	uint8_t digest[SPEC_DIGEST]; /* of everything that decides how a file becomes rows */
};

/* Fills s; what is wrong goes to f, each under its pointer below /spec.  spec_fini after either. */
void spec_parse(struct spec *s, const msgpack_object *o, struct faults *f);
void spec_fini(struct spec *s);

/* ^[A-Za-z][A-Za-z0-9_]{0,39}$: room is left for the version in a table's name. */
bool spec_is_table(struct span s);

#endif
