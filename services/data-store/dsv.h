#ifndef DATA_STORE_DSV_H
#define DATA_STORE_DSV_H
/* Delimited text on its way into COPY (FORMAT csv): finds the records, leaves out comments, blank
 * lines and the header, checks and pads the number of fields, keeps the line numbers.  The fields
 * themselves are read by Postgres; quotes are counted here exactly as COPY counts them.  Streaming:
 * one record is held, at most DSV_RECORD bytes.  Pure. */
#include "base/buf.h"

#define DSV_RECORD (1024u * 1024)
#define DSV_NO_QUOTE \
	'\x01' /* COPY wants a quote: where a format has none, a byte no record may hold */

enum dsv_encoding { DSV_UTF8, DSV_LATIN1, DSV_WIN1252 };

struct dsv_format {
	char delimiter;
	char quote;      /* 0: none */
	char comment[9]; /* a record that starts so is left out; "" none */
	char null[33];   /* a whole unquoted field that means NULL; "" the empty one */
	bool header;     /* the first record holds names */
	bool pad;        /* a record with too few fields gets NULLs at its end */
	enum dsv_encoding encoding;
};

/* Lines that were left out, so that a line of what was sent can be told as a line of the file. */
struct dsv_gap {
	uint64_t sent;    /* lines sent before it */
	uint64_t dropped; /* lines left out so far, this gap included */
};

struct dsv {
	struct dsv_format f;
	unsigned columns;
	struct buf held;    /* the start of a record whose end has not come */
	bool in_quotes;     /* at the end of held */
	size_t scanned;     /* of held */
	bool begun, headed; /* past the byte order mark, past the header */
	uint64_t line;      /* lines read: the record under way starts on line + 1 */
	uint64_t sent_lines, rows, bytes;
	size_t longest; /* bytes of the longest record sent */
	struct dsv_gap *gaps;
	size_t ngaps;
	char why[300]; /* "line 7: 3 fields where 4 are expected" */
};

void dsv_init(struct dsv *d, const struct dsv_format *f, unsigned columns);
void dsv_fini(struct dsv *d);
/* Takes all of `in`; whole records go to `out`.  `last`: the file ends here.  0, or -1 with why. */
int dsv_feed(struct dsv *d, struct span in, bool last, struct buf *out)
    __attribute__((warn_unused_result));
/* The line of the file that went out as the sent-th, counted from 1. */
uint64_t dsv_line_of(const struct dsv *d, uint64_t sent);

/* The fields of the first record in `head`, the start of a file (`whole`: all of it), each with a
 * NUL after it.  The number of fields; -1 with why: no record, or it does not end in `head`. */
int dsv_header(const struct dsv_format *f, struct span head, bool whole, struct buf *fields,
    char *why, size_t size);

/* "(FORMAT csv, DELIMITER …)" for COPY. */
void dsv_put_options(const struct dsv_format *f, struct buf *out);

#endif
